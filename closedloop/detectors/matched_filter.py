"""How well the last readings fit a transient of the indicator, in noise made white: a bank of matched filters."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop.detectors import Detector
from closedloop.model import Seconds, kernel
from closedloop.noise_model import NoiseModel
from closedloop.online import autoregressive, templates
from closedloop.online.robust import is_number
from closedloop.online.windows import readings_in

_LENGTHS = np.array([4, 8, 16, 32, 64])  # readings after the onset, one template each
_FIRSTS = np.concatenate([[0], np.cumsum(_LENGTHS)[:-1]])  # where each one's weights begin
_BANK = len(_LENGTHS)
_MOST = int(_LENGTHS[-1])

_CLIP = 2.0  # SD beyond which a sum counts as no more in its scale; events in a quarter of all time cannot widen it
_LEAST_SCALE = 0.25  # of 1, which the model's own noise gives
_PRIOR = 0.5  # of the scale's time constant: what that 1 is worth


@kernel
def _innovation(memory: Any, p: Any, value: float) -> float:
    """What was not foretold, in its SD, at most `leap` of them; nan where nothing was foretold."""
    if memory.known == 0 or memory.past.count < p.order or not is_number(value):
        return np.nan
    return min(max((value - memory.foretold) / memory.sd, -p.leap), p.leap)  # type: ignore[no-any-return]


@kernel
def _sum(memory: Any, at: int, innovation: float) -> float:
    """One template's sum with this as the newest innovation; nan until there are as many as it is long."""
    if memory.filled + 1 < _LENGTHS[at]:
        return np.nan
    return memory.rest[at] + memory.weights[_FIRSTS[at]] * innovation  # type: ignore[no-any-return]


@kernel
def _score(memory: Any, p: Any, value: float) -> float:
    innovation, best = _innovation(memory, p, value), np.nan
    if np.isnan(innovation):
        return best
    for at in range(_BANK):
        one = _sum(memory, at, innovation) / np.sqrt(memory.square[at] if memory.scored > 0 else 1.0)
        if one > best or np.isnan(best):
            best = one
    return best


@kernel
def _whiten_templates(memory: Any, p: Any) -> None:
    """The transient as the model leaves it, each length of unit norm, newest first."""
    for bank in range(_BANK):
        first, length, square = _FIRSTS[bank], _LENGTHS[bank], 0.0
        for at in range(length):
            left = p.transient[at]
            for i in range(min(at, p.order)):
                left -= memory.coefficients[i] * p.transient[at - 1 - i]
            memory.weights[first + length - 1 - at] = left
            square += left * left
        for at in range(length):
            memory.weights[first + at] /= np.sqrt(square)
    memory.known = 1


@kernel
def _gather(memory: Any, p: Any, value: float) -> None:
    """One more value of the epoch, and the model when it is over. `past` must not hold the value yet."""
    autoregressive.gather(memory.sums, memory.past, p.order, value)
    if memory.sums.count < p.epoch:
        return
    sd = autoregressive.solve(memory.sums, p.order, memory.coefficients)
    if not sd > 0.0:  # no noise, as in a signal that is not there yet: begin anew
        autoregressive.clear(memory.sums)
        return
    memory.mean, memory.sd = autoregressive.mean_of(memory.sums), sd
    _whiten_templates(memory, p)


@kernel
def _know(memory: Any, p: Any, value: float) -> None:
    """Take the model that was given, or learn one."""
    if p.given:
        memory.coefficients[:] = p.coefficients
        memory.sd = p.sd
        _whiten_templates(memory, p)
    else:
        _gather(memory, p, value)


@kernel
def _keep(memory: Any, innovation: float) -> None:
    """One more innovation, and what each template's sum will be but for the next one."""
    at = memory.at
    memory.ring[at] = innovation  # written twice, so that the last ones always lie in one piece
    memory.ring[at + _MOST] = innovation
    memory.at = at + 1 if at + 1 < _MOST else 0
    memory.filled = min(memory.filled + 1, _MOST)
    newest = at + _MOST
    for bank in range(_BANK):
        first, length = _FIRSTS[bank], _LENGTHS[bank]
        total = memory.weights[first + 1] * memory.ring[newest]
        other = memory.weights[first + 2] * memory.ring[newest - 1]
        for i in range(3, length - 1, 2):  # two sums, so that neither waits for the other
            total += memory.weights[first + i] * memory.ring[newest - i + 1]
            other += memory.weights[first + i + 1] * memory.ring[newest - i]
        memory.rest[bank] = total + other + memory.weights[first + length - 1] * memory.ring[newest - length + 2]


@kernel
def _foretell(memory: Any, p: Any) -> None:
    """What the next value will be by the model."""
    expected = memory.mean
    for i in range(p.order):
        expected += memory.coefficients[i] * (autoregressive.before(memory.past, p.order, i + 1) - memory.mean)
    memory.foretold = expected


@kernel
def _follow(memory: Any, p: Any, value: float) -> None:
    if not is_number(value):  # the next value follows none of those before
        _resume(memory, p)
        return
    if memory.known == 0:
        _know(memory, p, value)
        autoregressive.push(memory.past, p.order, value)
    else:
        innovation = _innovation(memory, p, value)
        if np.isnan(innovation):
            autoregressive.push(memory.past, p.order, value)
        else:
            for bank in range(_BANK):
                memory.now[bank] = _sum(memory, bank, innovation)
            _keep(memory, innovation)
            autoregressive.push(memory.past, p.order, memory.foretold + innovation * memory.sd)
    if memory.known != 0 and memory.past.count == p.order:
        _foretell(memory, p)


@kernel
def _learn(memory: Any, p: Any, value: float) -> None:
    """Level, and the scale of each sum, by the value that was followed just now."""
    if memory.known == 0 or not is_number(value):
        return
    farthest = p.leap * memory.sd
    memory.mean += p.alpha * min(max(value - memory.mean, -farthest), farthest)
    if memory.filled < _MOST:
        return
    memory.scored += 1
    weight = max(1.0 / (memory.scored + p.prior), p.alpha)
    for bank in range(_BANK):
        before = memory.square[bank] if memory.scored > 1 else 1.0
        square = min(memory.now[bank] * memory.now[bank], _CLIP * _CLIP * before)
        memory.square[bank] = max(before + weight * (square - before), _LEAST_SCALE)


@kernel
def _resume(memory: Any, p: Any) -> None:
    autoregressive.forget(memory.past, memory.sums)
    memory.filled = 0
    memory.at = 0


@kernel
def _innovation_sd(memory: Any, p: Any) -> float:
    """SD of the model's innovations, in units of the value; nan while there is no model."""
    return memory.sd if memory.known != 0 else np.nan


class MatchedFilter(NoiseModel, Detector):
    """max over templates of sum(w e) / its SD: e the innovations of an autoregressive model, w the whitened template.

    A template is the indicator's transient over its first 4, 8, 16, 32 or 64 readings, passed through the same model
    as the readings are: the best linear detector of that transient in Gaussian noise that the model describes (Kay
    1998, Fundamentals of Statistical Signal Processing II, 4.4). Each sum is divided by its own running root mean
    square, 1 if the model is right. Innovations count no more than `leap` SD, and an artefact enters the model's past
    with no more, so one wild reading is no transient (the cleaner of Martin and Thomson 1982).

    The model is learned from the first `epoch` of clean readings and then kept; until then the score is nan. The
    animal's own transients of that time are in it. Its level follows the readings, for a busy hour lowers dF/F. With
    `model: anchor` it is that of the animal's drug-free sessions. Real background is not Gaussian noise of one
    spectrum: what limits this detector are slower events that no model foretells, and `onset` is made against those.
    """

    kind: Literal["matched_filter"] = "matched_filter"
    threshold: float = Field(5.0, description="Score at which a transient has begun; 5.0: 2 /min in real background.")
    release: float = Field(2.5, description="Score below which it is over (hysteresis).")
    rise: Seconds = Field(0.05, gt=0, le=5, description="Time constant of the transient's rise.")
    decay: Seconds = Field(0.5, gt=0, le=60, description="Time constant of its decay.")
    epoch: Seconds = Field(120.0, gt=0, description="Clean time from the start that the model is learned from.")
    scale: Seconds = Field(30.0, gt=0, description="Time constant of level, and of the scale that each sum is in.")
    leap: float = Field(4.0, gt=0, description="Largest innovation that counts, in its SD.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("past", autoregressive.PAST), ("sums", autoregressive.SUMS)]
        + [(n, "i8") for n in ("known", "scored", "filled", "at")]
        + [(n, "f8") for n in ("mean", "sd", "foretold")]
        + [(n, "f8", (_BANK,)) for n in ("rest", "now", "square")]
        + [("coefficients", "f8", (autoregressive.MOST,)), ("weights", "f8", (int(_LENGTHS.sum()),))]
        + [("ring", "f8", (2 * _MOST,))],
        align=True,
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [(n, "i8") for n in ("order", "epoch", "given")]
        + [(n, "f8") for n in ("sd", "alpha", "prior", "leap")]
        + [("coefficients", "f8", (autoregressive.MOST,)), ("transient", "f8", (_MOST,))],
        align=True,
    )
    score: ClassVar[Any] = staticmethod(_score)
    learn: ClassVar[Any] = staticmethod(_learn)
    follow: ClassVar[Any] = staticmethod(_follow)
    resume: ClassVar[Any] = staticmethod(_resume)
    shown: ClassVar[dict[str, Any]] = {"innovation_sd": _innovation_sd}
    knows_nan: ClassVar[bool] = True

    @model_validator(mode="after")
    def _rises_before_it_decays(self) -> Self:
        if self.rise >= self.decay:
            raise ValueError(f"rise ({self.rise:g} s) must be shorter than decay ({self.decay:g} s); shorten rise")
        return self

    def notes(self, rate_hz: float) -> list[str]:
        """Says what the templates are in time, and how long there is no score."""
        shortest, longest = (length / rate_hz for length in (_LENGTHS[0], _LENGTHS[-1]))
        said = [f"matched_filter: templates of {shortest * 1e3:.3g} to {longest * 1e3:.3g} ms"]
        if not (self.model == "anchor" or self.coefficients):
            said.append(f"matched_filter: unknown for {self.epoch:g} s, while its model is learned from clean readings")
        if longest > 4 * self.decay:
            said.append(
                "matched_filter: the longest are filled by drift and by several events; onset is the better one here"
            )
        if longest < self.rise:
            said.append(f"matched_filter: all templates end before a rise of {self.rise * 1e3:g} ms does")
        return said

    def parameters(self, rate_hz: float) -> Any:
        """One record: order, readings of the epoch, the transient, and the model if one is given.

        Raises:
            ConfigError: the model is to come from an anchor and there is none, or is one of another rate.
        """
        made = np.zeros(1, self.parameter_type)
        self.set_given(made, rate_hz)
        made["epoch"] = readings_in(self.epoch, rate_hz, least=4 * self.order)
        kept = readings_in(self.scale, rate_hz)
        made["alpha"], made["prior"] = 1 / kept, _PRIOR * kept
        made["leap"] = templates.believable(self.leap, self.rise, rate_hz)
        since = (np.arange(_MOST) + 0.5) / rate_hz  # the onset lies half a reading before the first one, on average
        made["transient"] = templates.transient(since, self.rise, self.decay)
        return made
