"""Whether a transient has just begun: what rises as fast as the indicator can, told from noise and slower events."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop.detectors import Detector
from closedloop.model import Fraction, Seconds, kernel
from closedloop.online import templates
from closedloop.online.robust import is_number
from closedloop.online.windows import readings_in

_TAPS = 65  # half a second at 130 readings/s
_LEAST_TAPS = 4
_BLOCK = 32  # most readings that one tap is the mean of

_RATIOS = (0.0, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # size of slower events, in SD of the noise; weights for each
_FIRST_S = 3.0  # a noise known for so long is good enough to divide by
_NOISE_S = 30.0  # time constant of the noise
_BURST_S = 0.5  # ... and of the one that silences bursts of artefact
_LEAST_BURST = 32  # values; at low rates fewer would hold little but the transient itself
_CLIP = 4.0  # SD beyond which a second difference counts no more
_SCALE_CLIP = 2.0  # the same of the score's own scale: events must hardly widen it
_LEAST_SCALE = 0.25  # of 1, which white noise gives: less is no noise but a signal that is not there
_LEAST_BURST_NOISE = 0.01  # of the noise, in variances: a burst after dead silence is met at once
_BRIDGED = 0.04  # part of the window that may be unknown without the rest being thrown away


@kernel
def _noise(memory: Any) -> float:
    """Variance of white noise in a tap; 0 while unknown."""
    return max(memory.slow, memory.fast)  # type: ignore[no-any-return]


@kernel
def _limited(memory: Any, p: Any, value: float) -> float:
    """The value, no farther from the last one than noise goes: an artefact of one reading is no onset."""
    if memory.filled == 0 or memory.count < p.first or not _noise(memory) > 0.0:
        return value
    farthest = p.leap * np.sqrt(_noise(memory))
    return min(max(value, memory.last - farthest), memory.last + farthest)  # type: ignore[no-any-return]


@kernel
def _filtered(memory: Any, p: Any, value: float) -> float:
    """Weights times window, with this value as the newest, in SD of white noise; nan until the window is full."""
    noise = _noise(memory)
    if not is_number(value) or memory.filled + 1 < p.readings or memory.count < p.first or not noise > 0.0:
        return np.nan
    newest = p.weights[memory.row * _TAPS] * _limited(memory, p, value) / p.block
    return (memory.rest + newest) / np.sqrt(noise)  # type: ignore[no-any-return]


@kernel
def _score(memory: Any, p: Any, value: float) -> float:
    return _filtered(memory, p, value) / np.sqrt(memory.square if memory.scored > 0 else 1.0)  # type: ignore[no-any-return]


@kernel
def _empty(memory: Any) -> None:
    memory.filled = 0
    memory.phase = 0
    memory.slot = 0


@kernel
def _mean_of_block(memory: Any, p: Any, x: float) -> float:
    """Mean of the last readings with this one, as many as a tap takes together; kept without any running sum."""
    memory.block[memory.phase] = x
    if p.block == 1:
        return x
    total = 0.0
    for i in range(p.block):
        total += memory.block[i]
    return total / p.block  # type: ignore[no-any-return]


@kernel
def _newest(memory: Any, p: Any) -> int:
    """Where the tap of the next reading goes; those before it, a block apart, lie below it in one piece."""
    return 2 * _TAPS * memory.phase + p.taps + memory.slot  # type: ignore[no-any-return]


@kernel
def _keep(memory: Any, p: Any, tap: float) -> None:
    """Written twice, so that the last `taps` of each phase always lie in one piece."""
    at = _newest(memory, p)
    memory.ring[at] = tap
    memory.ring[at - p.taps] = tap
    memory.phase += 1
    if memory.phase == p.block:
        memory.phase = 0
        memory.slot = memory.slot + 1 if memory.slot + 1 < p.taps else 0
    memory.filled += 1


@kernel
def _second_difference(memory: Any, p: Any, tap: float) -> float:
    """Variance of white noise by this tap and the two before it (von Neumann); nan where there are not so many."""
    if memory.filled + 1 < 3 * p.block:
        return np.nan
    at = _newest(memory, p)
    bend = tap - 2.0 * memory.ring[at - 1] + memory.ring[at - 2]
    return bend * bend / 6.0  # type: ignore[no-any-return]


@kernel
def _choose_weights(memory: Any, p: Any) -> None:
    """Those for the ratio of slower events to the noise that there is."""
    row = len(p.edges) - 1
    while row > 0 and p.slower < p.edges[row] * np.sqrt(memory.slow):
        row -= 1
    memory.row = row


@kernel
def _rest(memory: Any, p: Any) -> float:
    """What the window will say at the next reading but for that reading itself."""
    first, at = memory.row * _TAPS, _newest(memory, p)
    one, two, three, four = 0.0, 0.0, 0.0, 0.0  # so that no addition waits for the one before
    for i in range(1, p.taps - 3, 4):
        one += p.weights[first + i] * memory.ring[at - i]
        two += p.weights[first + i + 1] * memory.ring[at - i - 1]
        three += p.weights[first + i + 2] * memory.ring[at - i - 2]
        four += p.weights[first + i + 3] * memory.ring[at - i - 3]
    for i in range(p.taps - (p.taps - 1) % 4, p.taps):
        one += p.weights[first + i] * memory.ring[at - i]
    begun = 0.0  # of the tap that the next reading will complete
    for i in range(p.block):
        begun += memory.block[i] if i != memory.phase else 0.0
    return (one + two) + (three + four) + p.weights[first] * begun / p.block  # type: ignore[no-any-return]


@kernel
def _clipped(memory: Any, p: Any, square: float, usual: float) -> float:
    """A square, at most so many times the usual one; an unknown or empty usual one clips nothing, or it stayed so."""
    if memory.count < p.first or not usual > 0.0:
        return square
    return min(square, p.clip * usual)  # type: ignore[no-any-return]


@kernel
def _follow(memory: Any, p: Any, value: float) -> None:
    """Take a clean value into the window; the noise of bursts is learned here, for it must never be held still."""
    if not is_number(value):
        memory.unknown += 1
        if memory.unknown > p.bridged:  # what lies before a gap is not the reading before: together they make a step
            _empty(memory)
        return
    memory.unknown = 0
    memory.filtered = _filtered(memory, p, value)
    x = _limited(memory, p, value)
    tap = _mean_of_block(memory, p, x)
    square = _second_difference(memory, p, tap)
    memory.square_now = square
    _keep(memory, p, tap)
    memory.last = x
    if not np.isnan(square):
        weight = max(1.0 / (memory.count + 1), p.burst_alpha)
        memory.fast += weight * (_clipped(memory, p, square, memory.fast) - memory.fast)
        memory.fast = max(memory.fast, _LEAST_BURST_NOISE * memory.slow)
    if memory.slot == 0 and memory.phase == 0:
        _choose_weights(memory, p)
    memory.rest = _rest(memory, p)


@kernel
def _learn(memory: Any, p: Any, value: float) -> None:
    """Noise and scale by the value that was followed just now."""
    if not is_number(value):
        return
    if not np.isnan(memory.square_now):
        square = _clipped(memory, p, memory.square_now, memory.slow)
        memory.count += 1
        memory.slow += max(1.0 / memory.count, p.noise_alpha) * (square - memory.slow)
    if np.isnan(memory.filtered):
        return
    before = memory.square if memory.scored > 0 else 1.0
    memory.scored += 1
    square = min(memory.filtered * memory.filtered, p.scale_clip * before)
    weight = max(1.0 / (memory.scored + p.prior), p.scale_alpha)
    memory.square = max(before + weight * (square - before), _LEAST_SCALE)


@kernel
def _resume(memory: Any, p: Any) -> None:
    _empty(memory)
    memory.unknown = 0


@kernel
def _noise_sd(memory: Any, p: Any) -> float:
    """SD of white noise in one reading, in units of the value; nan while unknown."""
    return np.sqrt(memory.slow * p.block) if memory.count >= p.first and memory.slow > 0.0 else np.nan


class Onset(Detector):
    """A matched filter for onsets, w ~ C^-1 s, over the last `window`; its score is in its own recent SD.

    s is a transient of this indicator `template` after its onset. C is what it must be told from: white noise, any
    level, and events that rise more slowly, `slower` large. C follows from kinetics and rate; of the recording only the
    noise is learned, by second differences, and picks one of eight sets of weights. The sum is divided by that noise,
    or by the noise of the last half second where that is larger, so a burst of artefact silences itself; and by its own
    root mean square over `scale`, for what real background adds to noise waxes and wanes. So it is blind to tonic
    change, and finds less within a bout. nan for the first 3 s, and for `window` after light or a veto.

    It must come after dff or isosbestic: `slower` is a share of F. A reading counts as no farther from the one before
    than `leap` SD of noise, so one wild reading is no onset; below 40 readings/s a rise of 50 ms is less than two
    readings, and the two cannot be told apart. Where half a second is more than 65 readings, means of a few are taken:
    it costs the same at every rate. On real background some 70 % of its false alarms point upwards only, as the
    animal's own events do: from those nothing but how fast they rise tells a transient (`benchmarks/detectors.py`).
    """

    kind: Literal["onset"] = "onset"
    threshold: float = Field(4.2, description="Score at which a transient has begun; 4.2: 2 /min in real background.")
    release: float = Field(2.1, description="Score below which it is over (hysteresis).")
    rise: Seconds = Field(0.05, gt=0, le=5, description="Time constant of the transient's rise.")
    decay: Seconds = Field(0.5, gt=0, le=60, description="Time constant of its decay.")
    template: Seconds = Field(0.12, gt=0, le=5, description="How long after its onset a transient is matched.")
    slower: Fraction = Field(0.0095, ge=0, le=1, description="Size of events that rise more slowly; 0: there are none.")
    window: Seconds = Field(0.5, gt=0, le=5, description="Readings that are weighed, from the newest back.")
    scale: Seconds = Field(10.0, gt=0, description="Time constant of the scale that the score is in.")
    leap: float = Field(4.0, gt=0, description="Farthest that a reading counts from the one before, in SD of noise.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [(n, "i8") for n in ("count", "scored", "filled", "phase", "slot", "row", "unknown")]
        + [(n, "f8") for n in ("slow", "fast", "square", "square_now", "filtered", "rest", "last")]
        + [("block", "f8", (_BLOCK,)), ("ring", "f8", (2 * _TAPS * _BLOCK,))],
        align=True,
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [(n, "i8") for n in ("taps", "block", "readings", "first", "bridged")]
        + [(n, "f8") for n in ("noise_alpha", "burst_alpha", "scale_alpha", "prior", "clip", "scale_clip", "leap")]
        + [("slower", "f8"), ("edges", "f8", (len(_RATIOS),)), ("weights", "f8", (len(_RATIOS) * _TAPS,))],
        align=True,
    )
    score: ClassVar[Any] = staticmethod(_score)
    learn: ClassVar[Any] = staticmethod(_learn)
    follow: ClassVar[Any] = staticmethod(_follow)
    resume: ClassVar[Any] = staticmethod(_resume)
    shown: ClassVar[dict[str, Any]] = {"noise_sd": _noise_sd}
    knows_nan: ClassVar[bool] = True

    @model_validator(mode="after")
    def _rises_faster_than_it_decays(self) -> Self:
        if self.rise >= self.decay:
            raise ValueError(f"rise ({self.rise:g} s) must be shorter than decay ({self.decay:g} s); shorten rise")
        return self

    def shape(self, rate_hz: float) -> tuple[int, int]:
        """Taps, and readings that each is the mean of."""
        readings = readings_in(self.window, rate_hz, least=_LEAST_TAPS)
        block = min(-(-readings // _TAPS), _BLOCK)
        return min(max(round(readings / block), _LEAST_TAPS), _TAPS), block

    def notes(self, rate_hz: float) -> list[str]:
        """Says what the window is in readings, and where the rise is too fast for them."""
        taps, block = self.shape(rate_hz)
        of = f", in means of {block}" if block > 1 else ""
        said = [f"onset: its window is {taps * block} readings{of} ({taps * block / rate_hz * 1e3:.3g} ms)"]
        if self.rise * rate_hz < 2:
            said.append(
                f"onset: a rise of {self.rise * 1e3:g} ms is {self.rise * rate_hz:.2g} readings at {rate_hz:g} "
                "readings/s; slower events and wild readings can hardly be told from it"
            )
        return said

    def parameters(self, rate_hz: float) -> Any:
        """One record: the shape of the window, time constants as weights, and the weights for each ratio."""
        taps, block = self.shape(rate_hz)
        made = np.zeros(1, self.parameter_type)
        made["taps"], made["block"], made["readings"] = taps, block, taps * block
        made["first"] = readings_in(_FIRST_S, rate_hz, least=2 * _LEAST_TAPS)
        made["bridged"] = int(_BRIDGED * taps * block)
        made["noise_alpha"] = 1 / readings_in(_NOISE_S, rate_hz)
        made["burst_alpha"] = 1 / readings_in(_BURST_S, rate_hz, least=_LEAST_BURST)
        kept = readings_in(self.scale, rate_hz)
        made["scale_alpha"], made["prior"] = 1 / kept, 0.5 * kept  # what is 1 by construction is worth half of it
        made["clip"], made["scale_clip"] = _CLIP**2, _SCALE_CLIP**2
        made["leap"] = templates.believable(self.leap, self.rise, rate_hz) * np.sqrt(block)
        made["slower"] = self.slower
        ratios = np.maximum(_RATIOS, 0.25)
        made["edges"][0, 1:] = np.sqrt(ratios[1:] * ratios[:-1])
        kinetics = self.rise, self.decay, self.template
        for row, ratio in enumerate(_RATIOS):
            made["weights"][0, row * _TAPS : row * _TAPS + taps] = _weights(rate_hz / block, taps, *kinetics, ratio)
        return made


@lru_cache(maxsize=256)
def _weights(rate_hz: float, taps: int, rise: float, decay: float, template: float, ratio: float) -> Any:
    """The same for every loop with these settings: tuning makes hundreds of loops that differ in threshold alone."""
    return templates.onset_weights(rate_hz, taps, rise, decay, template, ratio)
