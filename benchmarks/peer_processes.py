"""The programs that latency.py compares with: which there are, how they are started, where Timeflux is had from.

Each is a process group of its own, so that echo.c can stop and continue it as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from conditions import process_cpu_s

PEERS = Path(__file__).with_name("peers")
TIMEFLUX = "0.17.2"  # the version that the figures are of
RATES = (0, 100, 25)  # of a Timeflux graph: as often as it can, 100 and 25 times a second (its default is 1)


class Peer(NamedTuple):
    """One program to compare with."""

    name: str
    what: str
    python: str
    timeflux_rate: int | None = None


class Running(NamedTuple):
    """A peer at its port."""

    peer: Peer
    process: subprocess.Popen[bytes]

    def processes(self) -> list[int]:
        """The numbers of all its processes; none if it is gone."""
        with contextlib.suppress(psutil.Error):
            leader = psutil.Process(self.process.pid)
            return [leader.pid, *(child.pid for child in leader.children(recursive=True))]
        return []

    def cpu_s(self) -> float:
        """Processor time of all its processes until now, in seconds."""
        return sum(process_cpu_s(process) or 0.0 for process in self.processes())


PLAIN = (
    Peer("pyserial_blocking", "pyserial 3.5, one thread: read, compare, write", sys.executable),
    Peer("reader_thread", "pyserial 3.5, a reader thread and a queue.SimpleQueue", sys.executable),
)


def timeflux(python: str) -> tuple[Peer, ...]:
    """Timeflux at each of its rates."""
    words = {0: "as often as it can"} | {rate: f"{rate} cycles a second" for rate in RATES if rate}
    return tuple(
        Peer(f"timeflux_rate_{rate}", f"Timeflux {TIMEFLUX}, two nodes, {words[rate]}", python, rate) for rate in RATES
    )


@contextmanager
def started(peers: Sequence[Peer], ports: Sequence[str]) -> Iterator[list[Running]]:
    """Every peer at its port; all are killed in the end."""
    running: list[Running] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for peer, port in zip(peers, ports, strict=True):
                running.append(Running(peer, _start(peer, port, Path(folder))))
            yield running
        finally:
            for one in running:
                _end(one.process)


def _start(peer: Peer, port: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [peer.python, str(PEERS / f"{peer.name}.py"), port]
    if peer.timeflux_rate is not None:
        command = [peer.python, "-m", "timeflux", str(_graph(peer.name, peer.timeflux_rate, port, folder))]
    environment = os.environ | {"PYTHONPATH": str(PEERS), "TIMEFLUX_LOG_LEVEL_CONSOLE": "ERROR"}
    return subprocess.Popen(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
    )


def _graph(name: str, rate: int, port: str, folder: Path) -> Path:
    """A Timeflux application, as JSON, which it takes as well as YAML."""
    nodes = [
        {"id": "source", "module": "timeflux_nodes", "class": "Source", "params": {"port": port}},
        {"id": "threshold", "module": "timeflux_nodes", "class": "Threshold", "params": {"port": port}},
    ]
    edges = [{"source": "source", "target": "threshold"}]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"graphs": [{"id": name, "rate": rate, "nodes": nodes, "edges": edges}]}))
    return path


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# Timeflux's own environment


def timeflux_python() -> tuple[str | None, str]:
    """The interpreter of an environment that has Timeflux, made if there is none; and why there is none.

    It needs numpy below 2, so it cannot live in ours. The environment stays in the user's folder for what can be made
    again.
    """
    home = _cache() / "closedloop-benchmarks" / f"timeflux-{TIMEFLUX}-python-{platform.python_version()}"
    python = home / "bin" / "python"
    if _has_timeflux(python):
        return str(python), ""
    sys.stderr.write(f"latency: making an environment for Timeflux {TIMEFLUX} in {home} (about a minute)\n")
    sys.stderr.flush()
    wanted = [f"timeflux=={TIMEFLUX}", "numpy<2", "pyserial==3.5"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
    ):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            return None, f"{' '.join(command)}: {_last_line(ran.stderr)}"
    if _has_timeflux(python):
        return str(python), ""
    return None, f"{home} has no Timeflux that can be imported"


def _has_timeflux(python: Path) -> bool:
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import timeflux, serial"], capture_output=True, check=False).returncode == 0


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"


def _cache() -> Path:
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
