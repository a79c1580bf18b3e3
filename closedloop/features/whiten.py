"""What of a value its own past does not foretell: coloured noise made white. Of a level it keeps little."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.errors import ConfigError
from closedloop.features import Feature
from closedloop.model import Seconds, kernel
from closedloop.noise_model import NoiseModel
from closedloop.online import autoregressive
from closedloop.online.robust import is_number

_FIRST_S = 60.0  # a first model after so long, to be bettered until the epoch is over


@kernel
def _learn(memory: Any, p: Any, x: float) -> None:
    """Gather one more value; a model after `first` of them, and a better one whenever they have doubled."""
    sums = memory.sums
    if memory.due == 0:
        memory.due = p.first
    autoregressive.gather(sums, memory.past, p.order, x)
    if sums.count < memory.due:
        return
    coefficients = np.empty(p.order)
    sd = autoregressive.solve(sums, p.order, coefficients)
    if np.isnan(sd):  # no noise so far, as in a signal that is not there yet: begin anew
        autoregressive.clear(sums)
        return
    memory.mean = autoregressive.mean_of(sums)
    memory.sd = sd
    memory.coefficients[: p.order] = coefficients
    memory.due = min(2 * memory.due, p.epoch)


@kernel
def _value(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    if not is_number(signal):
        return np.nan
    out = np.nan
    if p.given:
        out = autoregressive.innovation(memory.past, p.coefficients, p.order, 0.0, signal) / p.sd
    elif memory.sd > 0.0:
        out = autoregressive.innovation(memory.past, memory.coefficients, p.order, memory.mean, signal) / memory.sd
    if learn and not p.given and memory.sums.count < p.epoch:
        _learn(memory, p, signal)
    else:
        autoregressive.skip(memory.sums)
    autoregressive.push(memory.past, p.order, signal)
    return out


@kernel
def _resume(memory: Any, p: Any) -> None:
    autoregressive.forget(memory.past, memory.sums)


@kernel
def _sd(memory: Any, p: Any) -> float:
    """SD of the innovations, in units of what comes before in the chain."""
    if p.given:
        return p.sd  # type: ignore[no-any-return]
    return memory.sd if memory.sd > 0.0 else np.nan


class Whiten(NoiseModel, Feature):
    """Innovations of an autoregressive model of whatever comes before it in the chain, in standard deviations of them.

    An independent threshold on coloured noise is worthless: AR(1) noise of 0.3 turns 1 false alarm an hour into 59
    (SCIENCE 5.2). Innovations are independent, and 1 means one standard deviation of what could not be foretold. A
    step of the input by d stays in them as d (1 - sum of coefficients) / sd, which may be little: at 0.9, a tenth.

    The model is learned from clean readings until `epoch` of them have passed, and then kept. There is a first one
    after a minute, and a better one whenever the readings have doubled; nan until the first, and for the first `order`
    readings after light or a veto. Transients of that time are part of it. With n readings learned from, what it says
    of the slowest noise is wrong by 2 sqrt(order / n) (Berk 1974): 9 % after a minute at 130 Hz, 4 % after five. In
    AR(1) noise of 0.9 a threshold for 1 false alarm an hour then gives 1.3, or 1.1 (benchmarks/detectors.py). With
    `model: anchor` it is that of the animal's drug-free sessions, hours of them, which gives 1.0, and is there from
    the first readings on; that is the one to use.
    """

    kind: Literal["whiten"] = "whiten"
    epoch: Seconds = Field(300.0, gt=0, description="Clean time from the start that the model is learned from.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [
            ("past", autoregressive.PAST),
            ("sums", autoregressive.SUMS),
            ("due", "i8"),  # values gathered at which the next model is made
            ("mean", "f8"),
            ("sd", "f8"),
            ("coefficients", "f8", (autoregressive.MOST,)),
        ],
        align=True,
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [
            ("order", "i8"),
            ("first", "i8"),
            ("epoch", "i8"),
            ("given", "i8"),
            ("sd", "f8"),
            ("coefficients", "f8", (autoregressive.MOST,)),
        ],
        align=True,
    )
    value: ClassVar[Any] = staticmethod(_value)
    resume: ClassVar[Any] = staticmethod(_resume)
    shown: ClassVar[dict[str, Any]] = {"innovation_sd": _sd}

    def notes(self, rate_hz: float) -> list[str]:
        """Says how long it is silent, or why there is no model."""
        try:
            self.parameters(rate_hz)
        except ConfigError as error:
            return list(error.problems)
        if self.coefficients:
            return []
        first = min(_FIRST_S, self.epoch)
        return [f"whiten: unknown for {first:g} s; its model is final after {self.epoch:g} s of clean readings"]

    def parameters(self, rate_hz: float) -> Any:
        """One record: order, readings to the first and to the last model, and the model if one is given.

        Raises:
            ConfigError: the model is to come from an anchor and there is none, or is one of another rate.
        """
        made = np.zeros(1, self.parameter_type)
        made["epoch"] = max(round(self.epoch * rate_hz), 4 * self.order)
        made["first"] = min(made["epoch"][0], max(round(_FIRST_S * rate_hz), 4 * self.order))
        self.set_given(made, rate_hz)
        return made
