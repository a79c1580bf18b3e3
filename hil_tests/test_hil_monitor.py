"""The judge itself: light that was right passes, and each kind of wrong light is seen. No board is needed."""

from __future__ import annotations

import pytest
from bench import Span
from commands import FULL, LIMITS, fire, prepare
from line import Said
from monitor import Episode, Monitor, Slack

from closedloop.wire import Arm, Begin, Dark, Disarm, Fire, Heartbeat

SLACK = Slack(edge_s=1e-6, command_s=1e-3)


def spoken(*rows, until_s=10.0, limits=LIMITS):
    """Limits and Arm at 1 s, heartbeats every 10 ms until then, and what else was said."""
    said = [Said(0.9, limits, True), Said(1.0, Arm(), True)]
    said += [Said(1 + 0.01 * i, Heartbeat(i), True) for i in range(round((until_s - 1) * 100))]
    return said + [Said(at_s, message, True) for at_s, message in rows]


def judged(spans, said, episodes=()):
    return Monitor([Span(*s) for s in spans], said, [Episode(*e) for e in episodes], SLACK).complaints()


def test_light_as_asked_is_right():
    said = spoken((2.0, fire(1, on_us=100_000)), (3.0, fire(2, on_us=100_000, pulses=2, period_us=200_000)))
    assert judged([(2.0, 2.1), (3.0, 3.1), (3.2, 3.3)], said) == []


def test_no_light_is_right():
    assert judged([], spoken()) == []
    assert judged([], []) == []


def test_a_prepared_train_is_right_once_for_each_number():
    said = spoken((1.5, prepare(100_000)), (2.0, Begin(1)), (3.0, Begin(2)), (3.05, Begin(2)))
    assert judged([(2.0, 2.1), (3.0, 3.1)], said) == []
    assert judged([(2.0, 2.1), (3.0, 3.1), (3.5, 3.6)], said)


WRONG = {
    "nothing was said": ([(2.0, 2.1)], [], ()),
    "not asked for": ([(2.0, 2.1)], spoken(), ()),
    "asked for once, given twice": ([(2.0, 2.1), (3.0, 3.1)], spoken((2.0, fire(1)), (2.5, fire(1))), ()),
    "longer than the longest": ([(2.0, 3.1)], spoken((2.0, fire(1))), ()),
    "longer than these limits": ([(2.0, 2.2)], spoken((2.0, fire(1)), limits=LIMITS._replace(on_us=100_000)), ()),
    "too little darkness": ([(2.0, 2.1), (2.1019, 2.2)], spoken((2.0, fire(1)), (2.1, fire(2))), ()),
    "before arming": ([(0.95, 0.99)], spoken((0.94, fire(1))), ()),
    "after Dark": ([(2.0, 2.1)], spoken((1.99, fire(1)), (2.05, Dark())), ()),
    "after Disarm": ([(3.0, 3.1)], spoken((1.99, fire(1)), (2.05, Disarm())), ()),
    "after the lease": ([(4.9, 5.26)], spoken((4.9, fire(1)), until_s=5.0), ()),
    "long after the lease": ([(9.0, 9.1)], spoken((4.9, fire(1)), until_s=5.0), ()),
    "interlock open": ([(2.0, 2.1)], spoken((2.0, fire(1))), ((2.05, "interlock open"), (2.06, "interlock closed"))),
    "interlock closed again": ([(3.0, 3.1)], spoken((2.0, fire(1))), ((2.5, "interlock open"),)),
    "gate shut": ([(2.0, 2.1)], spoken((2.0, fire(1))), ((2.05, "gate shut"), (2.5, "gate open"))),
    "after a reset": ([(3.0, 3.1)], spoken((2.0, fire(1))), ((2.5, "reset"),)),
    "across a reset": ([(2.0, 2.6)], spoken((2.0, fire(1))), ((2.5, "reset"),)),
    "a trigger without a train": ([(2.0, 2.1)], spoken(), ((2.0, "trigger"),)),
    "more than prepared": (
        [(2.0, 2.01), (2.1, 2.11)],
        spoken((1.5, prepare())),
        ((2.0, "trigger"),),
    ),
    "number of the board's own": ([(2.0, 2.1)], spoken((2.0, fire(1 << 31))), ()),
}


@pytest.mark.parametrize(("spans", "said", "episodes"), WRONG.values(), ids=WRONG)
def test_wrong_light_is_seen(spans, said, episodes):
    assert judged(spans, said, episodes)


def many(count, period_s, on_s):
    said = spoken(
        *((2 + period_s * i, Fire(i + 1, round(on_s * 1e6), 0, 1, FULL, 0, 0, 0)) for i in range(count)),
        until_s=2 + period_s * count + 1,
    )
    return [(2 + period_s * i, 2 + period_s * i + on_s) for i in range(count)], said


def test_the_duty_of_every_window_is_summed():
    spans, said = many(25, 2.0, 0.75)  # 37.5 % of a minute
    assert any("60000 ms" in complaint for complaint in judged(spans, said))
    spans, said = many(29, 2.0, 0.5)
    assert judged(spans, said) == []


def test_the_long_window_is_summed_too():
    spans, said = many(130, 4.6, 0.5)  # 10.9 % of ten minutes, and less than a quarter of each minute
    assert any("600000 ms" in complaint for complaint in judged(spans, said))


def test_a_command_that_may_have_been_lost_forbids_nothing():
    said = [*spoken((2.0, fire(1))), Said(2.05, Dark(), False)]
    assert judged([(2.0, 2.1)], said) == []
