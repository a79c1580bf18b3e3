"""Our own light never asks for more of itself: the same animal with light and with sham, in closed loop.

The animal's neurons do not answer to light, so the two arms differ in the artefact alone: what leaks into the
detector while light is on, and what lingers after it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from closedloop import detectors
from closedloop.features.dff import Dff
from closedloop.limits import effective
from closedloop.loop import Loop
from closedloop.model import kinds
from closedloop.policies.sham import Sham
from closedloop.protocol import Protocol, load_protocol
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.steps import PLANNED

RATE_HZ = 130.0
BIN_S = 360.0
TRIGGERS = [kind for kind in ("threshold", "difference", "matched_filter", "onset") if kind in kinds(detectors)]
FULL_POWER_MW = 10.0


@pytest.fixture(scope="module")
def together() -> Iterator[Any]:
    """Animal and loop stepped together, as in the benchmarks."""
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("virtual_loop").together
    sys.path.remove(folder)


def protocol(kind: str, **changes: Any) -> Protocol:
    """The shipped one for withdrawal, with this detector as a user would first try it: most smooth by themselves."""
    shipped = load_protocol("withdrawal_inhibition")
    own = kind == shipped.detector.kind
    made = {"detector": shipped.detector if own else kinds(detectors)[kind](), "warm_up": 180.0}
    if not own:
        made["features"] = shipped.features[:1]
    return shipped.model_copy(update=made | changes)


def trains_s(together: Any, of: Protocol, artefact: float, *, light: bool, delay_us: int = 0) -> Any:
    """Times of the trains, given or sham."""
    animal = Animal.model_validate({
        "inhibition": {"efficacy": 0.0},
        "artefact": {"leak": 0.005 * artefact},
        "states": {"baseline": {"event_rate": 4.0}},
        "events": {"amplitude": 0.08},
    })  # fmt: skip
    if not light:
        of = of.model_copy(update={"policy": Sham(refractory=of.policy.refractory)})
    plan = of.plan(effective(of.limits, lease_s=0.5), FULL_POWER_MW)
    virtual = VirtualAnimal(animal, RATE_HZ, seed=3)
    loop = Loop(plan, rate_hz=RATE_HZ, nano_units=virtual.nano_units)
    found: list[Any] = []
    light_of = {"on_us": plan.train.lit_us, "delay_us": delay_us, "fire": plan.policy.fire_code}
    for rows, steps in together(virtual, loop, rate_hz=RATE_HZ, hours=1.0, **light_of):
        given = (steps["decision"] != 0) & (steps["refused"] == 0)
        assert (steps["bits"][given] & PLANNED).all()
        found.append(rows["ticks"][given] / 1e6)
    return np.concatenate(found)


def excess(light: Any, sham: Any, seconds: float) -> tuple[float, float]:
    """Mean of light minus sham in bins of six minutes, paired, with the half width of its 95 % interval."""
    edges = np.arange(0.0, seconds + 1, BIN_S)
    paired = np.histogram(light, edges)[0] - np.histogram(sham, edges)[0]
    half = t.ppf(0.975, len(paired) - 1) * paired.std(ddof=1) / np.sqrt(len(paired))
    return float(paired.mean()), float(half)


@pytest.mark.parametrize("kind", TRIGGERS)
def test_light_asks_for_no_more_trains_than_sham(kind: str, together: Any) -> None:
    sham = trains_s(together, protocol(kind), 0.0, light=False)
    assert len(sham) > 20
    for artefact in (1.0, 5.0):
        light = trains_s(together, protocol(kind), artefact, light=True)
        assert len(light) <= len(sham) + max(1, 0.02 * len(sham)), artefact
        mean, half = excess(light, sham, 3600)
        assert mean - half <= 0, artefact


def test_it_would_be_seen_if_light_asked_for_more_of_itself(together: Any) -> None:
    hasty = protocol("threshold", features=(Dff(baseline=60.0),), limits=None)  # no control that takes it out
    hasty = hasty.model_copy(update={"policy": type(hasty.policy)(refractory=0.5)})
    sham = trains_s(together, hasty, 40.0, light=False)
    late = trains_s(together, hasty, 40.0, light=True, delay_us=2_000_000)  # light that the loop does not expect
    assert len(late) > 1.2 * len(sham)
