"""Level, rate and gain: what is found of each, how soon, and what is refused. One section of `detectors.py`.

Rate and gain: Poisson events in noise through the real loop, false alarms counted on streams that never change.
Level: a virtual animal that is 10 % brighter in a session whose light, in both channels, is down by a fifth. State:
the same detector, with an anchor made of that animal's own drug-free sessions, on every virtual animal there is.
Anchors are made of sessions apart from those that are scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from progress import each
from scipy.signal import fftconvolve

from closedloop import limits
from closedloop.analysis.activity import Trace
from closedloop.analysis.anchoring import make
from closedloop.analysis.estimates import poisson_interval
from closedloop.analysis.level_course import course
from closedloop.analysis.scoring import wilson
from closedloop.anchor import Anchor, Photometry
from closedloop.detectors import Detector
from closedloop.detectors.gain import EventGain
from closedloop.detectors.rate import EventRate
from closedloop.detectors.state import LevelEvidence, State
from closedloop.errors import ConfigError
from closedloop.features.dff import Dff
from closedloop.features.lowpass import Lowpass
from closedloop.loop import Loop, Plan
from closedloop.online.events import busy_share, events_in
from closedloop.policies.sham import Sham
from closedloop.quality import Quality
from closedloop.readings import READING, Readings
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.steps import DETECTED, HIGH, VALID, WARM
from closedloop.train import Train

NAME = "states"
TITLE = "level, rate and gain, and the probability of hyperactivity"

RATE_HZ, NANO_UNITS = 130.0, 100_000
WARM_UP_S = 60.0
ALARMS = 1 / 60  # a minute: one an hour
CHANGES = ((3.0, 9.0), (3.0, 6.0), (6.0, 12.0), (12.0, 24.0))  # events a minute
CALM_S, RAISED_S = 480.0, 900.0  # of a block; the sum is down again well before the next
BLOCKS = 6  # of a run
SIZE, RELEASE = 0.02, 0.01  # of an event, where no anchor says
HEIGHT, SPREAD = 0.06, 0.35  # median dF/F of the events drawn, SD of its logarithm
GROWN = 1.5
LASTS_S, RISE_S, DECAY_S = 4.0, 0.1, 0.5
PRESETS = ("calm", "rate_only", "gain_only", "tonic_only", "withdrawal", "null")
UNCHANGED = ("calm", "null")  # the neurons
PHASES = (("baseline", 60.0, 360.0), ("withdrawal", 360.0, 1440.0), ("re_exposure", 1440.0, 1800.0))
ANCHORED, SESSION_S = 4, 1200.0  # sessions an anchor is made of, and how long each is
LOSS = 0.8  # of both channels' light, where coupling is lost
SHIFT = 0.10

Floats = npt.NDArray[np.float64]


def plan(detector: Detector) -> Plan:
    """As a user would have it: dF/F of the lowpassed signal; what is detected is not acted on."""
    return Plan(
        features=(Lowpass(cutoff=5.0), Dff(baseline=60.0)),
        detector=detector,
        policy=Sham(refractory=2.0),
        quality=Quality(),
        train=Train(on=0.2),
        level=65_535,
        limits=limits.effective(lease_s=0.25),
        warm_up_s=WARM_UP_S,
        recovery_s=0.5,
    )


def looped(detector: Detector, rows: Readings) -> Any:
    """The loop's steps of these readings."""
    return Loop(plan(detector), rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(rows)


# --- events in noise -------------------------------------------------------------------------------------------------


def stream(a_minute: Floats, height: Floats, dice: np.random.Generator) -> Readings:
    """Readings of Poisson events of these rates and median heights, one of each a reading, in white noise of 0.4 %."""
    n = len(a_minute)
    ages = np.arange(round(LASTS_S * RATE_HZ)) / RATE_HZ
    shape = np.exp(-ages / DECAY_S) - np.exp(-ages / RISE_S)
    drawn = np.where(dice.random(n) < a_minute / (60 * RATE_HZ), height * np.exp(SPREAD * dice.standard_normal(n)), 0.0)
    dff = fftconvolve(drawn, shape / shape.max())[:n]
    rows = np.zeros(n, READING)
    rows["ticks"] = np.rint(np.arange(n) * (1e6 / RATE_HZ))
    rows["seq"] = np.arange(n)
    rows["signal_lit"] = np.rint(100_000 * (1 + dff) * (1 + 0.004 * dice.standard_normal(n)))
    rows["control_lit"] = np.rint(80_000 * (1 + 0.004 * dice.standard_normal(n)))
    return rows


def false_alarms(detector: Detector, a_minute: float, hours: int, dice: np.random.Generator) -> dict[str, Any]:
    """Detections an hour where nothing ever changes."""
    count, n = 0, round(3600 * RATE_HZ)
    for _ in range(hours):
        steps = looped(detector, stream(np.full(n, a_minute), np.full(n, HEIGHT), dice))
        count += int(np.count_nonzero(steps["bits"] & DETECTED))
    low, high = poisson_interval(count)
    return {"an_hour": count / hours, "interval": [low / hours, high / hours], "hours": hours}


class Events(NamedTuple):
    """How many a minute, and their median height."""

    a_minute: float
    height: float


def delays(detector: Detector, calm: Events, raised: Events, runs: int, dice: np.random.Generator) -> dict[str, Any]:
    """Time from each change to the first detection, in runs of so many blocks: calm, raised, calm and so on.

    A block in which a detection was still on at the change is left out.
    """
    block = round((CALM_S + RAISED_S) * RATE_HZ)
    found = []
    for _ in range(runs):
        rates, sizes = (blocks_of(getattr(calm, name), getattr(raised, name)) for name in Events._fields)
        bits = looped(detector, stream(rates, sizes, dice))["bits"]
        for at in range(round(CALM_S * RATE_HZ), len(bits), block):
            if not bits[at - 1] & HIGH:
                hits = np.flatnonzero(bits[at : at + round(RAISED_S * RATE_HZ)] & DETECTED)
                found.append(hits[0] / RATE_HZ if len(hits) else np.inf)
    return summary(np.array(found), RAISED_S)


def summary(found: Floats, longest_s: float) -> dict[str, Any]:
    """Mean with its interval, p95; a miss counts as the longest that was waited, so the mean is restricted to that."""
    waited = np.minimum(found, longest_s)
    if len(found) == 0:
        return {"n": 0, "missed": 0, "mean_s": None, "interval_s": None, "p95_s": None}
    half = 1.96 * float(np.std(waited, ddof=1)) / len(waited) ** 0.5 if len(waited) > 1 else None
    mean = float(np.mean(waited))
    return {
        "n": len(found),
        "missed": int(np.count_nonzero(np.isinf(found))),
        "mean_s": mean,
        "interval_s": None if half is None else [mean - half, mean + half],
        "p95_s": float(np.percentile(waited, 95)),
    }


def blocks_of(calm: float, raised: float) -> Floats:
    """A number for each reading of a run: calm, then raised, and again."""
    one = np.concatenate([np.full(round(CALM_S * RATE_HZ), calm), np.full(round(RAISED_S * RATE_HZ), raised)])
    return np.tile(one, BLOCKS)


def rate_section(long: bool, dice: np.random.Generator) -> list[dict[str, Any]]:
    """Every change of rate: false alarms and delay."""
    rows = []
    for calm, raised in each(CHANGES if long else CHANGES[:1], "rate"):
        detector = EventRate(event=SIZE, event_release=RELEASE, base_rate=calm, times=2.0, false_alarms=ALARMS)
        rows.append(
            {
                "from": calm,
                "to": raised,
                "false_alarms": false_alarms(detector, calm, 40 if long else 4, dice),
                "delay": delays(detector, Events(calm, HEIGHT), Events(raised, HEIGHT), 20 if long else 2, dice),
            }
        )
    return rows


def gain_section(long: bool, dice: np.random.Generator) -> dict[str, Any]:
    """Heights half as large again, rate as ever; the reference is learned on a stream of its own."""
    n, calm = round(3600 * RATE_HZ), Events(4.0, HEIGHT)
    values = looped(EventRate(event=SIZE, base_rate=4.0), stream(np.full(n, 4.0), np.full(n, HEIGHT), dice))["feature"]
    known = ~np.isnan(values)
    onsets, peaks = events_in(values, known, RATE_HZ, SIZE, RELEASE)
    logs = np.log(peaks[np.isfinite(peaks)])
    seen = 60 * RATE_HZ * len(onsets) / np.count_nonzero(known)
    detector = EventGain(
        event=SIZE, event_release=RELEASE, reference=float(np.exp(logs.mean())), spread=float(logs.std()),
        base_rate=seen, times=GROWN, false_alarms=ALARMS,
    )  # fmt: skip
    return {
        "times": GROWN,
        "a_minute": calm.a_minute,
        "false_alarms": false_alarms(detector, calm.a_minute, 40 if long else 4, dice),
        "delay": delays(detector, calm, calm._replace(height=GROWN * HEIGHT), 10 if long else 2, dice),
    }


# --- virtual animals -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Day:
    """What differs from one session to the next though the animal does not: coupling, and the two LEDs' ratio."""

    coupling: float = 1.0
    ratio: float = 1.0

    @classmethod
    def drawn(cls, dice: np.random.Generator, between: float) -> Day:
        """Coupling within some 10 %, the ratio with an SD of `between`."""
        return cls(float(np.exp(0.1 * dice.standard_normal())), float(np.exp(between * dice.standard_normal())))


def session(animal: dict[str, Any], day: Day, seconds: float, seed: int) -> Readings:
    """One session of a virtual animal in the dark."""
    light = {"signal": 0.3 * day.coupling * day.ratio, "control": 0.25 * day.coupling}
    virtual = VirtualAnimal(Animal(**animal, converter=light), RATE_HZ, seed)
    return virtual.run(np.zeros(round(seconds * RATE_HZ)))


def calm_animal(level: float = 0.0) -> dict[str, Any]:
    """The calm state of all presets, all session long, at this tonic level."""
    return {"states": {"baseline": {"level": level, "event_rate": 4.0}}}


def anchor_of(days: list[Day], seed: int) -> Anchor:
    """The anchor of drug-free sessions of these days, by the same code as `closedloop anchor`."""
    traces = [_trace(session(calm_animal(), day, SESSION_S, seed + at), f"day {at}") for at, day in enumerate(days)]
    made = make(traces)[0]
    size, release = made.events.size, made.events.release
    busy = np.mean([busy_share(trace.values, trace.clean, RATE_HZ, size, release) for trace in traces])
    return made.model_copy(update={"events": made.events.model_copy(update={"busy": float(busy)}), "sha256": ""})


def _trace(rows: Readings, source: str) -> Trace:
    calm = looped(EventRate(event=SIZE, base_rate=4.0), rows)
    clean = ((calm["bits"] & (VALID | WARM)) == VALID | WARM) & np.isfinite(calm["feature"])
    ratio, whole = ratios(rows), round(RATE_HZ)
    kept = np.where(clean, ratio, np.nan)[: len(ratio) // whole * whole].reshape(-1, whole).mean(axis=1)
    known = np.flatnonzero(np.isfinite(kept))
    return Trace(
        source=source,
        subject="virtual",
        started=None,
        phase="baseline",
        photometry=Photometry(sensor="virtual", fibre="virtual", signal_power=0.05, control_power=0.05),
        rate_hz=RATE_HZ,
        sha256=hashlib.sha256(rows["signal_lit"].tobytes()).hexdigest(),
        trains=0,
        features=plan(EventRate()).features,
        warm_up_s=WARM_UP_S,
        values=calm["feature"].copy(),
        clean=clean,
        course=course(known, kept[known]),
        present=True,
    )


def lights(rows: Readings) -> tuple[Floats, Floats]:
    """Signal and control, LED off subtracted."""
    signal, control = (rows[f"{name}_lit"].astype(float) - rows[f"{name}_dark"] for name in ("signal", "control"))
    return signal, control


def ratios(rows: Readings) -> Floats:
    """ln(signal / control) of each reading."""
    signal, control = lights(rows)
    return np.log(signal / control)


def within_session(rows: Readings) -> dict[str, float]:
    """Mean z, and mean dF/F after a fit of signal on control with intercept: what one session says of its own level."""
    signal, control = lights(rows)
    z = (signal - signal.mean()) / signal.std()
    fitted = np.polyval(np.polyfit(control, signal, 1), control)
    return {"mean_z": float(z.mean()), "mean_fitted_dff": float(((signal - fitted) / fitted).mean())}


def level_section(long: bool, dice: np.random.Generator, seed: int) -> dict[str, Any]:
    """SCIENCE 1.7 made anew: +10 % in dim light against the same animal's anchor; and an anchor that can't tell."""
    anchor = anchor_of([Day.drawn(dice, 0.01) for _ in range(ANCHORED)], seed)
    if anchor.level is None:
        raise ConfigError("an anchor without a level")
    detector = State(level=LevelEvidence(smallest=SHIFT), rate=None, gain=None)
    sessions = []
    for name, level, coupling in (("calm", 0.0, LOSS), ("tonic +10 %", SHIFT, LOSS)):
        found, said = [], []
        for at in range(20 if long else 2):
            day = Day(coupling, float(np.exp(0.01 * dice.standard_normal())))
            rows = session(calm_animal(level), day, SESSION_S, seed + 100 + at)
            said.append(within_session(rows) | {"anchored": float(np.expm1(ratios(rows).mean() - anchor.level.mean))})
            found.append(bool((verdict(detector, anchor, rows)["bits"] & DETECTED).any()))
        means = {key: float(np.mean([one[key] for one in said])) for key in said[0]}
        half = 1.96 * float(np.std([one["anchored"] for one in said], ddof=1)) / len(said) ** 0.5
        share = {"n": len(found), "found": sum(found), "found_interval": list(wilson(sum(found), len(found)))}
        means_of = {
            "session": name,
            "coupling": coupling,
            "anchored_interval": [means["anchored"] - half, means["anchored"] + half],
        }
        sessions.append(means_of | share | means)
    return {
        "smallest_shift": float(np.expm1(anchor.level.smallest_shift)),
        "sessions": sessions,
        "refused": refused(detector, [Day.drawn(dice, 0.06) for _ in range(3)], seed + 50),
    }


def refused(detector: State, days: list[Day], seed: int) -> str | None:
    """What is said where the ratio differs by 6 % from day to day."""
    try:
        detector.anchored(anchor_of(days, seed))
    except ValueError as error:
        return str(error)
    return None


def verdict(detector: State, anchor: Anchor, rows: Readings) -> Any:
    """Steps of the detector with what it leaves open from this anchor."""
    return looped(detector.anchored(anchor), rows)


def state_section(long: bool, dice: np.random.Generator, seed: int) -> list[dict[str, Any]]:
    """The state detector on each virtual animal."""
    anchor = anchor_of([Day.drawn(dice, 0.01) for _ in range(ANCHORED)], seed)
    detectors = {"rate and gain": State(), "level, rate and gain": State(level=LevelEvidence(smallest=SHIFT))}
    rows = []
    for preset in each(PRESETS, "state"):
        drawn = [
            session(_animal(preset), Day.drawn(dice, 0.01), 1800.0, seed + 200 + at) for at in range(20 if long else 1)
        ]
        for name, detector in detectors.items():
            steps = [verdict(detector, anchor, one) for one in drawn]
            rows.append({"preset": preset, "detector": name} | _course(steps, 1800.0 if preset == "calm" else 360.0))
    return rows


def _animal(preset: str) -> dict[str, Any]:
    return calm_animal() if preset == "calm" else {"preset": preset}


def _course(all_steps: list[Any], calm_s: float) -> dict[str, Any]:
    """Share of time held for hyperactive in each phase, and from the beginning of withdrawal to the detection."""
    found = []
    for steps in all_steps:
        hits = np.flatnonzero(_part(steps, 360.0, 1440.0)["bits"] & DETECTED) / RATE_HZ
        before = _part(steps, 0.0, 360.0)["bits"][-1] & HIGH
        found.append(0.0 if before else hits[0] if len(hits) else np.inf)
    calm = sum(int(np.count_nonzero(_part(steps, 0.0, calm_s)["bits"] & DETECTED)) for steps in all_steps)
    low, high = poisson_interval(calm)
    hours = len(all_steps) * calm_s / 3600
    return {
        "sessions": len(all_steps),
        "high": {
            name: float(np.mean([((_part(steps, start, end)["bits"] & HIGH) != 0).mean() for steps in all_steps]))
            for name, start, end in PHASES
        },
        "shown": {
            name: {
                phase: float(np.nanmedian(np.concatenate([_part(steps, start, end)[name] for steps in all_steps])))
                for phase, start, end in PHASES
            }
            for name in ("level", "rate", "gain")
            if name in (all_steps[0].dtype.names or ())
        },
        "delay": summary(np.array(found), 1080.0),
        "false_alarms": {"an_hour": calm / hours, "interval": [low / hours, high / hours], "hours": hours},
    }


def _part(steps: Any, start_s: float, end_s: float) -> Any:
    return steps[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]


# --- the section -----------------------------------------------------------------------------------------------------


def run(long: bool, seed: int) -> dict[str, Any]:
    """All figures of the section."""
    rate, gain, level, state = (np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(4))
    return {
        "rate": rate_section(long, rate),
        "gain": gain_section(long, gain),
        "level": level_section(long, level, 1000 * seed),
        "state": state_section(long, state, 1000 * seed + 500),
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    yield "rate: events a minute, Poisson, at one false alarm an hour asked for"
    for row in result["rate"]:
        yield f"  {row['from']:g} -> {row['to']:g}: {_delay(row['delay'])}; {_alarms(row['false_alarms'])}"
    gain = result["gain"]
    yield f"gain: heights x {gain['times']:g} at {gain['a_minute']:g} events a minute"
    yield f"  {_delay(gain['delay'])}; {_alarms(gain['false_alarms'])}"
    level = result["level"]
    yield f"level: anchor of {ANCHORED} sessions, smallest shift that can be told {100 * level['smallest_shift']:.1f} %"
    for row in level["sessions"]:
        yield (
            f"  {row['session']}, light x {row['coupling']:g}: mean z {row['mean_z']:.3f}, fitted dF/F "
            f"{100 * row['mean_fitted_dff']:.2f} %, anchored {100 * row['anchored']:+.1f} % "
            f"({' to '.join(f'{100 * one:+.1f}' for one in row['anchored_interval'])}); state detector: "
            f"{row['found']} of {row['n']} ({' to '.join(f'{100 * one:.0f}' for one in row['found_interval'])} %)"
        )
    yield f"  sessions that differ by 6 % by themselves: {level['refused'] or 'NOT REFUSED'}"
    yield "state: part of the time held for hyperactive in baseline, withdrawal, re-exposure"
    for row in result["state"]:
        high = ", ".join(f"{100 * share:.0f} %" for share in row["high"].values())
        delay = "" if row["preset"] in UNCHANGED else f"{_delay(row['delay'])}; "
        yield f"  {row['preset']} ({row['detector']}): {high}; {delay}{_alarms(row['false_alarms'])}"


def _delay(found: dict[str, Any]) -> str:
    if not found["n"]:
        return "no delay known"
    interval = "" if found["interval_s"] is None else " ({:.0f}-{:.0f})".format(*found["interval_s"])
    return f"delay {found['mean_s']:.0f} s{interval}, missed {found['missed']} of {found['n']}"


def _alarms(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['an_hour']:.2f} false alarms an hour ({low:.2f}-{high:.2f})"
