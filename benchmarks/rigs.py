"""Several simulated rigs on one computer at once, and a session of a day: what is lost, how late, what it costs.

    python benchmarks/rigs.py                 three rigs at 130 Hz and one at 1 kHz, 15 s
    python benchmarks/rigs.py --long --json   eight at 130 Hz and two at 1 kHz, 10 min, as one JSON object
    python benchmarks/rigs.py --day           24 h of one session in virtual time; see day.py

Each rig is a whole session as `closedloop run --headless` starts it: an engine process, and a process with both virtual
boards behind real ports. This program starts them all and takes stock while they run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import day
import numpy as np
import psutil
from accounts import account, delays_of, own_mb
from machine import machine, percentiles, say
from progress import each

from closedloop import session
from closedloop.detectors.threshold import Threshold
from closedloop.errors import ConfigError
from closedloop.features.dff import Dff
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.protocol import Protocol
from closedloop.recording import Recording
from closedloop.request import Request
from closedloop.rig import Rig
from closedloop.simulation import Simulation
from closedloop.sources.photometry_board import PhotometryBoard
from closedloop.stimulators.arduino import Arduino
from closedloop.train import Train

SHORT, LONG = (3, 1, 15.0), (8, 2, 600.0)  # rigs at 130 Hz, rigs at 1 kHz, seconds
SLOW_HZ, FAST_HZ = 130.0, 1000.0
START_WITHIN_S = 120.0  # each; on a computer that is very busy
MEASURED = (
    "command_us: from bytes read to the command of light written, inside the engine. light_us: from the instant at "
    "which a reading was complete to the light that it caused, by the board's clock and its own truth: both "
    "processes, both ways, every wait for a core. age_us: how much later a reading was understood than the quickest of "
    "its session. All three from when the last rig had its first reading, for the time asked for. together: readings "
    "that came with another in one read. unaccounted: readings that the board sent or says it dropped, less those "
    "recorded and those reported missing. held_up_ms: what the truth says of the simulating process. cpu: per cent of "
    "one core. memory: what a process alone holds, libraries not counted."
)


@dataclass
class Running:
    """One rig's session, in a thread of this program."""

    number: int
    rate_hz: float
    out: Path
    stop: threading.Event
    folder: Path | None = None
    outcome: session.Outcome | None = None
    error: Exception | None = None
    began_ns: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """To its end; `error` says what it could not do."""
        try:
            self.outcome = session.run(self._request(), self._look)
            self.folder = self.outcome.folder
        except Exception as error:  # noqa: BLE001 - kept for the table: one rig must not take the others with it
            self.error = error
        finally:
            self.over.set()

    def _look(self, folder: Path) -> None:
        """Called ten times a second, as the progress line is; stops the session as Ctrl-C does."""
        if self.stop.is_set():
            raise KeyboardInterrupt
        if not self.began_ns and (folder / "header.json").exists():
            self.folder = folder
            if len(Recording.open(folder).table.rows(0, 1)):
                self.began_ns = time.monotonic_ns()

    def _request(self) -> Request:
        """A busy session: it takes noise for events, and gives a train about every other second."""
        protocol = Protocol(
            version=1,
            name="rigs",
            warm_up=5.0,
            duration=86_400.0,
            features=(Dff(baseline=10.0),),
            detector=Threshold(threshold=2.5, release=1.0, window=5.0),
            policy=ClosedLoop(refractory=1.0),
            light=Train(on=0.005),
            recovery=0.02,
        )
        rig = Rig(
            version=1,
            name="simulated",
            daq=PhotometryBoard(port="simulated", rate=self.rate_hz),
            stimulator=Arduino(port="simulated", lease=0.5),
            simulation=Simulation(),
        )
        return Request(protocol=protocol, rig=rig, out=self.out, seed=self.number)


def measure(slow: int, fast: int, lasts_s: float) -> dict[str, Any]:
    """All rigs at once, started one after another."""
    with tempfile.TemporaryDirectory() as folder:
        stop = threading.Event()
        rates = [SLOW_HZ] * slow + [FAST_HZ] * fast
        rigs = [Running(n, rate, Path(folder, str(n)), stop) for n, rate in enumerate(rates, 1)]
        threads = []
        try:
            for rig in each(rigs, "starting"):
                threads.append(threading.Thread(target=rig.run, name=f"rig {rig.number}"))
                threads[-1].start()
                _await(rig)
            costs = _watch(rigs, lasts_s)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        return _result(rigs, costs)


def _await(rig: Running) -> None:
    """Until it measures, or will not."""
    deadline = time.monotonic() + START_WITHIN_S
    while not rig.began_ns and not rig.over.is_set() and time.monotonic() < deadline:
        time.sleep(0.05)


def _watch(rigs: list[Running], lasts_s: float) -> dict[str, Any]:
    """Take stock of all processes at the beginning and at the end."""
    since_ns, before = time.monotonic_ns(), _used(rigs)
    for _ in each(range(max(1, round(lasts_s))), "all of them"):
        time.sleep(1)
    return {"since_ns": since_ns, "until_ns": time.monotonic_ns(), "before": before, "after": _used(rigs)}


def _used(rigs: list[Running]) -> dict[int, dict[str, Any]]:
    """Processor seconds and memory of each process below this one, by its number."""
    engines = {_engine_of(rig.folder) for rig in rigs if rig.folder is not None}
    found: dict[int, dict[str, Any]] = {}
    for process in psutil.Process().children():
        try:
            if "spawn_main" not in " ".join(process.cmdline()):
                continue
            times, memory = process.cpu_times(), own_mb(process)
        except psutil.Error:
            continue  # it has ended
        what = "engine" if process.pid in engines else "rig"
        found[process.pid] = {"what": what, "cpu_s": times.user + times.system, "mb": memory}
    return found


def _engine_of(folder: Path) -> int:
    return int(json.loads((folder / "header.json").read_text(encoding="utf-8"))["computer"]["engine_pid"])


def _result(rigs: list[Running], costs: dict[str, Any]) -> dict[str, Any]:
    since_ns, until_ns = costs["since_ns"], costs["until_ns"]
    each_rig = [_of_rig(rig, since_ns, until_ns) for rig in rigs]
    delays = [delays_of(Recording.open(rig.folder), since_ns, until_ns) for rig in rigs if rig.folder is not None]
    whole = {name: np.concatenate([d[name] for d in delays]) for name in ("command_us", "light_us", "age_us")}
    return {
        "rigs": each_rig,
        "window_s": round((until_ns - since_ns) / 1e9, 1),
        "failed": [f"rig {rig.number}: {rig.error}" for rig in rigs if rig.error is not None],
        **{name: percentiles(values) for name, values in whole.items()},
        "cpu": {what: _cpu(costs, what) for what in ("engine", "rig")},
        "memory_mb": {what: _memory(costs, what) for what in ("engine", "rig")},
    }


def _of_rig(rig: Running, since_ns: int, until_ns: int) -> dict[str, Any]:
    about: dict[str, Any] = {"rig": rig.number, "rate_hz": rig.rate_hz, "how": "failed", "reason": str(rig.error or "")}
    if rig.folder is None or rig.outcome is None:
        return about
    recording = Recording.open(rig.folder)
    delays = {name: percentiles(values) for name, values in delays_of(recording, since_ns, until_ns).items()}
    return about | rig.outcome.ending._asdict() | account(recording) | delays


def _cpu(costs: dict[str, Any], what: str) -> dict[str, float]:
    """Per cent of one core: all processes of a kind together, and the dearest."""
    seconds = (costs["until_ns"] - costs["since_ns"]) / 1e9
    before, after = costs["before"], costs["after"]
    kind = [pid for pid, used in after.items() if used["what"] == what and pid in before]
    shares = [100 * (after[pid]["cpu_s"] - before[pid]["cpu_s"]) / seconds for pid in kind]
    return {"all": round(sum(shares), 1), "most": round(max(shares, default=0.0), 1), "processes": len(shares)}


def _memory(costs: dict[str, Any], what: str) -> dict[str, float]:
    ends = [used["mb"] for used in costs["after"].values() if used["what"] == what]
    return {"all": round(sum(ends)), "most": round(max(ends, default=0.0))}


def table(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    if "day" in result:
        yield from day.table(result["day"])
        return
    yield f"{'rig':>3} {'Hz':>5} {'readings':>9} {'lost':>5} {'together':>9} {'stale':>6} {'unaccounted':>12}  ended"
    for r in result["rigs"]:
        cells = (r.get(name, "-") for name in ("recorded", "missing", "together", "stale", "unaccounted"))
        recorded, missing, together, stale, unaccounted = cells
        yield (
            f"{r['rig']:>3} {r['rate_hz']:>5g} {recorded:>9} {missing:>5} {together:>9} {stale:>6} {unaccounted:>12}  "
            f"{r['how']}"
        )
    yield f"{'':12}{'n':>9}{'p50':>10}{'p99':>10}{'p99.9':>10}{'max':>10}   (microseconds)"
    for name in ("command_us", "light_us", "age_us"):
        cells = ("-" if result[name][p] is None else result[name][p] for p in ("n", "p50", "p99", "p99_9", "max"))
        yield f"{name[:-3]:12}" + "".join(
            f"{cell:>{width}}" for cell, width in zip(cells, (9, 10, 10, 10, 10), strict=True)
        )
    for what in ("engine", "rig"):
        cpu, memory = result["cpu"][what], result["memory_mb"][what]
        yield (
            f"{cpu['processes']} {what} processes: {cpu['all']} % of a core together, {cpu['most']} % the dearest; "
            f"{memory['all']} MB together, {memory['most']} MB the largest"
        )
    yield from result["failed"]


def main() -> int:
    """The command line; 2 if there is no space for a day."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--long", action="store_true", help="eight rigs at 130 Hz, two at 1 kHz, 10 min; a day: 24 h")
    parser.add_argument("--rigs", metavar="N", type=int, help="at 130 Hz, other than the form's")
    parser.add_argument("--fast", metavar="N", type=int, help="at 1 kHz, other than the form's")
    parser.add_argument("--seconds", metavar="S", type=float, help="other than the form's")
    parser.add_argument("--day", action="store_true", help="one session of 24 h in virtual time instead")
    parser.add_argument("--hours", metavar="H", type=float, default=24.0, help="of the day")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    slow, fast, lasts_s = LONG if asked.long else SHORT
    slow, fast = (given if given is not None else form for given, form in ((asked.rigs, slow), (asked.fast, fast)))
    result: dict[str, Any] = {"benchmark": "rigs", "form": "long" if asked.long else "short", "machine": machine()}
    try:
        if asked.day:
            result |= {"measured": day.MEASURED, "day": day.measure(asked.hours)}
        else:
            result |= {"measured": MEASURED, **measure(slow, fast, asked.seconds or lasts_s)}
    except ConfigError as problem:
        sys.stderr.write(f"{problem}\n")
        return problem.exit_code
    say(result, table(result), as_json=asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
