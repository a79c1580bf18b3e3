"""One run of latency.py: a session against the far end, with peers and with what runs beside it; and its figures."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import far_end
import numpy as np
import peer_processes
import scheduling
from conditions import Beside, process_cpu_s
from far_end import FarEnd, Plan
from machine import percentiles, ratios
from peer_processes import Peer, Running
from rich.console import Console
from rich.progress import Progress

from closedloop import session
from closedloop.realtime import Waiting
from closedloop.recording.folder import HEADER

AIM = {"p50": 2.0, "p99": 1.5}  # at most: the program's command over the echo
_LONG_ENOUGH_S = 20.0  # to speak of processor time, which is read once a second


class Asked(NamedTuple):
    """One run: its plan, who runs beside it at which priority, and how the program waits for bytes."""

    condition: str
    plan: Plan
    peers: tuple[Peer, ...] = ()
    echo_priority: str = "same"
    peer_priority: str = "normal"
    waiting: Waiting = "sleep"


class Watcher:
    """Looks at a session ten times a second: opens what runs beside it, sets priorities, reads processor times."""

    def __init__(self, asked: Asked, end: FarEnd, beside: Beside, peers: Sequence[Running]) -> None:
        self._asked, self._end, self._beside, self._peers = asked, end, beside, peers
        self.engine: scheduling.Scheduling | None = None
        self.priorities = {"board": end.scheduling, "engine": "unknown", "echo": "normal"}
        self.priorities |= {one.peer.name: "normal" for one in peers}
        self._engine_pid: int | None = None
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._next_s = 0.0
        self._bar = Progress(console=Console(stderr=True), auto_refresh=False)
        self._task = self._bar.add_task(f"{asked.condition} {asked.plan.rate_hz} Hz", total=asked.plan.expected_s())
        self._begun_s: float | None = None

    def look(self, folder: Path) -> None:
        """Once a second is often enough, but for the beginning."""
        self._beside.look(folder)
        now_s = time.monotonic()
        if self._begun_s is None:
            self._refuse_dead_peers()
            if self._end.begun():
                self._begin(now_s)
        if self._begun_s is None or now_s < self._next_s:
            return
        self._next_s = now_s + 1.0
        self._last = self._times(now_s)
        self._bar.update(self._task, completed=now_s - self._begun_s, refresh=True)

    def _refuse_dead_peers(self) -> None:
        for one in self._peers:
            if one.process.poll() is not None:
                raise RuntimeError(f"{one.peer.name} ended by itself; what it said is on standard error")

    def _begin(self, now_s: float) -> None:
        self._begun_s = now_s
        self._bar.start()
        engines = [one for one in multiprocessing.active_children() if one.name == "closedloop-engine"]
        self._engine_pid = engines[0].pid if engines else None
        self.engine = scheduling.of(self._engine_pid) if self._engine_pid else None
        if self.engine is not None:
            self._set_priorities(self.engine)
        self._first = self._last = self._times(now_s)

    def _set_priorities(self, engine: scheduling.Scheduling) -> None:
        self.priorities["engine"] = str(engine)
        if not engine.priority:
            return
        if self._asked.echo_priority == "same":
            self.priorities["echo"] = scheduling.give([self._end.echo], engine)
        if self._asked.peer_priority == "same":
            for one in self._peers:
                if one.peer.timeflux_rate != 0:  # that one never sleeps: it would take a core from everything else
                    self.priorities[one.peer.name] = scheduling.give(one.processes(), engine)

    def _times(self, now_s: float) -> dict[str, float]:
        """Processor time of everyone, in seconds."""
        engine = process_cpu_s(self._engine_pid) if self._engine_pid else None
        found = {"engine": engine, "beside": self._beside.cpu_s()}
        found |= {one.peer.name: one.cpu_s() for one in self._peers}
        return {"at": now_s} | {name: value for name, value in found.items() if value is not None}

    def cpu_percent(self) -> dict[str, float]:
        """Processor time over the time of one's own chunks; of what runs beside, over all time."""
        span_s = self._last.get("at", 0.0) - self._first.get("at", 0.0)
        if span_s < _LONG_ENOUGH_S:
            return {}
        plan, share = self._asked.plan, span_s / self._asked.plan.expected_s()
        own_s = {"engine": plan.chunks_s("p") * share, "beside": span_s}
        own_s |= {one.peer.name: plan.chunks_s(str(nth + 1)) * share for nth, one in enumerate(self._peers)}
        common = [name for name in own_s if name in self._first and name in self._last and own_s[name]]
        return {name: round(100 * (self._last[name] - self._first[name]) / own_s[name], 1) for name in common}

    def done(self) -> None:
        """The session is over: the bar is full."""
        self._bar.update(self._task, completed=self._asked.plan.expected_s(), refresh=True)

    def close(self) -> None:
        """Give the terminal back."""
        self._bar.stop()


def measure(compiler: str, asked: Asked) -> dict[str, Any]:
    """One session in one condition, at one rate."""
    beside, plan = Beside(asked.condition), asked.plan
    plan = plan._replace(warm_ms=plan.warm_ms + beside.lead_ms, peers=len(asked.peers))
    asked = asked._replace(plan=plan)
    try:
        with (
            far_end.running(compiler, plan) as end,
            tempfile.TemporaryDirectory() as out,
            peer_processes.started(asked.peers, end.peers) as peers,
            contextlib.closing(Watcher(asked, end, beside, peers)) as watcher,
        ):
            request = far_end.request(plan.rate_hz, end.daq, end.stimulator, Path(out), asked.waiting)
            outcome = session.run(request, watcher.look)
            watcher.done()
            if outcome.interrupted:
                raise KeyboardInterrupt
            real_time = json.loads((outcome.folder / HEADER).read_text(encoding="utf-8")).get("real_time")
            about = {
                "condition": asked.condition,
                "rate_hz": plan.rate_hz,
                "waiting": asked.waiting,
                "ended": outcome.ending.how,
            }
            about |= {"priorities": watcher.priorities, "real_time": real_time, "cpu_percent": watcher.cpu_percent()}
            return about | results(end.said(), asked.peers)
    finally:
        beside.close()


def results(said: str, peers: Sequence[Peer] = ()) -> dict[str, Any]:
    """Counts, percentiles in microseconds, and ratios to echoes and peers, of what the board printed."""
    samples, counts = far_end.parse(said)
    heartbeat, fire, echo, apart = (percentiles(np.array(samples[kind])) for kind in "hfea")
    command = percentiles(np.array(samples["h"] + samples["f"]))
    ratio = {
        "command_to_echo": ratios(command, echo),
        "command_to_echo_apart": ratios(command, apart),
        "fire_to_echo_apart": ratios(fire, apart),
    }
    found: dict[str, Any] = {}
    for number, peer in enumerate(peers, 1):
        answered = percentiles(np.array(samples.get(str(number), [])))
        told = {name: counts[f"{name}_{number}"] for name in ("asked", "missed", "unexpected")}
        found[peer.name] = {"what": peer.what, "answer_us": answered} | told
        ratio[f"command_to_{peer.name}"] = ratios(command, answered)
    return {name: counts[name] for name in ("readings", "events", "missed", "unexpected", "echo_frames")} | {
        "heartbeat_us": heartbeat,
        "fire_us": fire,
        "command_us": command,
        "echo_us": echo,
        "echo_apart_us": apart,
        "peers": found,
        "ratio": ratio,
        "aim": {name: _reached(ratio[name]) for name in ("command_to_echo", "command_to_echo_apart")},
    }


def _reached(ratio: dict[str, float | None]) -> dict[str, bool | None]:
    """Whether the aim is reached; None where there were too few samples to say."""
    found = {p: ratio[p] for p in AIM}
    return {p: None if value is None else value <= AIM[p] for p, value in found.items()}
