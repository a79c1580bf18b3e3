"""CUSUM in noise of which everything is known, against the exact one; and what whitening does for coloured noise.

White noise: each session is a new `Loop` with dF/F and CUSUM as a user would write them, and a warm-up in which
nothing counts. False alarms are its detections in sessions without a change. The exact CUSUM knows mean and SD, reads
the same noise before it became counts, and has the threshold at which it gives just as many false alarms as were
counted of ours: by the integral equation of its run length (Page 1954), not by simulation. Delay is from the first
shifted reading to the detection, that reading included, over changes minutes apart, so that the statistic is in its
stationary state. Efficiency is its mean delay over ours.

Coloured noise: AR(1) through dF/F, whitening and CUSUM, whose threshold is asked for as a rate, or set on sessions of
other noise (calibrated). Without whitening the same threshold is what it would be in white noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from progress import each
from scipy import stats
from scipy.optimize import brentq
from scipy.signal import lfilter

from closedloop import limits
from closedloop.detectors.cusum import Cusum, threshold_for
from closedloop.features import Feature
from closedloop.features.dff import Dff
from closedloop.features.whiten import Whiten
from closedloop.loop import Loop, Plan
from closedloop.model import kernel
from closedloop.online import autoregressive
from closedloop.policies.sham import Sham
from closedloop.quality import Quality
from closedloop.readings import READING, Readings
from closedloop.steps import DETECTED, HIGH
from closedloop.train import Train

NAME = "noise"
TITLE = "CUSUM in white and AR(1) noise: delay against the exact one, and false alarms against those asked for"

RATE_HZ, NANO_UNITS = 130.0, 1
LEVEL, SD = 100_000_000, 500_000  # counts: 0.5 % of the level, as in recordings; rounding is 1e-6 SD
WARM_UP_S = 600.0
SESSION_S = 3600.0  # scored, after the warm-up
ASKED = 1.0  # false alarms an hour
SHIFTS = (0.5, 1.0)  # SD
SHIFT_S = {0.5: 3.0, 1.0: 1.0}  # how long a change stays: four of its delays
APART_S = 150.0  # from one change to the next
COLOURS = (0.0, 0.3, 0.9)  # lag-1 correlation
MODEL_S = 7200.0  # of other noise: what an anchor would hold


@dataclass(frozen=True)
class Size:
    """How much of everything: sessions of an hour and changes."""

    white: int
    changes: int
    coloured: int
    calibration: int


SHORT, LONG = Size(30, 240, 8, 10), Size(400, 4800, 150, 150)

Floats = npt.NDArray[np.float64]


# ---- noise to readings to steps


def readings(noise: Floats) -> Readings:
    """Readings of noise in SD about the level; 1 SD is so small a part of it that nothing is vetoed."""
    rows = np.zeros(len(noise), READING)
    rows["ticks"] = np.rint(np.arange(len(noise)) * (1e6 / RATE_HZ))
    rows["seq"] = np.arange(len(noise))
    rows["signal_lit"] = np.rint(LEVEL + SD * noise)
    rows["control_lit"] = LEVEL
    return rows


def plan(features: tuple[Feature, ...], detector: Cusum) -> Plan:
    """Features and detector as given; no light, for a sham policy wants none."""
    return Plan(
        features=features,
        detector=detector,
        policy=Sham(),
        quality=Quality(),
        train=Train(on=0.5),
        level=65_535,
        limits=limits.effective(lease_s=0.25),
        warm_up_s=WARM_UP_S,
        recovery_s=0.5,
    )


def warm_up() -> int:
    """Readings of the warm-up."""
    return round(WARM_UP_S * RATE_HZ)


def session(of: Plan, noise: Floats) -> npt.NDArray[np.void]:
    """Steps of one session, those of the warm-up left out."""
    return Loop(of, rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(readings(noise))[warm_up() :]


def coloured(dice: np.random.Generator, count: int, correlation: float) -> Floats:
    """AR(1) noise of SD 1, in its stationary state from the first value on."""
    white = dice.standard_normal(count)
    white[1:] *= np.sqrt(1 - correlation**2)
    return lfilter([1.0], [1.0, -correlation], white)  # type: ignore[no-any-return]


# ---- the exact CUSUM


@kernel
def exact(z: Any, shift: float, threshold: float, alarms: Any, high: Any) -> None:
    """The loop's own rule on the evidence of noise that is fully known: where an alarm begins, and where one lasts."""
    evidence, up = 0.0, False
    for at in range(len(z)):
        evidence = max(0.0, evidence + shift * (z[at] - 0.5 * shift))
        alarms[at] = not up and evidence >= threshold
        up = evidence >= (0.5 * threshold if up else threshold)
        high[at] = up


@kernel
def alarms_with_restart(z: Any, shift: float, threshold: float) -> int:
    """How often a CUSUM that begins anew after each alarm gives one."""
    evidence, count = 0.0, 0
    for value in z:
        evidence = max(0.0, evidence + shift * (value - 0.5 * shift))
        if evidence >= threshold:
            count += 1
            evidence = 0.0
    return count


@kernel
def peaks(score: Any, least: float, found: Any) -> int:
    """Highest score of each stretch above zero, where that is at least `least`; how many were written to `found`."""
    count, top = 0, 0.0
    for value in score:
        if value > 0.0:
            top = max(top, value)
            continue
        if top >= least and count < len(found):
            found[count] = top
            count += 1
        top = 0.0
    return count


def run_length(threshold: float, shift: float, nodes: int = 240) -> float:
    """Mean readings to an alarm of the exact CUSUM from S = 0: Page's integral equation by Gauss and Legendre."""
    at, weight = np.polynomial.legendre.leggauss(nodes)
    s, weight = 0.5 * threshold * (at + 1), 0.5 * threshold * weight
    step = stats.norm(-0.5 * shift**2, shift)
    start = np.concatenate([[0.0], s])
    kernel_of = np.hstack([step.cdf(-start)[:, None], weight * step.pdf(s[None, :] - start[:, None])])
    return float(np.linalg.solve(np.eye(nodes + 1) - kernel_of, np.ones(nodes + 1))[0])


def exact_threshold(per_h: float, shift: float) -> float:
    """The threshold at which the exact CUSUM gives so many false alarms an hour."""
    wanted = 3600 * RATE_HZ / per_h
    near = threshold_for(wanted, shift)
    return float(brentq(lambda h: np.log(run_length(h, shift) / wanted), 0.8 * near, 1.2 * near, xtol=1e-6))


# ---- figures


def rate(alarms: int, hours: float) -> dict[str, float]:
    """Alarms an hour with the exact 95 % interval of a Poisson count."""
    low = stats.chi2.ppf(0.025, 2 * alarms) / 2 if alarms else 0.0
    high = stats.chi2.ppf(0.975, 2 * alarms + 2) / 2
    return {
        "alarms": alarms,
        "hours": round(hours, 2),
        "per_h": round(alarms / hours, 4),
        "low": round(float(low) / hours, 4),
        "high": round(float(high) / hours, 4),
    }


def false_alarms(of: Plan, correlation: float, sessions: int, seed: list[int], what: str) -> dict[str, Any]:
    """Detections in sessions of an hour in which nothing happens, and how they differ from session to session."""
    counts, vetoed = [], 0
    for dice in each([np.random.default_rng([*seed, at]) for at in range(sessions)], what):
        steps = session(of, coloured(dice, warm_up() + round(SESSION_S * RATE_HZ), correlation))
        counts.append(int(np.count_nonzero(steps["bits"] & DETECTED)))
        vetoed += int(np.count_nonzero(steps["veto"]))
    found = rate(sum(counts), sessions * SESSION_S / 3600)
    known = len(counts) > 1 and sum(counts) > 0
    spread = round(float(np.var(counts, ddof=1) / np.mean(counts)), 2) if known else None
    return found | {"variance_to_mean": spread, "vetoed": vetoed}


def _placed(changes: int, shift_s: float) -> tuple[Floats, npt.NDArray[np.int64], int]:
    """Where in a session the shift is on, where it begins, and how many readings it stays."""
    apart, stays = round(APART_S * RATE_HZ), round(shift_s * RATE_HZ)
    begins = warm_up() + apart * (1 + np.arange(changes))
    on = np.zeros(begins[-1] + apart)
    for at in begins:
        on[at : at + stays] = 1.0
    return on, begins, stays


def _delays(alarms: Any, high: Any, begins: Any, stays: int) -> Floats:
    """Readings to the alarm, the shifted one included, of each change; nan where an alarm lasted already, inf: none."""
    found = np.full(len(begins), np.inf)
    for i, at in enumerate(begins):
        (hits,) = np.nonzero(alarms[at : at + stays])
        if high[at - 1]:
            found[i] = np.nan
        elif len(hits):
            found[i] = hits[0] + 1
    return found


def delays(
    of: Plan, shift: float, thresholds: list[float], changes: int, seed: list[int]
) -> tuple[Floats, list[Floats]]:
    """Delays in readings, ours and those of the exact CUSUM at each of the thresholds, change by change."""
    on, begins, stays = _placed(24, SHIFT_S[shift])
    mine: list[Floats] = []
    theirs: list[list[Floats]] = [[] for _ in thresholds]
    for dice in each([np.random.default_rng([*seed, at]) for at in range(-(-changes // 24))], f"delay, {shift:g} SD"):
        z = dice.standard_normal(len(on)) + shift * on
        bits = session(of, z)["bits"]
        mine.append(_delays(bits & DETECTED, bits & HIGH, begins - warm_up(), stays))
        for threshold, into in zip(thresholds, theirs, strict=True):
            alarms, high = np.zeros(len(z), np.bool_), np.zeros(len(z), np.bool_)
            exact(z, shift, threshold, alarms, high)
            into.append(_delays(alarms, high, begins, stays))
    return np.concatenate(mine), [np.concatenate(one) for one in theirs]


def delay(of: Floats) -> dict[str, Any]:
    """Mean and 95th percentile in seconds, with how many changes were found, missed, or not judged."""
    known = of[np.isfinite(of)] / RATE_HZ
    return {
        "n": len(known),
        "missed": int(np.isinf(of).sum()),
        "not_judged": int(np.isnan(of).sum()),
        "mean_s": round(float(known.mean()), 4),
        "mean_sem_s": round(float(known.std(ddof=1) / np.sqrt(len(known))), 4),
        "p95_s": round(float(np.percentile(known, 95)), 4),
    }


def white(shift: float, size: Size, seed: int) -> dict[str, Any]:
    """Ours against the exact one in white noise."""
    ours = plan((Dff(),), Cusum(shift=shift, false_alarms=ASKED / 60))
    number = SHIFTS.index(shift)
    alarms = false_alarms(ours, 0.0, size.white, [seed, 1, number], f"false alarms in white noise, {shift:g} SD")
    rates = [max(alarms[name], 0.01) for name in ("per_h", "low", "high")]
    thresholds = [exact_threshold(per_h, shift) for per_h in rates]
    mine, (theirs, slow, fast) = delays(ours, shift, thresholds, size.changes, [seed, 2, number])
    both = np.isfinite(mine) & np.isfinite(theirs)
    efficiency = theirs[both].mean() / mine[both].mean()
    error = 1.96 * (theirs[both] - efficiency * mine[both]).std() / np.sqrt(both.sum()) / mine[both].mean()
    bounds = [float(one[np.isfinite(one)].mean()) / mine[both].mean() - efficiency for one in (fast, slow)]
    p95 = [np.percentile(one[both], 95) for one in (theirs, mine)]
    return {
        "shift_sd": shift,
        "asked_per_h": ASKED,
        "threshold": round(threshold_for(3600 * RATE_HZ / ASKED, shift), 3),
        "false_alarms": alarms,
        "exact_threshold": round(thresholds[0], 3),
        "exact_false_alarms": exact_alarms(thresholds[0], shift, size.white, [seed, 1, number]),
        "delay": delay(mine),
        "exact_delay": delay(theirs),
        "efficiency": round(float(efficiency), 4),
        "efficiency_low": round(float(efficiency - np.hypot(error, bounds[0])), 4),
        "efficiency_high": round(float(efficiency + np.hypot(error, bounds[1])), 4),
        "efficiency_p95": round(float(p95[0] / p95[1]), 4),
    }


def exact_alarms(threshold: float, shift: float, sessions: int, seed: list[int]) -> dict[str, float]:
    """False alarms of the exact CUSUM in the very noise that ours was counted in."""
    count, length = 0, warm_up() + round(SESSION_S * RATE_HZ)
    alarms, high = np.zeros(length, np.bool_), np.zeros(length, np.bool_)
    for at in range(sessions):
        exact(np.random.default_rng([*seed, at]).standard_normal(length), shift, threshold, alarms, high)
        count += int(np.count_nonzero(alarms[warm_up() :]))
    return rate(count, sessions * SESSION_S / 3600)


# ---- coloured noise


def model(correlation: float, seed: list[int]) -> Whiten:
    """Whitening by a model of other noise of the same kind, as an anchor would give it."""
    noise = coloured(np.random.default_rng(seed), warm_up() + round(MODEL_S * RATE_HZ), correlation)
    coefficients, sd = autoregressive.fit(session(plan((Dff(),), Cusum()), noise)["feature"], 16)
    return Whiten(coefficients=tuple(coefficients.tolist()), sd=sd, rate=RATE_HZ)


def calibrated(
    features: tuple[Feature, ...], shift: float, correlation: float, sessions: int, seed: list[int]
) -> float:
    """The threshold that as many stretches of evidence reached as were asked for, in sessions of other noise."""
    never = plan(features, Cusum(shift=shift, threshold=1000.0))
    room, found = np.zeros(100_000), []
    for dice in each([np.random.default_rng([*seed, at]) for at in range(sessions)], "calibration"):
        score = session(never, coloured(dice, warm_up() + round(SESSION_S * RATE_HZ), correlation))["score"]
        found.append(room[: peaks(score, 5.0, room)].copy())
    highest = np.sort(np.concatenate(found))[::-1]
    wanted = max(1, round(ASKED * sessions * SESSION_S / 3600))
    return float(highest[wanted - 1])


def coloured_noise(correlation: float, shift: float, size: Size, seed: int) -> dict[str, Any]:
    """False alarms an hour without whitening, with a model of the session's first minutes, and with one of hours."""
    number = [round(10 * correlation), SHIFTS.index(shift)]
    asked = Cusum(shift=shift, false_alarms=ASKED / 60)
    anchored = (Dff(), model(correlation, [seed, 3, *number]))
    threshold = calibrated(anchored, shift, correlation, size.calibration, [seed, 4, *number])
    ways: dict[str, tuple[tuple[Feature, ...], Cusum]] = {
        "not_whitened": ((Dff(),), asked),
        "epoch_60_s": ((Dff(), Whiten(epoch=60.0)), asked),
        "epoch_300_s": ((Dff(), Whiten()), asked),
        "anchored": (anchored, asked),
        "anchored_calibrated": (anchored, Cusum(shift=shift, threshold=threshold, release=threshold / 2)),
    }
    found = {}
    for name, (features, detector) in ways.items():
        sessions = min(size.coloured, 20) if name == "not_whitened" else size.coloured  # there they are many
        what = f"AR(1) {correlation:g}, {name}"
        found[name] = false_alarms(plan(features, detector), correlation, sessions, [seed, 5, *number], what)
    restarting = alarms_with_restart(
        coloured(np.random.default_rng([seed, 6, *number]), round(20 * 3600 * RATE_HZ), correlation),
        shift,
        exact_threshold(0.9, shift),
    )
    return {
        "correlation": correlation,
        "shift_sd": shift,
        "asked_per_h": ASKED,
        "threshold_asked": round(asked.bounds(RATE_HZ)[0], 3),
        "threshold_calibrated": round(threshold, 3),
        "false_alarms": found,
        "exact_of_white_at_0.9_per_h": rate(restarting, 20.0),
    }


def run(long: bool, seed: int) -> dict[str, Any]:
    """The figures: white noise at each shift, coloured noise at each correlation."""
    size = LONG if long else SHORT
    return {
        "rate_hz": RATE_HZ,
        "warm_up_s": WARM_UP_S,
        "white": [white(shift, size, seed) for shift in SHIFTS],
        "coloured": [
            coloured_noise(correlation, shift, size, seed)
            for shift in (SHIFTS if long else SHIFTS[1:])
            for correlation in COLOURS
            if long or correlation
        ],
    }


def _told(found: dict[str, float]) -> str:
    return f"{found['per_h']:.2f} ({found['low']:.2f}-{found['high']:.2f})"


def lines(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    yield f"white noise, {result['rate_hz']:g} readings/s, {ASKED:g} false alarm an hour asked for"
    columns = f"{'delay':>9}{'exact':>9}{'p95':>9}{'exact':>9}{'efficiency':>22}"
    yield f"  {'shift':8}{'false alarms/h':>22}{'exact':>22}{columns}"
    for one in result["white"]:
        mine, theirs = one["delay"], one["exact_delay"]
        share = f"{one['efficiency']:.3f} ({one['efficiency_low']:.3f}-{one['efficiency_high']:.3f})"
        yield (
            f"  {one['shift_sd']:<4g}SD  {_told(one['false_alarms']):>22}{_told(one['exact_false_alarms']):>22}"
            f"{mine['mean_s']:>8.3f}s{theirs['mean_s']:>8.3f}s{mine['p95_s']:>8.3f}s{theirs['p95_s']:>8.3f}s{share:>22}"
        )
    yield "AR(1) noise, false alarms an hour where 1 is asked for"
    for one in result["coloured"]:
        yield f"  correlation {one['correlation']:g}, shift {one['shift_sd']:g} SD"
        for name, found in one["false_alarms"].items():
            yield f"    {name.replace('_', ' '):24}{_told(found):>24}   variance/mean {found['variance_to_mean']}"
        yield f"    {'exact of white at 0.9/h':24}{_told(one['exact_of_white_at_0.9_per_h']):>24}"
