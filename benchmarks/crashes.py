"""What a kill and a power cut take from a recording that is written as fast as it goes.

    python benchmarks/crashes.py                 a few of each
    python benchmarks/crashes.py --long --json   200 kills and 200 power cuts, as one JSON object
    python benchmarks/crashes.py --long --figure docs/power_cut.svg

A kill: a process appends rows, events and health, syncs on another thread, and tells over a pipe what it had appended,
after each append has returned. It is killed (kill -9) at a random instant. Whatever it had told must be there, bit for
bit; the recording opens; `recover` closes it, changes nothing that readers see, and a second time not one byte. Some
writers are killed while they close, and some just after.

A power cut: of each file what a sync had waited for is kept, and of every page that was written after it either the old
or the new content, at random, with the file's length old or new. Disks and systems differ in the order in which pages
reach the disk, hence any order. What is lost is at most what was appended since the last sync that had ended.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import struct
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from machine import machine
from progress import each

from closedloop.health import HEALTH
from closedloop.recording import Recording, RecordingWriter, create, recover, row_dtype
from closedloop.recording.layout import PAGE_BYTES
from closedloop.steps import STEP

ROW = row_dtype(STEP)
SHORT, LONG = 20, 200
_HEADER = {"rate_mhz": 1_000_000, "nano_units": 1, "input_names": [], "decisions": ["fire"], "started_ns": 0}
_TOLD = struct.Struct("<II")  # rows, events
_POOL = 1 << 18
_MOST_SYNCED, _MOST_UNSYNCED = 12_000, 2_000  # rows, one or two seconds at 1 kHz after the last sync


def rows_of(count: int) -> np.ndarray[Any, np.dtype[np.void]]:
    """Rows that differ from one another in every field."""
    rows = np.zeros(count, ROW)
    for number, name in enumerate(ROW.names or ()):
        rows[name] = (np.arange(count) * (number + 3) + number) % 251
    rows["ticks"] = np.arange(count) * 1000
    return rows


def begin(data: Path) -> RecordingWriter:
    """A session of its own."""
    folder = create(data, None, datetime(2025, 6, 1, 12))
    return RecordingWriter.open(folder, header=_HEADER, protocol="", rig="", dtype=ROW)


def write(writer: RecordingWriter, rows: Any, tell: Callable[[int, int], None], close_after: int) -> None:
    """Append one to three rows at a time, with an event and a row of health now and then; then close."""
    head = events = 0
    while head < close_after:
        size = 1 + head % 3
        writer.append(rows[head : head + size])
        head += size
        if head % 7 == 0:
            writer.event("light_on", ticks=head, host_ns=head, train=events, value=head / 3, text="µ" * (head % 50))
            events += 1
        if head % 11 == 0:
            writer.health(np.zeros(1, HEALTH))
        tell(head, events)
    writer.close({"ended": "completed", "reason": ""})


# Kills


class Trial(NamedTuple):
    """One kill: what was told before it, what was there after it, and what went wrong, in words."""

    told_rows: int
    told_events: int
    rows: int
    events: int
    closed: bool
    problems: list[str]


def kill(data: Path, rows: Any, dice: random.Random) -> Trial:
    """One writer, killed at a random instant after its first row."""
    ours, theirs = os.pipe()
    close_after = dice.choice([300, 3000, len(rows) - 3])
    child = os.fork()
    if child == 0:
        _write_until_killed(data, rows, theirs, close_after)
    os.close(theirs)
    told = os.read(ours, _TOLD.size)
    over = threading.Event()
    over.wait(dice.expovariate(1 / 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(ours, 1 << 16):
        told += more
    os.close(ours)
    whole = len(told) // _TOLD.size * _TOLD.size
    head, events = _TOLD.unpack(told[whole - _TOLD.size : whole])
    (folder,) = data.glob("sub-test/ses-*")
    return judge(folder, rows, head, events)


def _write_until_killed(data: Path, rows: Any, pipe: int, close_after: int) -> None:
    try:
        writer = begin(data)
        over = threading.Event()

        def sync_on_and_on() -> None:
            while not over.wait(0.002):
                writer.sync()

        thread = threading.Thread(target=sync_on_and_on)

        def tell(head: int, events: int) -> None:
            os.write(pipe, _TOLD.pack(head, events))
            if head >= close_after:
                over.set()
                thread.join()

        thread.start()
        write(writer, rows, tell, close_after)
        signal.pause()  # closed: wait for the kill all the same
    finally:
        os._exit(1)


def judge(folder: Path, rows: Any, told_rows: int, told_events: int) -> Trial:
    """Whether all that was told is there, and what `recover` makes of it."""
    recording = Recording.open(folder)
    closed, before = recording.finished, _seen(recording)
    got, events = recording.rows(), recording.events()
    problems = [] if len(got) >= told_rows else [f"{told_rows - len(got)} rows lost"]
    problems += [] if len(events) >= told_events else [f"{told_events - len(events)} events lost"]
    problems += [] if got.tobytes() == rows[: len(got)].tobytes() else ["a wrong row was given"]
    problems += [] if [event.ticks for event in events] == _event_ticks(len(events)) else ["a wrong event was given"]
    first = recover(folder)
    bytes_after = _bytes(folder)
    problems += [] if first.changed != closed else ["recover took it for what it is not"]
    problems += [] if _seen(Recording.open(folder)) == before else ["recover changed what readers see"]
    problems += [] if recover(folder) == (False, first.summary) else ["a second recover did something"]
    problems += [] if _bytes(folder) == bytes_after else ["a second recover changed a byte"]
    return Trial(told_rows, told_events, len(got), len(events), closed, problems)


def _event_ticks(count: int) -> list[int]:
    """When the writer adds an event: it adds 1, 2, 3 rows in turn, and an event where that makes a multiple of 7."""
    ticks: list[int] = []
    head = 0
    while len(ticks) < count:
        head += 1 + head % 3
        if head % 7 == 0:
            ticks.append(head)
    return ticks


def _seen(recording: Recording) -> tuple[str, str, int]:
    return sha256(recording.rows().tobytes()).hexdigest(), repr(recording.events()), len(recording.health())


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Power cuts


class Cut(NamedTuple):
    """One power cut: rows appended, rows that a sync had waited for, rows that were there, and what went wrong."""

    appended: int
    synced: int
    rows: int
    problems: list[str]


def power_cut(data: Path, rows: Any, dice: random.Random) -> Cut:
    """A second of a session is synced, another is not; then the power goes."""
    writer = begin(data)
    head = events = 0

    def go_on(count: int) -> None:
        nonlocal head, events
        for _ in range(count):
            writer.append(rows[head : head + 1])
            head += 1
            if head % 50 == 0:
                writer.event("note", ticks=head, host_ns=head, text="x" * dice.randrange(200))
                events += 1

    go_on(dice.randrange(1, _MOST_SYNCED))
    writer.sync()
    synced, synced_events, durable = head, events, _bytes(writer.folder)
    go_on(dice.randrange(1, _MOST_UNSYNCED))
    lost = _bytes(writer.folder)
    appended = head
    writer.close({"ended": "completed", "reason": ""})
    (writer.folder / "summary.json").unlink()
    for name in lost:
        (writer.folder / name).write_bytes(_after_the_cut(durable.get(name, b""), lost[name], dice))
    trial = judge_cut(writer.folder, rows, synced, synced_events)
    return Cut(appended, synced, trial.rows, trial.problems)


def judge_cut(folder: Path, rows: Any, synced: int, synced_events: int) -> Trial:
    """As after a kill; what a sync had waited for must be there."""
    recording = Recording.open(folder)
    got, events, before = recording.rows(), recording.events(), _seen(recording)
    problems = [] if len(got) >= synced else [f"{synced - len(got)} rows lost that were synced"]
    problems += [] if len(events) >= synced_events else [f"{synced_events - len(events)} synced events lost"]
    problems += [] if got.tobytes() == rows[: len(got)].tobytes() else ["a wrong row was given"]
    problems += [] if [e.ticks for e in events] == [50 * (at + 1) for at in range(len(events))] else ["a wrong event"]
    first = recover(folder)
    bytes_after = _bytes(folder)
    problems += [] if _seen(Recording.open(folder)) == before else ["recover changed what readers see"]
    problems += [] if recover(folder) == (False, first.summary) else ["a second recover did something"]
    problems += [] if _bytes(folder) == bytes_after else ["a second recover changed a byte"]
    return Trial(synced, synced_events, len(got), len(events), False, problems)


def _after_the_cut(old: bytes, new: bytes, dice: random.Random) -> bytes:
    """Of each page that differs, the old or the new one; of the two lengths, either."""
    if old == new:
        return new
    luck = dice.choice([0.0, 0.1, 0.5, 0.9, 1.0])  # how much of it reached the disk
    length = len(new) if dice.random() < luck else len(old)
    pages = []
    for at in range(0, length, PAGE_BYTES):
        source = new if dice.random() < luck else old
        page = source[at : at + PAGE_BYTES]
        pages.append(page.ljust(min(PAGE_BYTES, length - at), b"\0")[: length - at])
    return b"".join(pages)


# All of it


def kills(count: int, seed: int) -> list[Trial]:
    """So many kills, each of a writer of its own."""
    dice, rows, trials = random.Random(seed), rows_of(_POOL), []
    for _ in each(range(count), "kills"):
        with tempfile.TemporaryDirectory(prefix="crashes-") as data:
            trials.append(kill(Path(data), rows, dice))
    return trials


def cuts(count: int, seed: int) -> list[Cut]:
    """So many power cuts."""
    dice, rows, found = random.Random(seed), rows_of(_MOST_SYNCED + _MOST_UNSYNCED), []
    for _ in each(range(count), "power cuts"):
        with tempfile.TemporaryDirectory(prefix="crashes-") as data:
            found.append(power_cut(Path(data), rows, dice))
    return found


def result(of_kills: list[Trial], of_cuts: list[Cut]) -> dict[str, Any]:
    """Both as figures; every list of problems should be empty."""
    return {
        "benchmark": "crashes",
        "measured": "rows and events that a writer had appended and that are not there after a kill or a power cut",
        "machine": machine(),
        "kills": {
            "trials": len(of_kills),
            "already_closed": sum(one.closed for one in of_kills),
            "rows_told": sum(one.told_rows for one in of_kills),
            "events_told": sum(one.told_events for one in of_kills),
            "rows_lost": sum(max(0, one.told_rows - one.rows) for one in of_kills),
            "events_lost": sum(max(0, one.told_events - one.events) for one in of_kills),
            "problems": [problem for one in of_kills for problem in one.problems],
        },
        "power_cuts": {
            "trials": len(of_cuts),
            "rows_unsynced": sum(one.appended - one.synced for one in of_cuts),
            "unsynced_lost": sum(one.appended - one.rows for one in of_cuts),
            "synced_lost": sum(max(0, one.synced - one.rows) for one in of_cuts),
            "each": [{"unsynced": one.appended - one.synced, "lost": one.appended - one.rows} for one in of_cuts],
            "problems": [problem for one in of_cuts for problem in one.problems],
        },
    }


def draw(cuts_found: list[dict[str, int]], path: Path) -> None:
    """What each power cut took, against what no sync had waited for: no point lies above the line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    unsynced = np.array([one["unsynced"] for one in cuts_found])
    lost = np.array([one["lost"] for one in cuts_found])
    axes.axline((0, 0), slope=1, color="0.6", linewidth=1)
    axes.text(0.5, 0.55, "all that was not synced", color="0.4", rotation=33, ha="center", transform=axes.transAxes)
    axes.plot(unsynced, lost, "o", markersize=3, color="#1f77b4")
    axes.set(xlim=(0, _MOST_UNSYNCED), ylim=(0, _MOST_UNSYNCED))
    axes.set_xlabel("readings appended since the last sync")
    axes.set_ylabel("readings that the power cut took")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> int:
    """The command line; 0 if nothing was lost that must not be, and nothing given that was not written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, help=f"how many (default {SHORT}; --long: {LONG})")
    parser.add_argument("--cuts", type=int, help=f"power cuts (default {SHORT}; --long: {LONG})")
    parser.add_argument("--long", action="store_true", help=f"{LONG} of each")
    parser.add_argument("--figure", metavar="FILE.svg", type=Path, help="what each power cut took")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    usual = LONG if asked.long else SHORT
    found = result(
        kills(usual if asked.kills is None else asked.kills, asked.seed),
        cuts(usual if asked.cuts is None else asked.cuts, asked.seed),
    )
    if asked.figure:
        draw(found["power_cuts"]["each"], asked.figure)
    if asked.json:
        print(json.dumps(found))
    else:
        for part in ("kills", "power_cuts"):
            print(part)
            for name, value in found[part].items():
                if name != "each":
                    print(f"  {name:20}{value}")
    return 1 if found["kills"]["problems"] or found["power_cuts"]["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
