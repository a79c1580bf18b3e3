"""Random bytes, to a board that could light: armed, with a live lease. None of them may ever become light.

1e6 bytes in the short form, 1e8 with `--long`. A forged frame needs a check of 32 bits to be right by chance; and were
one to come, it would still have to be within limits.
"""

from __future__ import annotations

import random

import pytest
from commands import armed, fire
from fault_table import Report

from closedloop.wire import Fired, Heartbeat, Statistics, StatisticsQuery

SHORT, LONG = 1_000_000, 100_000_000
CHUNK = 1_000  # bytes between two heartbeats; 20 ms of the line
PLAUSIBLE = bytes((0x01, 0x20, 0x23, 0x26, 0x2C, 0x00, 0x02, 0x1F, 0xFF))


def count_of(request):
    return LONG if request.config.getoption("--long") else SHORT


def noise(dice, count):
    """Half of it evenly random, half of bytes that are common in frames, with zeros to end them."""
    if dice.random() < 0.5:
        return dice.randbytes(count)
    return bytes(dice.choices(PLAUSIBLE, k=count))


@pytest.mark.backends("mock", "emulated-uno", "board")
def test_random_bytes_never_light_an_armed_board(bench, request, faults):
    armed(bench, rate_hz=100)
    bench.step_s = 5e-3
    bench.command_s = 0.05  # a command waits behind 20 ms of noise on the line
    dice = random.Random(20)
    for at in range(0, count_of(request), CHUNK):
        bench.stimulator.write(noise(dice, CHUNK) + b"\0")
        bench.stimulator.say(Heartbeat(at))
        bench.run(0.021)
        if at % 100_000 == 0:
            bench.forget()
            assert not bench.light()
    assert not bench.light()
    bench.run(0.2)
    heard = bench.ask(bench.stimulator, StatisticsQuery(), Statistics)
    assert heard.damaged_frames > 1_000
    bench.stimulator.say(fire(1))
    bench.run(0.2)
    assert len(bench.spans()) == 1, "the board was not armed, so its darkness proved nothing"
    assert bench.stimulator.last(Fired).train == 1
    faults(Report("random_bytes", bench.name, count_of(request), "damaged frames are counted, and in the summary"))
