"""Every animal, phase and arm of a study, rehearsed. Arms of one animal share all that is random but the light.

Every virtual animal goes through every arm, as no real one can: arms then differ in nothing but the light, and a
simulated study may draw any animal for any arm.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from closedloop.analysis import workers
from closedloop.analysis.rehearsal import partners
from closedloop.analysis.rehearsal.animals import SPREAD, Drawn, Spread, draw, in_phase
from closedloop.analysis.rehearsal.driver import Rehearsed, compile_all, rehearse
from closedloop.analysis.rehearsal.order import Order, problems
from closedloop.analysis.rehearsal.script import NO_ARM, Script
from closedloop.arm_policy import ANIMAL, OWN, PARTNER, policy_of
from closedloop.errors import ConfigError
from closedloop.study import Arm, Slot


class Key(NamedTuple):
    """One session."""

    effect: float
    animal: int
    phase: str
    session: int
    arm: str


@dataclass(frozen=True)
class Whole:
    """What came of it all."""

    script: Script
    animals: int
    seed: int
    effects: tuple[float, ...]
    spread: Spread
    sessions: dict[Key, Rehearsed]


def rehearse_study(
    script: Script,
    animals: int,
    effects: Sequence[float],
    seed: int,
    *,
    jobs: int | None = None,
    spread: Spread = SPREAD,
    advance: Callable[[int], None] = lambda _: None,
) -> Whole:
    """All sessions, under each assumed effect of light on preference.

    Args:
        script: the study.
        animals: virtual ones.
        effects: change of preference by a second of full light, as a part; 0 for none.
        seed: of everything random; the same seed gives the same study.
        jobs: threads; None for one for each core.
        spread: between animals.
        advance: called with the readings done since the last call.

    Raises:
        ConfigError: a policy cannot be used; says why.
    """
    if script.simulation.arena is None and any(effects):
        raise ConfigError(
            f"--effect: rig {script.rig.name} has no simulation.arena, so light can change no preference; name a rig "
            "with one, such as --rig simulated_cpp"
        )
    drawn = draw(script.simulation.animal, script.simulation.arena, animals, seed, spread)
    sessions: dict[Key, Rehearsed] = {}
    with tempfile.TemporaryDirectory(prefix="closedloop-rehearse-") as folder:
        for effect in effects:
            crew = _Crew(script, drawn, effect, seed, Path(folder), sessions)
            for slot in script.study.slots:
                for arms in crew.waves(slot):
                    crew.run(slot, arms, jobs or workers.cores(), advance)
    return Whole(script, animals, seed, tuple(effects), spread, sessions)


class _Crew:
    """One pass through the study, under one assumed effect."""

    def __init__(
        self,
        script: Script,
        drawn: Sequence[Drawn],
        effect: float,
        seed: int,
        folder: Path,
        sessions: dict[Key, Rehearsed],
    ) -> None:
        self._script, self._effect, self._seed, self._folder, self._sessions = script, effect, seed, folder, sessions
        self._dark = {key[1:]: one for key, one in sessions.items() if not one.starts_us}
        self._drawn = [self._assuming(one) for one in drawn]
        self._slots = {(slot.phase.name, slot.session): at for at, slot in enumerate(script.study.slots)}

    def _assuming(self, drawn: Drawn) -> Drawn:
        if drawn.arena is None:
            return drawn
        return drawn._replace(arena=drawn.arena.model_copy(update={"effect": self._effect}))

    def waves(self, slot: Slot) -> Iterator[list[str]]:
        """Arms that may be rehearsed together: those that are yoked come after those they are yoked to."""
        arms = self._script.arms(slot.phase)
        late = [name for name in arms if (arm := self._script.arm(name)) is not None and arm.yoked_to is not None]
        yield [name for name in arms if name not in late]
        if late:
            yield late

    def run(self, slot: Slot, arms: Sequence[str], jobs: int, advance: Callable[[int], None]) -> None:
        """One session of each animal in each of these arms."""
        keys = [self._key(animal, slot, arm) for arm in arms for animal in range(len(self._drawn))]
        orders = [self._order(key, slot) for key in keys]
        known = {key: self._known(key) for key in keys}
        left = [(key, order) for key, order in zip(keys, orders, strict=True) if known[key] is None]
        each_arm = {key.arm: order for key, order in left}
        self._refuse(slot, each_arm)
        compile_all(list(each_arm.values()))
        done = workers.everywhere(rehearse, [order for _, order in left], jobs, advance)
        made = dict(zip((key for key, _ in left), done, strict=True))
        for key, order in zip(keys, orders, strict=True):
            old = known[key]
            if old is not None:
                advance(order.readings)
            self._sessions[key] = session = made[key] if old is None else old
            if not session.starts_us:
                self._dark[key[1:]] = session

    def _refuse(self, slot: Slot, each_arm: dict[str, Order]) -> None:
        """Raises ConfigError for sessions that could not be run on this rig."""
        about = f"{self._script.path}: phase {slot.phase.name}"
        wrong = [f"{about}, arm {arm}: {said}" for arm, order in each_arm.items() for said in problems(order)]
        if wrong:
            raise ConfigError(*dict.fromkeys(wrong))

    def _key(self, animal: int, slot: Slot, arm: str) -> Key:
        return Key(self._effect, animal, slot.phase.name, slot.session, arm)

    def _known(self, key: Key) -> Rehearsed | None:
        """The same session under another assumption, if no light fell in it: then nothing can differ."""
        return self._dark.get(key[1:])

    def _order(self, key: Key, slot: Slot) -> Order:
        script, drawn = self._script, self._drawn[key.animal]
        seeds = np.random.SeedSequence([self._seed, key.animal, self._slots[slot.phase.name, slot.session]])
        seed, policy_seed = (int(one) for one in seeds.generate_state(2))
        protocol = script.protocols[slot.phase.name]
        arm = script.arm(key.arm)
        if arm is not None:
            policy = policy_of(arm.policy, self._places(key, slot, arm), script.path.parent)
            protocol = protocol.in_arm(policy, key.arm)
        animal = in_phase(drawn.animal, slot.phase.name)
        return Order(protocol, script.rig, animal, drawn.arena, seed, policy_seed, script.duration_s)

    def _places(self, key: Key, slot: Slot, arm: Arm) -> dict[str, str]:
        """What the placeholders of an arm's policy mean: files of rehearsed trains."""
        places = {ANIMAL: f"animal {key.animal + 1}"}
        for name in {*arm.placeholders} - {ANIMAL}:
            source = self._source(key, slot, arm, name)
            light = self._script.protocols[source.phase].light
            places[name] = str(partners.write(self._sessions[source], self._script.rig, light, self._file(source)))
        return places

    def _file(self, key: Key) -> Path:
        name = "_".join(str(part) for part in key).replace(" ", "_").replace("/", "_")
        return self._folder / f"{name}.yaml"

    def _source(self, key: Key, slot: Slot, arm: Arm, name: str) -> Key:
        """The session whose trains are wanted: the next animal's in the partner arm, or an earlier one of its own."""
        if name == PARTNER and arm.yoked_to is not None:
            return key._replace(animal=(key.animal + 1) % len(self._drawn), arm=arm.yoked_to)
        phase = name.removeprefix(OWN).strip()
        own = [old for old in self._sessions if (old.effect, old.animal, old.phase) == (key.effect, key.animal, phase)]
        if not own:
            raise ConfigError(
                f"{self._script.path}: arms.{key.arm}.policy: {{{name}}} is asked for in {slot.phase.name}, and no "
                "session of it comes before; order the days so"
            )
        in_arm = [old for old in own if old.arm in (key.arm, NO_ARM)]
        return max(in_arm or own, key=lambda old: old.session)
