"""What spoils a recording, and what the detectors make of it: false alarms, vetoes, events still found.

A virtual animal (or a real recording with transients put in) is disturbed from the 10th to the 50th minute of each
hour; the last ten minutes are as they were. Light never acts on these neurons, so the arms with light and with sham
differ in the artefact alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from progress import each
from scipy.stats import t
from virtual_loop import together

from closedloop import detectors, formats
from closedloop.analysis.detection import Detected, detect
from closedloop.analysis.injection import Transient, inject, random_onsets, virtual
from closedloop.analysis.scoring import Score, pooled, score
from closedloop.features.isosbestic import Isosbestic
from closedloop.features.lowpass import Lowpass
from closedloop.features.whiten import Whiten
from closedloop.limits import effective
from closedloop.loop import Loop
from closedloop.model import kinds
from closedloop.policies.sham import Sham
from closedloop.protocol import Protocol, load_protocol
from closedloop.readings import Stream
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.steps import DETECTED

NAME = "stress"
TITLE = "false alarms, vetoes and events still found while something spoils the recording"

RATE_HZ, FULL_POWER_MW, WINDOW_S = 130.0, 10.0, 2.0
BEGINS_S, ENDS_S, HOUR_S = 600.0, 3000.0, 3600.0
SHORT_HOURS, LONG_HOURS = 1, 10
ANIMAL: dict[str, Any] = {
    "states": {"baseline": {"event_rate": 3.0}},
    "events": {"amplitude": 0.08, "amplitude_spread": 0.3},
    "inhibition": {"efficacy": 0.0},
}
DATA = Path(__file__).parents[2] / "shared" / "data"
REAL, UNPLUGGED = DATA / "m17-R-2018-12-12-090409.ppd", DATA / "ibl_npm_region4_unplugged.csv"
PLUGGED_IN_S, PULLED_OUT_S = 4.2 * 60, 25.7 * 60

Stressor = Callable[[Stream, np.random.Generator], Stream]


# ---- chains


def chains() -> dict[str, Protocol]:
    """The shipped protocol with its detector, and with each other trigger that there is, at its defaults."""
    shipped, known = load_protocol("withdrawal_inhibition"), kinds(detectors)
    made = {"threshold": shipped}
    plain = (Isosbestic(mode="adaptive"),)
    chain = {"difference": plain, "matched_filter": plain, "onset": plain, "cusum": (*plain, Whiten())}
    for kind in [one for one in chain if one in known]:
        made[kind] = shipped.model_copy(update={"features": chain[kind], "detector": known[kind]()})
    if "difference" in known:
        members = (known["difference"](features=plain), shipped.detector)
        made["all"] = shipped.model_copy(update={"detector": known["all"](of=members)})
    if "rate" in known:
        smooth = (*plain, Lowpass(cutoff=5.0))
        slow = known["rate"](event=0.03)
        made["rate"] = shipped.model_copy(update={"features": smooth, "detector": slow, "warm_up": 600.0})
    return made


def plan(of: Protocol) -> Any:
    """The protocol under its own limits alone."""
    return of.plan(effective(of.limits, lease_s=0.5), FULL_POWER_MW)


# ---- stressors


def _during(stream: Stream) -> Any:
    ticks = stream.readings["ticks"]
    return (ticks >= BEGINS_S * 1e6) & (ticks < ENDS_S * 1e6)


def _times(dice: np.random.Generator, every_s: float) -> Any:
    """Random times while the stress lasts, so far apart on average."""
    return np.sort(dice.uniform(BEGINS_S, ENDS_S, dice.poisson((ENDS_S - BEGINS_S) / every_s)))


def _scaled(stream: Stream, signal: Any, control: Any) -> Stream:
    """What the LEDs give, times these factors of each reading."""
    rows = stream.readings.copy()
    for channel, factor in (("signal", signal), ("control", control)):
        dark = rows[f"{channel}_dark"].astype(np.float64)
        rows[f"{channel}_lit"] = np.rint(dark + (rows[f"{channel}_lit"] - dark) * factor)
    return replace(stream, readings=rows)


def nothing(stream: Stream, dice: np.random.Generator) -> Stream:
    """As it is."""
    del dice
    return stream


def motion(stream: Stream, dice: np.random.Generator) -> Stream:
    """Four dips a minute on both channels, 10 % deep and 2 s long; the control sees 80 % of each."""
    seconds = stream.readings["ticks"] / 1e6
    dip = np.zeros(len(seconds))
    for start in _times(dice, 15.0):
        depth, lasts = 0.1 * np.exp(0.3 * dice.standard_normal()), 2.0 * np.exp(0.3 * dice.standard_normal())
        rise, fall = 1 / (1 + np.exp(-(seconds - start) / 0.1)), 1 / (1 + np.exp((seconds - start - lasts) / 0.1))
        dip = np.maximum(dip, depth * rise * fall)
    return _scaled(stream, 1 - dip, 1 - 0.8 * dip)


def coupling(stream: Stream, dice: np.random.Generator) -> Stream:
    """Every two minutes both channels are 5 to 10 % darker or brighter at once, about one and the same level."""
    seconds = stream.readings["ticks"] / 1e6
    factor = np.ones(len(seconds))
    for at, start in enumerate(np.arange(BEGINS_S, ENDS_S, 120.0)):
        factor[seconds >= start] = 1 - dice.uniform(0.05, 0.1) if at % 2 == 0 else 1.0
    return _scaled(stream, factor, factor)


def bleaching(stream: Stream, dice: np.random.Generator) -> Stream:
    """Every four minutes 3 % of the signal and 1 % of the control are lost within seconds."""
    del dice
    seconds = stream.readings["ticks"] / 1e6
    factors = [np.ones(len(seconds)), np.ones(len(seconds))]
    for start in np.arange(BEGINS_S, ENDS_S, 240.0):
        gone = -np.expm1(-np.maximum(seconds - start, 0.0) / 2.0)
        factors = [factor * (1 - part * gone) for factor, part in zip(factors, (0.03, 0.01), strict=True)]
    return _scaled(stream, *factors)


def drop_outs(stream: Stream, dice: np.random.Generator) -> Stream:
    """2 % of the readings are lost, and a whole second each minute."""
    seconds, rows = stream.readings["ticks"] / 1e6, stream.readings
    lost = (dice.uniform(size=len(rows)) < 0.02) | (seconds % 60.0 < 1.0)
    return replace(stream, readings=rows[~(lost & _during(stream))].copy())


def swap(stream: Stream, dice: np.random.Generator) -> Stream:
    """470 and 405 nm are exchanged."""
    del dice
    rows, during = stream.readings.copy(), _during(stream)
    for end in ("lit", "dark"):
        signal, control = f"signal_{end}", f"control_{end}"
        rows[signal][during], rows[control][during] = stream.readings[control][during], stream.readings[signal][during]
    return replace(stream, readings=rows)


STRESSORS: dict[str, Stressor] = {
    "none": nothing,
    "motion": motion,
    "coupling step": coupling,
    "bleaching step": bleaching,
    "drop-outs": drop_outs,
    "channels swapped": swap,
}


# ---- what is made of it


def scores(detected: Detected, onsets: Any, of: Protocol) -> tuple[Score, Score]:
    """While the stress lasts, and after it; of a detector of states every detection is false, for nothing changes."""
    truth = None if of.detector.kind == "rate" else onsets
    warm = detected.watched
    parts = ((BEGINS_S, ENDS_S), (ENDS_S, HOUR_S))
    during, after = (
        score(detected.ticks, truth, warm, WINDOW_S, (round(begin * 1e6), round(end * 1e6))) for begin, end in parts
    )
    return during, after


def row(pairs: list[tuple[Score, Score]]) -> dict[str, Any]:
    """Several hours as one row of the table."""
    during, after = (pooled([pair[at] for pair in pairs]) for at in (0, 1))
    whole = len(pairs) * (ENDS_S - BEGINS_S) / 3600
    return {
        "false_alarms_per_hour": _known(during.rate),
        "interval": [_known(bound) for bound in during.rate_interval],
        "vetoed": round(1 - during.hours / whole, 4),
        "found": _known(during.share),
        "found_interval": [_known(bound) for bound in during.share_interval],
        "found_afterwards": _known(after.share),
        "events": during.events,
    }


def _known(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def virtual_hours(hours: int, seed: int) -> list[tuple[Stream, Any]]:
    """So many animals of an hour each."""
    animal = Animal.model_validate(ANIMAL)
    return [virtual(animal, 1.0, RATE_HZ, 1000 * seed + at) for at in range(hours)]


def real_hours(seed: int) -> list[tuple[Stream, Any]]:
    """A real recording with transients of 8 % put in; its own events count as false alarms."""
    if not REAL.is_file():
        return []
    stream = formats.read(REAL)
    onsets = random_onsets(stream, seed)
    return [(inject(stream, Transient(0.08), onsets), onsets)]


def table(recordings: list[tuple[Stream, Any]], seed: int) -> dict[str, Any]:
    """Each stressor and each chain."""
    made = chains()
    found: dict[str, Any] = {}
    for name, stressor in each(list(STRESSORS.items()), "stressors"):
        spoiled = [(stressor(s, np.random.default_rng((seed, at))), on) for at, (s, on) in enumerate(recordings)]
        found[name] = {
            chain: row([scores(detect(plan(of), stream), onsets, of) for stream, onsets in spoiled])
            for chain, of in made.items()
        }
    return found


# ---- our own light


def trains(of: Protocol, leak: float, seed: int, hours: float, *, light: bool) -> tuple[Any, int]:
    """Ticks of the trains, given or sham, and the count of detections."""
    if not light:
        of = of.model_copy(update={"policy": Sham(refractory=of.policy.refractory)})
    made = plan(of)
    animal = VirtualAnimal(Animal.model_validate(ANIMAL | {"artefact": {"leak": leak}}), RATE_HZ, seed)
    loop = Loop(made, rate_hz=RATE_HZ, nano_units=animal.nano_units)
    given, detections = [], 0
    light_of = {"on_us": made.train.lit_us, "fire": made.policy.fire_code}
    for rows, steps in together(animal, loop, rate_hz=RATE_HZ, hours=hours, **light_of):
        given.append(rows["ticks"][(steps["decision"] != 0) & (steps["refused"] == 0)])
        detections += int(np.count_nonzero(steps["bits"] & DETECTED))
    return np.concatenate(given), detections


def own_light(hours: int, seed: int) -> dict[str, Any]:
    """Trains an hour with light and with sham, and their difference in bins of six minutes, paired."""
    found: dict[str, Any] = {}
    for chain, of in each([one for one in chains().items() if one[0] != "rate"], "own light"):
        for times in (1, 5):
            counts = []
            for on in (True, False):
                ticks, _ = trains(of, 0.005 * times, seed, hours, light=on)
                counts.append(np.histogram(ticks, np.arange(hours * 10 + 1) * 360e6)[0])
            paired = counts[0] - counts[1]
            half = float(t.ppf(0.975, len(paired) - 1) * paired.std(ddof=1) / np.sqrt(len(paired))) * 10
            found[f"{chain}, artefact x {times}"] = {
                "light_per_hour": round(counts[0].sum() / hours, 2),
                "sham_per_hour": round(counts[1].sum() / hours, 2),
                "difference_per_hour": round(float(paired.mean()) * 10, 3),
                "half_width": round(half, 3),
                "hours": hours,
            }
    return found


# ---- a fibre that was really pulled out


def unplugged() -> dict[str, Any]:
    """Trains while the fibre was in, and while it was not, of a recording plugged in late and pulled out early."""
    if not UNPLUGGED.is_file():
        return {}
    stream = formats.read(UNPLUGGED)
    found = {}
    for chain, of in chains().items():
        loop = Loop(plan(of), rate_hz=stream.rate_hz, nano_units=stream.nano_units)
        steps = loop.run(stream.readings)
        given_s = stream.readings["ticks"][(steps["decision"] != 0) & (steps["refused"] == 0)] / 1e6
        inside = (given_s > PLUGGED_IN_S) & (given_s < PULLED_OUT_S)
        found[chain] = {"in": int(inside.sum()), "out": int((~inside).sum())}
    return found


def run(long: bool, seed: int) -> dict[str, Any]:
    """All of it."""
    hours = LONG_HOURS if long else SHORT_HOURS
    return {
        "hours": hours,
        "virtual": table(virtual_hours(hours, seed), seed),
        "real": table(real_hours(seed), seed),
        "own_light": own_light(hours, seed),
        "unplugged": unplugged(),
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Tables for people."""
    for name, what in (
        ("virtual", f"virtual animal, 3 events of 8 % a minute, {result['hours']} h"),
        ("real", "real recording (m17) with transients of 8 %; its own events count as false alarms"),
    ):
        yield f"{what}: false alarms/h [95 %], vetoed, found while it lasts, found afterwards"
        for stressor, by_chain in result[name].items():
            for chain, figures in by_chain.items():
                yield f"  {stressor:17} {chain:15} {_told(figures)}"
    yield "own light: trains/h with light and with sham, and the paired difference"
    for chain, figures in result["own_light"].items():
        difference = f"{figures['difference_per_hour']:+.2f} +- {figures['half_width']:.2f}"
        yield f"  {chain:28} {figures['light_per_hour']:7.1f} {figures['sham_per_hour']:7.1f}   {difference}"
    yield "fibre pulled out (real): trains while it was in, and while it was not"
    for chain, figures in result["unplugged"].items():
        yield f"  {chain:15} {figures['in']:4} {figures['out']:4}"


def _told(figures: dict[str, Any]) -> str:
    low, high = figures["interval"]
    rate = figures["false_alarms_per_hour"]
    alarms = "-" if rate is None else f"{rate:6.1f} [{low:5.1f}, {high:6.1f}]"
    shares = ("vetoed", "found", "found_afterwards")
    return alarms + "".join("      - " if figures[at] is None else f"  {100 * figures[at]:5.1f} %" for at in shares)
