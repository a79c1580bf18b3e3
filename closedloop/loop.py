"""Readings in, steps out. No thread, no I/O and no clock: time is the readings' own.

Live, `Loop.run` is called with whatever has arrived, usually one reading; in replay with a million. It is the same
compiled function, working through the readings one by one, so the same readings give the same steps to the last bit
however they were cut up. What happens to one reading, in order:

    1. numbers    counts times scale; absent control is nan
    2. quality    a veto with its reason, or none
    3. feature    one float; its baseline learns only if nothing speaks against it
    4. score      how unusual; nan while warming up
    5. crossing   is this where hyperactivity begins? not asked under our own light
    6. learn      the detector's evidence, under the same conditions as 3; its statistics, and not during a detection
    7. decision   what the policy wants, or a person who asked for a test pulse
    8. limit      allowed, or the reason it is not

Our own light is known here from the plan (decision, length, recovery), which depends on readings alone, and from the
stimulator's TTL copy in the reading's flags. Delivery is the stimulator's to confirm, and is recorded apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop import chain, detectors, limits, quality, wire
from closedloop.chain import Chain, Kernel, Shown, side_by_side
from closedloop.detectors import Detector, Kernels
from closedloop.features import Feature
from closedloop.model import kernel
from closedloop.policies import Policy
from closedloop.quality import Quality
from closedloop.readings import FLAG_LIGHT, FLAG_NO_CONTROL, READING, Readings, scale_of
from closedloop.train import Refusal, Train

STEP = np.dtype(
    [
        ("feature", "<f8"),
        ("score", "<f8"),
        ("threshold", "<f8"),
        ("train", "<u4"),  # number of the detection or wanted train; 0: none here
        ("bits", "u1"),  # VALID ... below
        ("veto", "u1"),  # Refusal: why this reading is not fit to act on
        ("decision", "u1"),  # number in the policy's decisions; 0: nothing wanted
        ("refused", "u1"),  # Refusal: why what was wanted is not given
    ],
    align=True,
)

VALID = 1  # fit to act on: no veto, no light of ours, a score that is known
HIGH = 2  # hyperactivity goes on
DETECTED = 4  # ... and begins here
PLANNED = 8  # within a train of ours or its recovery, by plan
WARM = 32  # the protocol's warm-up is over
RESTARTED = 16  # all that was learned was forgotten at this reading

_STATE = np.dtype(
    [
        ("started", "i8"),
        ("warm_from", "i8"),
        ("frozen_until", "i8"),
        ("resting_until", "i8"),
        ("train", "i8"),
        ("restarted", "i8"),
        ("asked", "i8"),
        ("unclean", "i8"),  # the last reading was light, its artefact, or vetoed
    ],
    align=True,
)
_SESSION = np.dtype(
    [
        ("scale", "f8"),
        ("warm_up_us", "i8"),
        ("recovery_us", "i8"),
        ("refractory_us", "i8"),
        ("span_us", "i8"),
        ("test_code", "i8"),
    ],
    align=True,
)

TEST = "test"  # the decision of a person: its number comes after those of the policy

_SHOWN = np.dtype("<f4")

Steps = npt.NDArray[np.void]


@dataclass(frozen=True)
class Plan:
    """What a loop is made of; all of it frozen, so that the recording can hold it as written."""

    features: tuple[Feature, ...]
    detector: Detector
    policy: Policy
    quality: Quality
    train: Train
    level: int  # of the train, in 1/65535 of full power
    limits: wire.Limits
    warm_up_s: float
    recovery_s: float


@kernel
def _reason(state: Any, ledger: Any, p: Any, train: Any, ticks: int, veto: int) -> int:
    """Refusal for a train wanted now, or 0."""
    if ticks - state.warm_from < p.warm_up_us:
        return Refusal.WARM_UP.value
    if veto != 0:
        return veto
    if ticks < state.resting_until:
        return Refusal.REFRACTORY.value
    return limits.refusal(ledger, train, ticks)


@kernel
def _commit(state: Any, ledger: Any, p: Any, train: Any, ticks: int) -> None:
    """A train starts at this reading, by plan."""
    limits.spend(ledger, train, ticks)
    state.frozen_until = ticks + p.span_us + p.recovery_us
    state.resting_until = ticks + p.span_us + p.refractory_us


@kernel
def _or_asked(state: Any, p: Any, wanted: int) -> int:
    """What the policy wants, or the test pulse that a person asked for."""
    if state.asked == 0:
        return wanted
    state.asked = 0
    return p.test_code  # type: ignore[no-any-return]


@kernel
def _bits(state: Any, valid: bool, high: bool, detected: bool, planned: bool, warm: bool) -> int:
    bits = valid * VALID + high * HIGH + detected * DETECTED + planned * PLANNED + warm * WARM
    bits += state.restarted * RESTARTED
    state.restarted = 0
    return bits  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _compile(  # noqa: C901, PLR0915 - the eight steps of the path, in one place
    features: Chain, detector: Kernels, decide: Kernel, shown: Shown
) -> Callable[..., int]:
    """All parts as one machine-code function; the kernels are fixed, parameters and memory are not."""
    value_of, score_of, prepare = features.value, detector.score, detector.prepare
    follow, learn_from = detector.follow, detector.learn
    resume_features, resume_detector = chain.done_by(features.resume), chain.done_by(detector.resume)
    show = _show(shown)

    @kernel
    def run(memories: Any, all_parameters: Any, readings: Any, steps: Any) -> int:  # noqa: C901, PLR0915 - as above
        memory, parameters = memories[0], all_parameters[0]
        state, crossing, ledger = memory.state, memory.crossing, memory.ledger
        p, crossing_p = parameters.session, parameters.crossing
        for i in range(len(readings)):
            reading = readings[i]
            step = steps[i]
            ticks = reading.ticks
            signal = (np.int64(reading.signal_lit) - np.int64(reading.signal_dark)) * p.scale
            control = (np.int64(reading.control_lit) - np.int64(reading.control_dark)) * p.scale
            if reading.flags & FLAG_NO_CONTROL:
                control = np.nan
            if state.started == 0:
                state.started = 1
                state.warm_from = ticks
            own = ticks < state.frozen_until or (reading.flags & FLAG_LIGHT) != 0
            verdict = quality.verdict(
                memory.quality, parameters.quality, ticks, reading.signal_lit, reading.flags, signal, control, own
            )
            if verdict >= quality.RESTART:
                return i
            clean = not own and verdict in (0, Refusal.NO_SIGNAL.value)
            if clean and state.unclean != 0:
                resume_features(memory.features, parameters.features)
                resume_detector(memory.detector, parameters.detector)
            state.unclean = not clean
            teach = clean and not detectors.held(crossing, crossing_p, ticks)
            value = value_of(memory.features, parameters.features, signal, control, teach)
            prepare(memory.detector, parameters.detector, signal, control, teach)
            score = score_of(memory.detector, parameters.detector, value)
            detected = not own and detectors.cross(crossing, crossing_p, score, ticks)
            if clean:
                follow(memory.detector, parameters.detector, value)
                if not detectors.held(crossing, crossing_p, ticks):
                    learn_from(memory.detector, parameters.detector, value)
            high = crossing.high != 0
            wanted = 0 if np.isnan(score) else decide(memory.policy, parameters.policy, detected, high, ticks)
            wanted = _or_asked(state, p, wanted)
            refused = 0
            number = 0
            if detected or wanted != 0:
                state.train += 1
                number = state.train
                refused = _reason(state, ledger, p, parameters.train, ticks, verdict)
            if wanted != 0 and refused == 0:
                _commit(state, ledger, p, parameters.train, ticks)
            valid = clean and verdict == 0 and not np.isnan(score)
            step.feature = value
            step.score = score
            step.threshold = crossing_p.threshold
            step.train = number
            warm = ticks - state.warm_from >= p.warm_up_us
            step.bits = _bits(state, valid, high, detected, ticks < state.frozen_until, warm)
            step.veto = verdict
            step.decision = wanted
            step.refused = refused
            show(memory, parameters, step)
        return len(readings)

    return run


def _show(shown: Shown) -> Kernel:
    """Puts each shown number into the step, by its name."""
    if not shown:

        @kernel
        def show_nothing(memory: Any, p: Any, step: Any) -> None:
            pass

        return show_nothing
    (name, number_of), rest = shown[0], _show(shown[1:])

    @kernel
    def show(memory: Any, p: Any, step: Any) -> None:
        step[name] = number_of(memory, p)
        rest(memory, p, step)

    return show


def _all_shown(features: Chain, detector: Kernels) -> Shown:
    """What is recorded of all parts, each under a name of its own."""
    shown = [(name, chain.within("features", of)) for name, of in features.shown]
    shown += [(name, chain.within("detector", of)) for name, of in detector.shown]
    named: dict[str, Kernel] = {}
    for name, of in shown:
        free = (f"{name}_{at}" if at > 1 else name for at in range(1, len(shown) + 1))
        named[next(one for one in free if one not in named)] = of
    return tuple(named.items())


def told(step: Any, decisions: tuple[str, ...], refused: Refusal) -> list[tuple[str, str | None, float | None]]:
    """The events of one step that has a train number, as (kind, reason, value), in the order in which they happened.

    Args:
        step: one STEP.
        decisions: the policy's, number 1 first.
        refused: the loop's own refusal, or what a live run had to add to it.
    """
    events: list[tuple[str, str | None, float | None]] = []
    if step["bits"] & DETECTED:
        events.append(("detection", None, float(step["score"])))
    if step["decision"]:
        events.append(("decision", decisions[int(step["decision"]) - 1], None))
    if refused:
        events.append(("refused", refused.name.lower(), None))
    return events


def step_type(shown: Iterable[str]) -> np.dtype[Any]:
    """STEP with a number more for each of these names."""
    return chain.record((*((name, STEP[name]) for name in STEP.names or ()), *((name, _SHOWN) for name in shown)))


def shown_in(row: np.dtype[Any]) -> tuple[str, ...]:
    """What parts show of themselves in steps, or in a recording's rows, of this type."""
    common = {*(READING.names or ()), *(STEP.names or ()), "host_ns"}
    return tuple(name for name in row.names or () if name not in common)


class Loop:
    """The chain of one session, with the memory of what it has seen; one session, one loop.

    Attributes:
        step_type: of a step: STEP, and a number for each thing that this session's parts show.
        highest: that the score can come to; None where nothing caps it.
    """

    def __init__(self, plan: Plan, *, rate_hz: float, nano_units: int) -> None:
        features, detector, policy = chain.chain(plan.features), detectors.whole(plan.detector), plan.policy
        learned = {"features": chain.memory_of(plan.features), "detector": detector.memory}
        learned |= {"crossing": detectors.CROSSING_MEMORY, "quality": quality.MEMORY}
        kept = {"policy": policy.memory_layout(), "ledger": limits.MEMORY, "state": _STATE}
        self._learned = tuple(learned)
        self._memory = np.zeros(1, chain.record(tuple((learned | kept).items())))
        session = (
            scale_of(nano_units),
            round(plan.warm_up_s * 1e6),
            round(plan.recovery_s * 1e6),
            round(policy.refractory * 1e6),
            plan.train.span_us,
            len(policy.decisions) + 1,
        )
        self.highest = plan.detector.highest(rate_hz)
        self._parameters = side_by_side(
            {
                "features": chain.parameters_of(plan.features, rate_hz),
                "detector": detector.parameters(rate_hz),
                "crossing": plan.detector.crossing(rate_hz),
                "policy": policy.parameters(rate_hz),
                "quality": quality.parameters(plan.quality, rate_hz),
                "train": limits.parameters(plan.train, plan.level, plan.limits),
                "session": np.array([session], _SESSION),
            }
        )
        shown = _all_shown(features, detector.kernels)
        self.step_type = step_type(name for name, _ in shown)
        self._run = _compile(features, detector.kernels, type(policy).decide, shown)

    def compile(self) -> None:
        """Make the machine code now (one to ten seconds, by its parts), so that the first reading does not wait."""
        self.run(np.zeros(0, READING))

    def run(self, readings: Readings, steps: Steps | None = None) -> Steps:
        """One step for each reading.

        Args:
            readings: array of READING, in order of ticks.
            steps: where they go, every field of them; None for new ones.

        Returns:
            Array of `step_type`, as long as `readings`.
        """
        steps = np.zeros(len(readings), self.step_type) if steps is None else steps
        done = self._run(self._memory, self._parameters, readings, steps)
        while done < len(readings):
            self._forget(int(readings["ticks"][done]))
            done += self._run(self._memory, self._parameters, readings[done:], steps[done:])
        return steps

    def ask_test_pulse(self) -> None:
        """Want one train at the next reading, by hand; every limit applies to it as to any other."""
        self._memory["state"]["asked"] = 1

    @property
    def bounds(self) -> tuple[float, float]:
        """Threshold and release of the score that are in force."""
        crossing = self._parameters["crossing"][0]
        return float(crossing["threshold"]), float(crossing["release"])

    def set_threshold(self, threshold: float, release: float) -> None:
        """Other bounds of the score from the next reading on; what the detector has learned stays."""
        self._parameters["crossing"]["threshold"] = threshold
        self._parameters["crossing"]["release"] = release

    def _forget(self, ticks: int) -> None:
        """Start learning anew at these ticks; what was delivered, and what rests, is not forgotten."""
        for name in self._learned:
            self._memory[name] = np.zeros(1, self._memory[name].dtype)
        self._memory["state"]["warm_from"] = ticks
        self._memory["state"]["restarted"] = 1
