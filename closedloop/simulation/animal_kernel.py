"""One reading of a virtual animal after the other: neurons, indicator, fibre, converter. Nothing is drawn here.

Light acts in two places: it scales the activity (drive and tonic level) by what the opsin leaves of it, and it
leaks into the detector. Whatever else varies was drawn beforehand, without knowledge of the light.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from closedloop.model import kernel
from closedloop.readings import FLAG_CONTROL_SATURATED, FLAG_SIGNAL_SATURATED
from closedloop.simulation.animal_model import Animal, Bleaching

SATURATED = 0.98  # of the converter's full scale

WANDER_HZ, BLOOD_HZ = 0.5, 0.1  # corners of what is shared and slow
RED_HZ = (0.15, 0.6)  # two corners in equal parts make the slope measured from 0.1 to 3 Hz
SETTLING_S = 1.0  # of the tonic level and blood from one state to the next
DIP_S = 0.4  # how fast a dip begins and ends

# Columns of unit normals, each driving one source of noise
WANDER, BLOOD, RED, WHITE, DARK = 0, 1, 2, 6, 8
NORMALS = 10

BLOCK = np.dtype(
    [
        ("drive", "f8"),  # bursts, mean over the reading
        ("level", "f8"),  # tonic level of the state
        ("blood", "f8"),  # shift of the state
        ("dip", "f8"),
        ("normals", "f8", (NORMALS,)),
    ],
    align=True,
)
MEMORY = np.dtype(
    [
        ("count", "i8"),  # readings so far
        ("opsin", "f8"),
        ("lingering", "f8"),
        ("level", "f8"),
        ("blood", "f8"),
        ("dip", "f8"),
        ("rising", "f8"),
        ("decaying", "f8"),
        ("slow", "f8", (WHITE,)),  # wander, blood, red of both channels in two parts
        ("left", "f8", (4,)),  # of the bleachable parts: signal fast, slow, control fast, slow
    ],
    align=True,
)
PARAMETERS = np.dtype(
    [
        ("on", "f8"),  # part of the way to the target in one reading
        ("off", "f8"),
        ("linger", "f8"),
        ("settle", "f8"),
        ("dip", "f8"),
        ("rise", "f8"),
        ("decay", "f8"),
        ("slow_keep", "f8", (WHITE,)),
        ("slow_add", "f8", (WHITE,)),
        ("bleach_keep", "f8", (4,)),
        ("bleach_part", "f8", (4,)),
        ("efficacy", "f8"),
        ("resting", "f8"),
        ("hill", "f8"),
        ("half_power", "f8"),  # half ** hill
        ("slope", "f8"),  # of dF/F against activity, at rest
        ("response", "f8"),
        ("motion_share", "f8"),
        ("blood_ratio", "f8"),
        ("start", "f8", (2,)),  # counts of fluorescence: signal, control
        ("white", "f8", (2,)),  # variances, counts squared
        ("shot", "f8", (2,)),  # ... for each count of fluorescence
        ("electronic", "f8"),  # SD, counts
        ("line", "f8"),
        ("line_step", "f8"),  # radians a reading
        ("dark", "f8"),  # counts without any LED
        ("leak", "f8"),
        ("uncancelled", "f8"),
        ("tail", "f8"),
        ("top", "f8"),
        ("limit", "f8"),
    ],
    align=True,
)


def parameters(animal: Animal, rate_hz: float) -> Any:
    """One PARAMETERS record for readings at `rate_hz`."""
    full = 2.0**animal.converter.bits
    start = np.array([animal.converter.signal, animal.converter.control]) * full
    noise, indicator = animal.noise, animal.indicator
    p = np.zeros(1, PARAMETERS)[0]
    _set_filters(p, animal, rate_hz)
    _set_slow(p, animal, rate_hz)
    p["bleach_keep"] = [
        keep
        for bleaching in (animal.bleaching, animal.control_bleaching)
        for keep in np.exp(-1 / (rate_hz * np.array([bleaching.fast_time, bleaching.slow_time])))
    ]
    p["bleach_part"] = [*_parts(animal.bleaching), *_parts(animal.control_bleaching)]
    p["efficacy"], p["resting"] = animal.inhibition.efficacy, indicator.resting
    p["hill"], p["half_power"] = indicator.hill, indicator.half**indicator.hill
    p["slope"] = indicator.hill * p["half_power"] / (1 + p["half_power"])
    p["response"] = indicator.control_response
    p["motion_share"], p["blood_ratio"] = animal.motion.control_share, animal.blood.control_ratio
    p["start"] = start
    p["electronic"] = noise.electronic * full
    p["white"] = (np.array([noise.white, noise.control_white]) * start) ** 2 + p["electronic"] ** 2
    p["shot"] = noise.shot**2 * start
    p["line"], p["line_step"] = noise.line, 2 * np.pi * noise.line_frequency / rate_hz
    p["dark"] = (animal.converter.offset + animal.converter.ambient) * full
    p["leak"], p["uncancelled"] = animal.artefact.leak * full, animal.artefact.uncancelled
    p["tail"] = animal.artefact.tail
    p["top"], p["limit"] = full - 1, SATURATED * full
    return p


def memory(animal: Animal, normals: Any) -> Any:
    """One MEMORY record at the start: the first state settled, slow noise anywhere within its range.

    Args:
        animal: what it is.
        normals: unit normals, of shape (WHITE,).
    """
    m = np.zeros(1, MEMORY)[0]
    first = animal.states[animal.sequence[0].state]
    m["level"] = m["rising"] = m["decaying"] = first.level
    m["blood"] = first.blood
    m["slow"] = normals * _slow_sd(animal)
    m["left"] = 1.0
    return m


def _part(rate_hz: float, time_s: float) -> float:
    """Part of the way to its target that a first-order lag goes in one reading."""
    return float(-np.expm1(-1 / (rate_hz * time_s)))


def _parts(bleaching: Bleaching) -> tuple[float, float]:
    return bleaching.fast, bleaching.slow


def _set_filters(p: Any, animal: Animal, rate_hz: float) -> None:
    times = {
        "on": animal.inhibition.opsin_on,
        "off": animal.inhibition.opsin_off,
        "linger": animal.artefact.decay,
        "settle": SETTLING_S,
        "dip": DIP_S,
        "rise": animal.indicator.rise,
        "decay": animal.indicator.decay,
    }
    for name, time_s in times.items():
        p[name] = _part(rate_hz, time_s)


def _set_slow(p: Any, animal: Animal, rate_hz: float) -> None:
    corners = np.array([WANDER_HZ, BLOOD_HZ, *RED_HZ, *RED_HZ])
    keep = np.exp(-2 * np.pi * corners / rate_hz)
    p["slow_keep"] = keep
    p["slow_add"] = np.sqrt(1 - keep**2) * _slow_sd(animal)


def _slow_sd(animal: Animal) -> Any:
    red = animal.noise.red / np.sqrt(2)
    return np.array([animal.motion.wander, animal.blood.wander, red, red, red, red])


@kernel
def _dff(m: Any, p: Any, drawn: Any, light: float) -> float:
    """The signal's dF/F, and what the opsin leaves of all activity in `m.opsin`."""
    m.opsin += (light - m.opsin) * (p.on if light > m.opsin else p.off)
    m.level += (drawn.level - m.level) * p.settle
    left = 1.0 - p.efficacy * m.opsin
    activity = (drawn.drive + p.resting + m.level) * left - p.resting
    m.rising += (activity - m.rising) * p.rise
    m.decaying += (m.rising - m.decaying) * p.decay
    calcium = max(1.0 + m.decaying / p.slope, 0.0) ** p.hill
    return calcium / (calcium + p.half_power) * (1.0 + p.half_power) - 1.0  # type: ignore[no-any-return]


@kernel
def _leak(m: Any, p: Any, light: float) -> float:
    """Stimulation light in the detector, counts."""
    m.lingering = max(light, m.lingering * (1.0 - p.linger))
    return p.leak * ((1.0 - p.tail) * light + p.tail * m.lingering)  # type: ignore[no-any-return]


@kernel
def _drift(m: Any, p: Any, drawn: Any) -> None:
    """Motion, blood, coloured noise and bleaching: what changes slowly, whatever the light."""
    m.dip += (drawn.dip - m.dip) * p.dip
    m.blood += (drawn.blood - m.blood) * p.settle
    for k in range(WHITE):
        m.slow[k] = p.slow_keep[k] * m.slow[k] + p.slow_add[k] * drawn.normals[k]
    for k in range(4):
        m.left[k] *= p.bleach_keep[k]


@kernel
def _fluorescence(m: Any, p: Any, channel: int, dff: float) -> float:
    """Counts of the signal (channel 0) or the control (1), without noise of its own."""
    share, ratio, response = (p.motion_share, p.blood_ratio, p.response) if channel else (1.0, 1.0, 1.0)
    bleached = 0.0
    for k in range(2 * channel, 2 * channel + 2):
        bleached += p.bleach_part[k] * (1.0 - m.left[k])
    path = 1.0 + (m.slow[WANDER] - m.dip) * share
    path *= 1.0 - (m.slow[BLOOD] + m.blood) * ratio
    path *= 1.0 + m.slow[RED + 2 * channel] + m.slow[RED + 2 * channel + 1]
    path *= 1.0 + dff * response
    return p.start[channel] * (1.0 - bleached) * max(path, 0.0)  # type: ignore[no-any-return]


@kernel
def _code(p: Any, value: float) -> int:
    return int(min(max(np.floor(value + 0.5), 0.0), p.top))


@kernel
def step(m: Any, p: Any, drawn: Any, light: Any, counts: Any, left: Any) -> None:
    """Readings one by one.

    Args:
        m: one MEMORY record.
        p: one PARAMETERS record.
        drawn: array of BLOCK, one for each reading.
        light: mean part of full light since the last reading, 0 to 1.
        counts: written; of shape (readings, 5): signal lit, dark, control lit, dark, flags.
        left: written; part of all activity that light left.
    """
    for i in range(len(light)):
        row = drawn[i]
        lit = min(max(light[i], 0.0), 1.0)
        dff = _dff(m, p, row, lit)
        left[i] = 1.0 - p.efficacy * m.opsin
        leak = _leak(m, p, lit)
        _drift(m, p, row)
        line = p.line * np.sin(p.line_step * m.count)
        m.count += 1
        flags = 0
        for channel in range(2):
            bright = _fluorescence(m, p, channel, dff)
            noise = np.sqrt(p.white[channel] + p.shot[channel] * bright) * row.normals[WHITE + channel]
            on = p.dark + leak + bright + p.start[channel] * line + noise
            off = p.dark + leak * (1.0 - p.uncancelled) + p.electronic * row.normals[DARK + channel]
            counts[i, 2 * channel] = _code(p, on)
            counts[i, 2 * channel + 1] = _code(p, off)
            if max(on, off) > p.limit:
                flags |= FLAG_CONTROL_SATURATED if channel else FLAG_SIGNAL_SATURATED
        counts[i, 4] = flags
