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
    7. decision   what the block's policy wants, or a person who asked for a test pulse
    8. limit      allowed, or the reason it is not: warm-up, pause, veto, gates, rest, dose, limits

Our own light is known here from the plan (decision, length, what it may be late, recovery), which depends on readings
alone, and from the stimulator's TTL copy in the reading's flags: recovery counts from the end of whichever was last.
Delivery is the stimulator's to confirm, and is recorded apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from closedloop import allowing, chain, deciding, detectors, dose, gates, limits, quality, schedule, wire
from closedloop.chain import Chain, Kernel, Shown, side_by_side
from closedloop.deciding import TEST, Deciding
from closedloop.detectors import Detector, Kernels
from closedloop.dose import NO_LIMITS, DoseLimits
from closedloop.features import Feature
from closedloop.gates import Gate
from closedloop.model import direct, kernel
from closedloop.policies import FIRE, SHAM, Policy
from closedloop.quality import Quality
from closedloop.readings import FLAG_LIGHT, FLAG_NO_CONTROL, MOST_AT_ONCE, READING, Readings, scale_of
from closedloop.schedule import Block
from closedloop.steps import (
    DETECTED,
    GATE_OPEN,
    HIGH,
    LATCHED,
    PLANNED,
    RESTARTED,
    VALID,
    WARM,
    Steps,
    step_type,
)
from closedloop.train import Refusal, Train


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
    blocks: tuple[Block, ...] = ()
    gates: tuple[Gate, ...] = ()
    input_names: tuple[str, ...] = ()
    dose: DoseLimits = NO_LIMITS
    power_mw: float | None = None  # at the tip while lit
    seed: int = 0
    real_time: bool = True  # False where a recording is played faster: when light was delivered means nothing then

    @property
    def decisions(self) -> tuple[str, ...]:
        """All that may be decided, number 1 first; see `deciding.decisions_of`."""
        return deciding.decisions_of(self.policy, self.blocks)


@kernel
def _bits(state: Any, valid: bool, high: bool, detected: bool, planned: bool, warm: bool, gate: bool) -> int:
    bits = valid * VALID + high * HIGH + detected * DETECTED + planned * PLANNED + warm * WARM + gate * GATE_OPEN
    bits += state.restarted * RESTARTED + (state.latched != 0) * LATCHED
    state.restarted = 0
    return bits  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _compile(  # noqa: C901, PLR0915 - the eight steps of the path, in one place
    features: Chain, detector: Kernels, policies: Deciding, shown: Shown
) -> Callable[..., int]:
    """All parts as one machine-code function; the kernels are fixed, parameters and memory are not."""
    value_of, score_of, prepare = features.value, detector.score, detector.prepare
    follow, learn_from = detector.follow, detector.learn
    decide, ahead_of, taken = policies.decide, policies.ahead, policies.taken
    resume_features, resume_detector = chain.done_by(features.resume), chain.done_by(detector.resume)
    show = _show(shown)

    @kernel
    def run(  # noqa: C901, PLR0912, PLR0915 - as above
        memories: Any, all_parameters: Any, readings: Any, steps: Any
    ) -> int:
        memory, parameters = memories[0], all_parameters[0]
        state, crossing = memory.state, memory.crossing
        p, crossing_p, schedule_p = parameters.session, parameters.crossing, parameters.schedule
        gated, gate = parameters.gates.count > 0, True
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
                state.first = ticks
                state.warm_from = ticks
                state.began = ticks - allowing.NEVER
            lit = (reading.flags & FLAG_LIGHT) != 0
            if lit:
                state.frozen_until = max(state.frozen_until, ticks + p.lit_recovery_us)
            own = lit or ticks < state.frozen_until
            verdict = quality.verdict(
                memory.quality, parameters.quality, ticks, reading.signal_lit, reading.flags, signal, control, own
            )
            if verdict >= quality.RESTART:
                return i
            block = schedule.now(memory.schedule, schedule_p, ticks, ticks - state.first)
            if block != state.block:
                allowing.enter(memory, parameters, block)
            if gated:
                gate = gates.look(memory.gates, parameters.gates, reading.inputs, ticks)
            if memory.dose.slow != 0.0:
                dose.cool(memory.dose, parameters.dose, ticks)
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
            which, since = 0, memory.schedule.clock - memory.schedule.began
            wanted = 0
            if block != schedule.OVER:
                which = schedule_p.policy[block]
                wanted = decide(which, memory, parameters, detected, high, ticks, since if block else -1)
            ahead = ahead_of(which, memory, parameters, since) if wanted != 0 else 0
            decision = 0
            if wanted != 0 or state.asked != 0:
                decision = allowing.wanted_in_truth(state, p, parameters.codes.of[which, wanted])
            refused = 0
            number = 0
            if detected or decision != 0:
                state.train += 1
                number = state.train
            if decision != 0:
                refused = allowing.reason(memory, parameters, score, ticks, ticks + ahead, verdict)
                refused = allowing.latch(state, p, decision, refused)
                if refused == 0:
                    allowing.commit(memory, parameters, ticks + ahead)
                    if wanted != 0:
                        taken(which, memory, parameters, wanted)
            valid = clean and verdict == 0 and not np.isnan(score)
            step.feature = value
            step.score = score
            step.threshold = crossing_p.threshold
            step.train = number
            warm = ticks - state.warm_from >= p.warm_up_us
            step.bits = _bits(state, valid, high, detected, ticks < state.frozen_until, warm, gate)
            step.veto = verdict
            step.decision = decision
            step.refused = refused
            step.ahead = ahead
            step.kelvin = dose.kelvin(memory.dose, parameters.dose)
            step.block = block
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


def _session(plan: Plan, nano_units: int) -> Any:
    """One allowing.SESSION record."""
    decisions = plan.decisions

    def code(name: str) -> int:
        return decisions.index(name) + 1 if name in decisions else 0

    row = (
        scale_of(nano_units),
        round(plan.warm_up_s * 1e6),
        round(plan.recovery_s * 1e6),
        round(plan.recovery_s * 1e6) if plan.real_time else 0,
        plan.train.span_us,
        code(FIRE) or -1,
        code(SHAM),
        code(TEST),
    )
    return np.array([row], allowing.SESSION)


class Loop:
    """The chain of one session, with the memory of what it has seen; one session, one loop.

    Attributes:
        step_type: of a step: STEP, and a number for each thing that this session's parts show.
        highest: that the score can come to; None where nothing caps it.
    """

    def __init__(self, plan: Plan, *, rate_hz: float, nano_units: int) -> None:
        features, detector = chain.chain(plan.features), detectors.whole(plan.detector)
        policies = deciding.deciding(plan.policy, plan.blocks)
        learned = {"features": chain.memory_of(plan.features), "detector": detector.memory}
        learned |= {"crossing": detectors.CROSSING_MEMORY, "quality": quality.MEMORY}
        kept = {
            "policies": policies.memory,
            "ledger": limits.MEMORY,
            "state": allowing.STATE,
            "schedule": schedule.MEMORY,
        }
        kept |= {"gates": gates.MEMORY, "dose": dose.MEMORY}
        self._learned = tuple(learned)
        self._memory = np.zeros(1, chain.record(tuple((learned | kept).items())))
        self._memory["gates"]["open"] = 1  # until a gate says otherwise
        self.highest = plan.detector.highest(rate_hz)
        crossing = plan.detector.crossing(rate_hz)
        bounds = float(crossing["threshold"][0]), float(crossing["release"][0])
        self._parameters = side_by_side(
            {
                "features": chain.parameters_of(plan.features, rate_hz),
                "detector": detector.parameters(rate_hz),
                "crossing": crossing,
                "policies": policies.parameters(rate_hz, plan.seed),
                "codes": policies.codes,
                "quality": quality.parameters(plan.quality, rate_hz),
                "train": limits.parameters(plan.train, plan.level, plan.limits),
                "session": _session(plan, nano_units),
                "schedule": schedule.parameters(plan.policy, plan.blocks, plan.warm_up_s, bounds),
                "gates": gates.parameters(plan.gates, plan.input_names),
                "dose": dose.parameters(plan.train, plan.power_mw, plan.dose, rate_hz),
            }
        )
        shown = _all_shown(features, detector.kernels)
        self.step_type = step_type(name for name, _ in shown)
        self._run = _compile(features, detector.kernels, policies.kernels, shown)
        self._direct: Callable[..., int] | None = None
        self._steps = np.zeros(MOST_AT_ONCE, self.step_type)
        self._one = self._steps[:1]

    def compile(self) -> None:
        """Make the machine code now (one to ten seconds, by its parts), so that the first reading does not wait."""
        self._direct = direct(self._run, self._memory, self._parameters, np.zeros(0, READING), self._steps)

    def take(self, readings: Readings) -> Steps:
        """As `run`, of at most MOST_AT_ONCE readings as they come: quicker, for what is said is used again.

        Args:
            readings: array of READING; one without a gap in memory is taken at once.

        Returns:
            Array of `step_type`, as long as `readings`; the next call writes into it.
        """
        if self._direct is None:
            self.compile()
        count = len(readings)
        steps = self._one if count == 1 else self._steps[:count]
        if readings.dtype is not READING or not readings.flags.c_contiguous:
            return self.run(readings, steps)  # nobody checks types beyond this line
        done = self._direct(self._memory, self._parameters, readings, steps)  # type: ignore[misc]
        return steps if done == count else self._after_a_restart(readings, steps, done)

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
        return self._after_a_restart(readings, steps, done)

    def _after_a_restart(self, readings: Readings, steps: Steps, done: int) -> Steps:
        """Go on where the loop wanted to begin anew, as often as it does."""
        while done < len(readings):
            self._forget(int(readings["ticks"][done]))
            done += self._run(self._memory, self._parameters, readings[done:], steps[done:])
        return steps

    def ask_test_pulse(self) -> None:
        """Want one train at the next reading, by hand; every limit applies to it as to any other."""
        self._memory["state"]["asked"] = 1

    def mark(self) -> tuple[Any, Any]:
        """What the loop knows now, for `back_to`."""
        return self._memory.copy(), self._parameters.copy()

    def back_to(self, mark: tuple[Any, Any]) -> None:
        """Forget what came after a mark; it may be gone back to again."""
        self._memory[:], self._parameters[:] = mark

    @property
    def bounds(self) -> tuple[float, float]:
        """Threshold and release of the score that are in force."""
        crossing = self._parameters["crossing"][0]
        return float(crossing["threshold"]), float(crossing["release"])

    def set_threshold(self, threshold: float, release: float) -> None:
        """Other bounds of the score from the next reading on; what the detector has learned stays.

        They hold for this block, and for the later ones of which the protocol says nothing else.
        """
        block, bounds = int(self._memory["state"]["block"][0]), self._parameters["schedule"][0]
        before = self.bounds
        for at in range(len(bounds["threshold"])):
            if at == block or (bounds["threshold"][at], bounds["release"][at]) == before:
                bounds["threshold"][at], bounds["release"][at] = threshold, release
        self._parameters["crossing"]["threshold"] = threshold
        self._parameters["crossing"]["release"] = release

    def pause(self, paused: bool) -> None:
        """Stop the clock of the blocks from the next reading on, and refuse all light; or go on."""
        self._memory["schedule"]["paused"] = paused
        self._memory["schedule"]["until"] = 0  # looked at again at the next reading

    def _forget(self, ticks: int) -> None:
        """Start learning anew at these ticks; what was delivered, and what rests, is not forgotten."""
        for name in self._learned:
            self._memory[name] = np.zeros(1, self._memory[name].dtype)
        self._memory["state"]["warm_from"] = ticks
        self._memory["state"]["restarted"] = 1
