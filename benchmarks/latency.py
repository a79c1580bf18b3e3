"""Host latency: from a reading written by the board to the command that it caused, read back by the board.

    python benchmarks/latency.py                          about 1 minute
    python benchmarks/latency.py --long --timeflux --json about 45 minutes, as one JSON object
    python benchmarks/latency.py --only idle --rate 130   one condition (idle, dashboard, burnt), one rate; repeatable

The program under test is a whole session as `closedloop run` starts it: engine process, serial ports, handshake, loop,
recording to disk. The board is echo.c, which also times a bare read-write echo in C on the same kind of
pseudo-terminal, in chunks that alternate with the program's, so that both see the same machine. In the condition idle
other programs take their turns as well: pyserial alone, pyserial with a reader thread, and Timeflux. USB, a real board
and light are not in these figures.

The echo comes in two forms. Left alone (`echo`) its two ends settle on one core, and an answer costs no more than a
change of process: the least that is possible. With its ends on two cores (`echo_apart`) a sleeping core has to be woken
for each way, as it has for any program that hears from a board: that is the floor for this one.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import far_end
import peer_processes
import scheduling
from conditions import CONDITIONS
from far_end import Plan
from latency_run import AIM, Asked, measure
from machine import machine, say
from peer_processes import Peer

from closedloop import session
from closedloop.errors import ClosedLoopError

CHUNK_MS = far_end.CHUNK_MS
RATES = (130, 1000)
SHORT = {130: 1, 1000: 1}  # rounds
LONG = {130: 130, 1000: 25}  # over 20,000 readings for program and echoes, 10,000 and 15,000 for each peer
PEERS_EVERY = 2  # in the long form: a peer has a turn in every other round
MEASURED = (
    "microseconds from just before write() of a reading to just after read() of the command it caused, both by the "
    "board's clock. heartbeat: due at the first reading 10 ms after the last one's, timed from that reading; fire: one "
    "reading a chunk is 20 % brighter, and is to fire one train of 1 ms; command: both together. echo: a frame as long "
    "as a reading, read and written back by a C process, where the kernel puts it; echo_apart: with its two ends kept "
    "on two cores. The program is not pinned. Chunks alternate, and each other one is the program's; the first 100 ms "
    "of a chunk are measured for nobody. peers: a bright frame every 10 ms as long as a reading but of fixed layout "
    "without COBS and CRC, compared with a fixed threshold and answered by one byte; they filter and record nothing. "
    "cpu_percent: processor time over the time of one's own chunks."
)


def conduct(
    compiler: str, rate_hz: int, rounds: int, chunk_ms: int, look: Callable[[Path], None] = lambda _: None
) -> tuple[str, str]:
    """One session at this rate, without peers: how it ended, and what the board printed; `look` as in `session.run`."""
    plan = Plan(rate_hz, rounds, chunk_ms, program_ms=chunk_ms)
    with far_end.running(compiler, plan) as end, tempfile.TemporaryDirectory() as out:
        outcome = session.run(far_end.request(rate_hz, end.daq, end.stimulator, Path(out)), look)
        return outcome.ending.how, end.said()


def table(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    if result["runs"] is None:
        yield result["skipped"]
        return
    for run in result["runs"]:
        yield from _of_one_run(run)
    yield f"cores kept awake by this benchmark: {result['kept_awake']}; Timeflux: {result['timeflux']}"


def _of_one_run(run: dict[str, Any]) -> Iterator[str]:
    yield f"{run['condition']}, {run['rate_hz']} Hz: {CONDITIONS[run['condition']]}"
    if run.get("waiting", "sleep") != "sleep":
        yield f"  waiting: {run['waiting']}"
    if "failed" in run:
        yield f"  failed: {run['failed']}"
        return
    yield f"  {'microseconds':32}{'n':>8}{'p50':>10}{'p99':>10}{'p99.9':>10}{'max':>10}"
    for name in ("heartbeat", "fire", "command", "echo", "echo_apart"):
        yield _row(name, run[f"{name}_us"])
    for name, peer in run["peers"].items():
        lost = f"  {peer['missed']} of {peer['asked']} not answered" if peer["missed"] else ""
        yield _row(name, peer["answer_us"]) + lost
    for name, ratio in run["ratio"].items():
        yield _row(f"ratio {name}", {"n": "", "max": "", **ratio})
    yield f"  fires asked for {run['events']}, missed {run['missed']}, unexpected {run['unexpected']}; {run['ended']}"
    yield "  priorities: " + "; ".join(_by_priority(run["priorities"]))
    if run["cpu_percent"]:
        yield "  processor, % of a core: " + ", ".join(f"{who} {what}" for who, what in run["cpu_percent"].items())
    yield f"  {_means(run['real_time'])}"
    for name, reached in run["aim"].items():
        words = (
            f"{p} {'not known' if ok is None else 'reached' if ok else 'not reached'}" for p, ok in reached.items()
        )
        yield f"  aim for {name}, at most {AIM['p50']} at p50 and {AIM['p99']} at p99: " + ", ".join(words)
    yield ""


def _by_priority(priorities: dict[str, str]) -> Iterator[str]:
    for what in dict.fromkeys(priorities.values()):
        yield f"{what}: {', '.join(who for who, has in priorities.items() if has == what)}"


def _means(real_time: dict[str, Any] | None) -> str:
    """Which of the engine's means to be in time were had."""
    if real_time is None:
        return "real time: the recording does not say"
    words = (
        f"{name} {'had' if one['had'] else 'not had (' + str(one['why']) + ')'}" for name, one in real_time.items()
    )
    return "real time: " + "; ".join(words)


def _row(name: str, values: dict[str, Any]) -> str:
    cells = (values[p] for p in ("p50", "p99", "p99_9", "max"))
    return f"  {name:36}{values['n']:>4}" + "".join(f"{'-' if c is None else c:>10}" for c in cells)


def main() -> int:
    """The command line; 0 also where there is no compiler, which the result then says."""
    asked = _parser().parse_args()
    result: dict[str, Any] = {
        "benchmark": "latency",
        "form": "long" if asked.long else "short",
        "machine": machine(),
        "measured": MEASURED,
        "runs": None,
    }
    compiler = shutil.which("cc")
    if compiler is None or sys.platform == "win32":
        result["skipped"] = "latency: needs pseudo-terminals and a C compiler called cc (Debian: apt install gcc)"
    else:
        peers, result["timeflux"] = _peers(asked)
        with scheduling.awake(wanted=asked.keep_awake) as result["kept_awake"]:
            result["runs"] = list(_measured(compiler, list(_runs(asked, peers)), aloud=asked.long and asked.json))
    say(result, table(result), as_json=asked.json)
    return int(any("failed" in run for run in result["runs"] or ()))


def _measured(compiler: str, runs: list[Asked], *, aloud: bool) -> Iterator[dict[str, Any]]:
    """Every run. One that fails, and Ctrl-C, must not cost the figures of those before."""
    for asked in runs:
        try:
            run = measure(compiler, asked)
        except KeyboardInterrupt:
            sys.stderr.write("latency: interrupted; what follows is of the runs before\n")
            return
        except (ClosedLoopError, RuntimeError) as error:
            run = {"condition": asked.condition, "rate_hz": asked.plan.rate_hz, "failed": str(error)}
            sys.stderr.write(f"latency: {asked.condition}, {asked.plan.rate_hz} Hz failed: {error}\n")
        if aloud:
            sys.stderr.write("\n".join(_of_one_run(run)) + "\n")
        yield run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--long", action="store_true", help="about 45 minutes with --timeflux")
    parser.add_argument("--only", choices=CONDITIONS, action="append", help="one condition; may be repeated")
    parser.add_argument("--rate", type=int, action="append", help="readings a second; may be repeated")
    parser.add_argument("--rounds", type=int, help="chunks of each echo")
    parser.add_argument("--chunk-ms", type=int, default=CHUNK_MS, help="length of a chunk, 200 to 1500")
    parser.add_argument("--program-ms", type=int, help="length of the program's own chunks, of which there are more")
    parser.add_argument("--no-peers", action="store_true", help="program and echoes alone")
    parser.add_argument("--timeflux", action="store_true", help="Timeflux as well, in an environment made for it")
    parser.add_argument(
        "--waiting", choices=("sleep", "awake", "spin"), default="sleep", help="the rig file's `waiting` (sleep)"
    )
    parser.add_argument("--keep-awake", action="store_true", help="keep all cores from halting (Linux, as root)")
    parser.add_argument(
        "--echo-priority",
        choices=("same", "normal"),
        default="same",
        help="the scheduling that the engine has, or none (same)",
    )
    parser.add_argument(
        "--peer-priority",
        choices=("same", "normal"),
        default="normal",
        help="the scheduling that the engine has, or none (normal)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def _peers(asked: argparse.Namespace) -> tuple[tuple[Peer, ...], str]:
    """Whom to compare with, and what came of Timeflux."""
    if asked.no_peers or "idle" not in (asked.only or CONDITIONS):
        return (), "not asked for"
    if not asked.timeflux:
        return peer_processes.PLAIN, "not asked for (--timeflux)"
    python, why = peer_processes.timeflux_python()
    if python is None:
        return peer_processes.PLAIN, f"not measured: {why}"
    return (*peer_processes.PLAIN, *peer_processes.timeflux(python)), peer_processes.TIMEFLUX


def _runs(asked: argparse.Namespace, peers: tuple[Peer, ...]) -> Iterator[Asked]:
    rounds = LONG if asked.long else SHORT
    for condition in asked.only or CONDITIONS:
        few = RATES if asked.long or asked.only or condition == "idle" else RATES[-1:]
        for rate in asked.rate or few:
            plan = Plan(
                rate,
                asked.rounds or rounds.get(rate, 3),
                asked.chunk_ms,
                asked.program_ms or min(far_end.PROGRAM_MS, asked.chunk_ms),
                peers_every=PEERS_EVERY if asked.long else 1,
            )
            beside = peers if condition == "idle" else ()
            yield Asked(condition, plan, beside, asked.echo_priority, asked.peer_priority, asked.waiting)


if __name__ == "__main__":
    sys.exit(main())
