"""Which boards the tests run on: virtual, emulated, or those on your desk. Decides nothing about what is right.

    pytest hil_tests                                              virtual and emulated boards
    pytest hil_tests --daq-port /dev/ttyACM0 --stim-port /dev/ttyACM1    and yours

A backend that is absent is skipped with the reason; where CI is set, virtual and emulated boards must be there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import backend_board
import backend_emulated
import pytest
from backend_mock import MockBench
from bench import Bench, CannotDo
from monitor import Monitor, Slack

BACKENDS = ("mock", "emulated", "board")
_REQUIRED = ("mock", "emulated")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ports and what to run."""
    group = parser.getgroup("hardware in the loop")
    group.addoption("--daq-port", help="serial port of a real DAQ board")
    group.addoption("--stim-port", help="serial port of a real stimulator board")
    group.addoption("--baud", type=int, default=500_000, help="of both real boards (500000)")
    group.addoption("--backend", help="mock, emulated, board, or several with commas")
    group.addoption("--interactive", action="store_true", help="ask the person at the desk to move the interlock")
    group.addoption("--long", action="store_true", help="the long form: 1e8 random bytes")


def pytest_configure(config: pytest.Config) -> None:
    """Markers of this folder."""
    config.addinivalue_line(
        "markers", "backends(*names): a test for these backends (mock, emulated, board) or variants alone"
    )


def _wanted(config: pytest.Config) -> list[str]:
    named = config.getoption("--backend")
    if named:
        unknown = set(named.split(",")) - set(BACKENDS)
        if unknown:
            raise pytest.UsageError(f"--backend: no {', '.join(sorted(unknown))}; there are {', '.join(BACKENDS)}")
        return [name for name in BACKENDS if name in named.split(",")]
    has_ports = config.getoption("--daq-port") or config.getoption("--stim-port")
    return list(BACKENDS if has_ports else _REQUIRED)


def _variants(config: pytest.Config) -> Iterator[str]:
    for name in _wanted(config):
        yield from backend_emulated.VARIANTS if name == "emulated" else (name,)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test that wants a bench runs on each backend."""
    if "backend" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("backends")
        names = [name for name in _variants(metafunc.config) if _belongs(name, marker)]
        metafunc.parametrize("backend", names, scope="session", indirect=True)


def _belongs(name: str, marker: pytest.Mark | None) -> bool:
    return marker is None or name in marker.args or name.split("-", maxsplit=1)[0] in marker.args


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """The variant's name, once it is known to be there."""
    name = str(request.param)
    family = name.split("-", maxsplit=1)[0]
    if family == "emulated":
        _insist(name, backend_emulated.missing())
    elif family == "board" and (reason := backend_board.missing(request.config)):
        pytest.skip(f"{name}: {reason}")
    return name


@pytest.fixture(scope="session")
def emulator() -> None:
    """For tests of the emulated boards that need no bench: the emulator and its firmware are there."""
    _insist("emulated", backend_emulated.missing())


def _insist(name: str, missing: str | None) -> None:
    if missing and os.environ.get("CI"):
        pytest.fail(f"{name}: {missing}")
    if missing:
        pytest.skip(f"{name}: {missing}")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """What a backend can't do is no failure of the boards: the test is skipped with the reason."""
    try:
        return (yield)
    except CannotDo as reason:
        pytest.skip(str(reason))


@pytest.fixture
def make_bench(backend: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Bench]]:
    """Benches of this backend; the judge looks at the light of each when the test is over."""
    makers: dict[str, Callable[..., Bench]] = {
        "mock": MockBench,
        "emulated": lambda **skew: backend_emulated.EmulatedBench(backend, **skew),
        "board": lambda **skew: backend_board.BoardBench(request.config, **skew),
    }
    benches: list[Bench] = []

    def make(**skew: Any) -> Bench:
        bench = makers[backend.split("-", maxsplit=1)[0]](**skew)
        benches.append(bench)
        return bench

    yield make
    complaints = [complaint for bench in benches for complaint in _judge(bench)]
    assert not complaints, "\n".join(["the judge of light complains:", *complaints[:20]])


def _judge(bench: Bench) -> list[str]:
    bench.finish()
    slack = Slack(bench.edge_resolution_s, bench.command_s, bench.clock_error)
    complaints = Monitor(bench.spans(), bench.stimulator.said, bench.episodes, slack).complaints()
    bench.close()
    return complaints


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """Two boards that have just started, and have been heard to."""
    return make_bench()


@pytest.fixture(scope="session")
def firmware_build() -> Path:
    """Where the firmware was built."""
    return backend_emulated.BUILD
