"""An anchor from an animal's drug-free sessions, or the reasons why there can be none. No file is written here.

The smallest shift of level that one more session can tell from the anchor is that of a prediction interval,

    smallest_shift = t(0.975, n - 1) * sqrt(between^2 * (1 + 1/n) + within^2 / n_eff)

with n sessions, `between` the SD of their means, `within` that of one-second means about their slow course, and n_eff
= T / (2 tau) of a session of typical length. Scatter within sessions is already in `between`; it is added again
because three means may lie close together by chance. With three sessions t is 4.3 and the shift is large: so it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from statistics import fmean

import numpy as np

from closedloop.analysis.activity import Activity, Trace, activity
from closedloop.analysis.estimates import Floats, students, typical
from closedloop.analysis.level_course import Course
from closedloop.anchor import LEAST_SESSIONS, MOST_BUSY, Anchor, Events, Level, Noise, Photometry, Session
from closedloop.errors import ConfigError
from closedloop.online import autoregressive
from closedloop.online.events import busy_share

LEAST_MINUTES = 5.0
BASELINE = "baseline"  # a phase that begins so is drug-free
_NO_PHASE = "-"
_SIZE = 3.0  # an event is so many robust SD high; it is over at half of that
RELEASE = 0.5
_ORDER = 16  # of the autoregressive model: 8 to 16 at 130 Hz (SCIENCE 5.1)
_QUANTILES = (10, 25, 50, 75, 90, 95)


def make(traces: Sequence[Trace]) -> tuple[Anchor, list[Activity]]:
    """The anchor of these sessions, and what each of them gave.

    Raises:
        ConfigError: they cannot serve, with one line a reason.
    """
    if problems := list(dict.fromkeys(_problems(traces))):
        raise ConfigError(*problems)
    size = event_size(traces)
    found = [activity(trace, size, RELEASE * size) for trace in traces]
    peaks = np.concatenate([one.peaks for one in found])
    first = traces[0]
    if first.subject is None or first.photometry is None:
        raise ConfigError("an anchor is of one animal and what it is measured with")  # has been refused above
    anchor = Anchor(
        subject=first.subject,
        photometry=_photometry([trace.photometry for trace in traces if trace.photometry]),
        features=tuple(feature.model_dump(mode="json") for feature in first.features),
        warm_up=first.warm_up_s,
        level=level([trace.course for trace in traces if trace.course]),
        events=_events(traces, found, peaks, size),
        noise=_noise(traces),
        sessions=tuple(_session(trace) for trace in traces),
        made_by=f"closedloop {version('closedloop')}",
    )
    return anchor.frozen(), found


def event_size(traces: Sequence[Trace]) -> float:
    """How high the chain's number must rise to be an event: three robust SD, the median of the sessions'."""
    return _SIZE * float(np.median([trace.scatter for trace in traces]))


def level(courses: Sequence[Course]) -> Level | None:
    """The level of sessions; None where there is no control channel.

    Raises:
        ConfigError: it never varies.
    """
    if len(courses) < LEAST_SESSIONS:
        return None
    means = np.array([one.mean for one in courses])
    within = float(np.sqrt(np.mean([one.within**2 for one in courses])))
    if not within > 0:
        raise ConfigError("the level never varies; are these recordings of an animal?")
    between = float(np.std(means, ddof=1))
    correlation_s = float(np.median([one.correlation_s for one in courses]))
    independent = max(1.0, float(np.median([one.seconds for one in courses])) / (2 * correlation_s))
    return Level(
        mean=float(np.mean(means)),
        between=between,
        within=within,
        correlation=correlation_s,
        smallest_shift=half_width(between, len(means), 1, within**2 / independent),
        sessions=tuple(means.tolist()),
    )


def half_width(between: float, anchored: int, compared: int, error_squared: float) -> float:
    """Half of the 95 % interval of a shift: mean of `compared` sessions against that of `anchored` ones.

    Args:
        between: SD of the anchor's session means.
        anchored: how many they are.
        compared: sessions that are compared with them.
        error_squared: variance of the compared sessions' mean by scatter within them.
    """
    return students(anchored - 1) * float(np.sqrt(between**2 * (1 / compared + 1 / anchored) + error_squared))


def percent(logs: float) -> float:
    """A difference of logarithms as percent."""
    return 100 * float(np.expm1(logs))


def _problems(traces: Sequence[Trace]) -> Iterator[str]:
    if len(traces) < LEAST_SESSIONS:
        yield (
            f"an anchor needs {LEAST_SESSIONS} drug-free sessions or more (got {len(traces)}); how far a level wanders "
            "from day to day cannot be told from fewer"
        )
    seen = Counter(trace.sha256 for trace in traces)
    for trace in traces:
        if seen[trace.sha256] > 1:
            yield f"{trace.source}: the same recording was given {seen[trace.sha256]} times; give each session once"
        yield from (f"{trace.source}: {said}" for said in _unfit(trace))
        yield from (f"{trace.source}: {said}" for said in _unlike(traces[0], trace))


def _unfit(trace: Trace) -> Iterator[str]:
    """Why a session can be in no anchor."""
    if trace.subject is None:
        yield "it does not say which animal this is; give --subject"
    if trace.photometry is None:
        yield (
            "it does not say what it was measured with; give --sensor, --fibre and --signal-power (and add a "
            "photometry section to the rig)"
        )
    if trace.trains and trace.blinded:
        yield f"it is blinded, its {trace.trains} trains lit or dark by arm; an anchor is made of sessions in the dark"
    elif trace.trains:
        yield f"light was given in it ({trace.trains} trains); an anchor is made of sessions in the dark"
    if trace.phase != _NO_PHASE and not trace.phase.casefold().startswith(BASELINE):
        yield f"its protocol says phase '{trace.phase}'; an anchor is made of drug-free sessions (phase: baseline)"
    if trace.minutes < LEAST_MINUTES:
        yield (
            f"only {trace.minutes:.1f} min are fit for use after {trace.warm_up_s / 60:.3g} min of warm-up; "
            f"{LEAST_MINUTES:g} min are needed"
        )
    elif not trace.present or not trace.scatter > 0:
        yield "nothing but noise; was the fibre connected, and the LEDs on?"


def _unlike(first: Trace, trace: Trace) -> Iterator[str]:
    """Why a session can be in no anchor with the first one."""
    if first.subject and trace.subject and trace.subject != first.subject:
        yield f"subject: {trace.subject}, not {first.subject}; an anchor is of one animal"
    if first.photometry and trace.photometry:
        for said in first.photometry.mismatches(trace.photometry):
            yield f"{said}, as in {first.source}; levels can't be compared"
    if trace.rate_hz != first.rate_hz:
        yield f"{trace.rate_hz:g} readings a second, not {first.rate_hz:g} as in {first.source}"
    if trace.features != first.features or trace.warm_up_s != first.warm_up_s:
        yield f"its protocol has other features or another warm_up than {first.source}; give one --protocol for all"
    if (trace.course is None) != (first.course is None):
        yield f"one of it and {first.source} has no control channel, or one that is not positive"


def _photometry(all_of: Sequence[Photometry]) -> Photometry:
    """What the sessions agree on, with their mean dark offsets: those are measured at each session."""
    darks = {name: fmean(getattr(one, name) for one in all_of) for name in ("signal_dark", "control_dark")}
    return all_of[0].model_copy(update=darks)


def _events(traces: Sequence[Trace], found: Sequence[Activity], peaks: Floats, size: float) -> Events:
    rates = tuple(one.count / one.minutes for one in found)
    logs = np.log(peaks)
    middle = typical(peaks)
    return Events(
        size=size,
        release=RELEASE * size,
        rate=float(np.mean(rates)),
        rates=rates,
        count=sum(one.count for one in found),
        busy=_busy(traces, size),
        log_mean=float(np.mean(logs)) if middle else None,
        log_sd=float(np.std(logs, ddof=1)) if middle else None,
        log_means=tuple(float(np.mean(np.log(one.peaks))) for one in found if len(one.peaks)),
        log_counts=tuple(len(one.peaks) for one in found if len(one.peaks)),
        quantiles={str(q): float(np.percentile(peaks, q)) for q in _QUANTILES} if middle else {},
    )


def _busy(traces: Sequence[Trace], size: float) -> float:
    """Part of the sessions' clean time in which an event was up, so that none could begin."""
    shares = [busy_share(one.values, one.clean, one.rate_hz, size, RELEASE * size) for one in traces]
    return min(MOST_BUSY, float(np.average(shares, weights=[one.minutes for one in traces])))


def _noise(traces: Sequence[Trace]) -> Noise:
    """The autoregressive model of all sessions; what is not clean, and the next session, begins a new run."""
    runs = [np.append(np.where(trace.clean, trace.values, np.nan), np.nan) for trace in traces]
    try:
        coefficients, sd = autoregressive.fit(np.concatenate(runs), _ORDER)
    except ValueError as error:
        raise ConfigError(f"{traces[0].source}: {error}") from error
    return Noise(rate=traces[0].rate_hz, coefficients=tuple(float(c) for c in coefficients), sd=float(sd))


def _session(trace: Trace) -> Session:
    return Session(source=trace.source, started=trace.started, sha256=trace.sha256, minutes=trace.minutes)
