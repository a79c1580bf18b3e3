"""Animals to arms, partners, sides and orders, drawn from one seed. Nothing is read or written here.

    arms        permuted blocks within strata: each full block holds every arm as often as its share says. What does
                not fill a block is taken from one pool of all strata, so that arms stay equal overall
    sides       the least used within the arm, then overall, then together with the other factors; ties are drawn
                (minimisation; Pocock & Simon 1975, here within arms that are drawn already)
    orders      rows of Williams' square: each condition equally often at each place, and equally often straight after
                each other one (Williams 1949); rows are dealt within arms. Where the arm's policy applies, a yoked
                animal has its partner's order: there is no session to take trains from before that was run
    partners    of a yoked arm: an animal of the arm it names that begins no later, of its own stratum where there is
                one, the least used; ties are drawn
    ranks       the order of the day. Drawn, but partners come before those who get their trains

Which animal got what depends on the seed and the study alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from closedloop.errors import ConfigError
from closedloop.study import Animal, Study

_LETTERS, _SIGNS = "BCDFGHJKLMNPQRSTVWXZ", "BCDFGHJKLMNPQRSTVWXZ23456789"  # nothing that reads like a word, 0, 1 or I
_CODE_SIGNS = 4
_TRIES = 1000


@dataclass(frozen=True)
class Drawn:
    """The outcome; everything by the animal's id.

    Attributes:
        codes: opaque, one for each animal, so that opening one tells nothing of the others.
        arms: names of arms. Secret, and so are `partners`.
        partners: of animals in yoked arms.
        ranks: the order of the day, from 1.
        levels: of each factor that is counterbalanced.
        orders: of the conditions of each phase that has some.
    """

    codes: dict[str, str]
    arms: dict[str, str]
    partners: dict[str, str]
    ranks: dict[str, int]
    levels: dict[str, dict[str, str]] = field(default_factory=dict)
    orders: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)


def draw(study: Study, seed: int) -> Drawn:
    """The allocation that belongs to this seed.

    Raises:
        ConfigError: no animal can be the partner of a yoked one.
    """
    rng = np.random.default_rng(seed)
    for _ in range(_TRIES):
        arms = _arms(study, rng)
        partners = _partners(study, arms, rng)
        if partners is not None:
            break
    else:
        raise ConfigError(
            "animals: none can be the partner of a yoked one: its arm has no animal that begins as early; let "
            "animals begin together, or add some"
        )
    return Drawn(
        codes=_codes(study, rng),
        arms=arms,
        partners=partners,
        ranks=_ranks(study, partners, rng),
        levels=_levels(study, arms, rng),
        orders=_orders(study, arms, partners, rng),
    )


def stratum(study: Study, animal: Animal) -> tuple[str, ...]:
    """What of the animal arms are balanced within."""
    return tuple(animal.trait(name) or "" for name in study.allocation.stratify)


def _shuffled(items: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [items[i] for i in rng.permutation(len(items))]


def _arms(study: Study, rng: np.random.Generator) -> dict[str, str]:
    once = [arm.name for arm in study.arms for _ in range(arm.share)]
    rule = study.allocation
    strata: dict[tuple[str, ...], list[str]] = {}
    for animal in study.animals:
        strata.setdefault(stratum(study, animal), []).append(animal.id)
    pool: list[str] = []
    found: dict[str, str] = {}
    for members in strata.values():
        size = rule.block or len(once)
        full = len(members) // size
        block = once * (size // len(once))
        dealt = [arm for _ in range(full) for arm in _shuffled(block, rng)]
        while len(dealt) < len(members):
            pool = pool or _shuffled(once, rng)
            dealt.append(pool.pop())
        found |= zip(members, dealt if rule.method == "blocks" else _shuffled(dealt, rng), strict=True)
    return found


def _partners(study: Study, arms: dict[str, str], rng: np.random.Generator) -> dict[str, str] | None:
    """Of each yoked animal; None if one has nobody."""
    used: Counter[str] = Counter()
    found = {}
    for animal in study.animals:
        source = study.arm(arms[animal.id]).yoked_to
        if source is None:
            continue
        able = [one for one in study.animals if arms[one.id] == source and one.start <= animal.start]
        if not able:
            return None
        mine = stratum(study, animal)
        cost = [(stratum(study, one) != mine, used[one.id], rng.random(), one.id) for one in able]
        partner = min(cost)[-1]
        used[partner] += 1
        found[animal.id] = partner
    return found


def _codes(study: Study, rng: np.random.Generator) -> dict[str, str]:
    taken = {animal.id.upper() for animal in study.animals} | {arm.name.upper() for arm in study.arms}
    found: dict[str, str] = {}
    for animal in study.animals:
        code = ""
        while not code or code in taken:
            signs = [_LETTERS, *[_SIGNS] * (_CODE_SIGNS - 1)]
            code = "".join(some[rng.integers(len(some))] for some in signs)
        taken.add(code)
        found[animal.id] = code
    return found


def _ranks(study: Study, partners: dict[str, str], rng: np.random.Generator) -> dict[str, int]:
    order = _shuffled([animal.id for animal in study.animals], rng)
    for source in dict.fromkeys(partners.values()):
        group = [name for name in order if name == source or partners.get(name) == source]
        places = [order.index(name) for name in group]
        group.remove(source)
        for place, name in zip(places, [source, *group], strict=True):
            order[place] = name
    return {name: at + 1 for at, name in enumerate(order)}


def _by_arm(study: Study, arms: dict[str, str], rng: np.random.Generator) -> list[Animal]:
    """All animals, arm by arm and stratum by stratum, drawn within."""
    order = {arm.name: at for at, arm in enumerate(study.arms)}
    shuffled = [study.animals[i] for i in rng.permutation(len(study.animals))]
    return sorted(shuffled, key=lambda animal: (order[arms[animal.id]], stratum(study, animal)))


def _levels(study: Study, arms: dict[str, str], rng: np.random.Generator) -> dict[str, dict[str, str]]:
    factors = study.allocation.counterbalance
    counts: Counter[object] = Counter()
    found: dict[str, dict[str, str]] = {}
    for animal in _by_arm(study, arms, rng) if factors else []:
        arm = arms[animal.id]
        best: tuple[tuple[float, ...], tuple[str, ...]] | None = None
        for levels in product(*factors.values()):
            said = list(zip(factors, levels, strict=True))
            within = sum(counts[arm, one] for one in said)
            overall = sum(counts[one] for one in said)
            cost = (within, overall, counts[arm, levels], counts[levels], rng.random())
            best = min(best or (cost, levels), (cost, levels))
        levels = best[1] if best else ()
        said = list(zip(factors, levels, strict=True))
        counts.update([*said, *[(arm, one) for one in said], (arm, levels), levels])
        found[animal.id] = dict(said)
    return found


def _orders(
    study: Study, arms: dict[str, str], partners: dict[str, str], rng: np.random.Generator
) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {animal.id: {} for animal in study.animals}
    for phase in study.phases:
        if not phase.conditions:
            continue
        names = _shuffled(phase.conditions, rng)
        square = williams(len(names))
        rows = [square[i] for i in rng.permutation(len(square))]
        for at, animal in enumerate(_by_arm(study, arms, rng)):
            found[animal.id][phase.name] = tuple(names[i] for i in rows[at % len(rows)])
        for yoked, partner in partners.items() if phase.arms else ():
            found[yoked][phase.name] = found[partner][phase.name]
    return {name: orders for name, orders in found.items() if orders}


def williams(conditions: int) -> list[tuple[int, ...]]:
    """Rows of Williams' square: `conditions` of them where that number is even, twice as many where it is odd.

    In all rows together, each condition stands at each place equally often, and straight after each other one
    equally often (Williams 1949, Aust J Sci Res A 2:149).
    """
    first = [0]
    while len(first) < conditions:
        low = (len(first) + 1) // 2
        first.append(low if len(first) % 2 else conditions - low)
    rows = [tuple((one + shift) % conditions for one in first) for shift in range(conditions)]
    return rows if conditions % 2 == 0 else rows + [row[::-1] for row in rows]


def balance(study: Study, drawn: Drawn) -> Iterator[tuple[str, dict[str, int]]]:
    """What may be shown of an allocation: how often each thing was drawn. Sizes of arms stand without their names."""
    sizes = sorted(Counter(drawn.arms.values()).values(), reverse=True)
    yield "animals in an arm", {f"arm {at + 1}": size for at, size in enumerate(sizes)}
    for at, name in enumerate(study.allocation.stratify):
        yield name, dict(sorted(Counter(stratum(study, animal)[at] for animal in study.animals).items()))
    for name, levels in study.allocation.counterbalance.items():
        counts = Counter(said[name] for said in drawn.levels.values())
        yield name, {level: counts[level] for level in levels}
    for phase in study.phases:
        first = Counter(orders[phase.name][0] for orders in drawn.orders.values() if phase.name in orders)
        if phase.conditions:
            yield f"first in {phase.name}", {one: first[one] for one in phase.conditions}
