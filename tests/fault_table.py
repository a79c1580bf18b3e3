"""The fault list: what is injected, what the tests that inject it report, and the table of docs/faults.md made of it.

    pytest --fault-table docs/faults.md hil_tests tests

A test reports through the fixture `faults` (conftest.py of the whole project). A report with spurious light, or with a
reading lost silently, fails the test that makes it. Rows of faults that a run does not inject stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
BEGIN, END = "<!-- the fault table begins -->", "<!-- the fault table ends -->"
HEAD = (
    "| fault | on | times | spurious light | readings lost silently | time to dark, ms | what the user is told |\n"
    "|---|---|---|---|---|---|---|"
)
AGAIN = "pytest --fault-table docs/faults.md hil_tests tests"
UNKNOWN = "–"

FAULTS = {
    "unplug_on": "both cables, or one, pulled while light is on",
    "unplug_frame": "cable pulled in mid-frame, and put back",
    "host_killed": "host, or its engine, killed (`kill -9`) while light is on",
    "host_stopped": "host stopped (SIGSTOP) for 2 s, and resumed",
    "starved": "reader starved: it looks at its ports every 40, 200, 400 ms",
    "reordered": "frames duplicated, reordered, lost",
    "damaged": "one bit flipped in a frame of 1000, and in a frame of 50",
    "drift": "clocks of the boards 200 ppm off, either way",
    "wall_clock": "wall clock set by an hour, there and back",
    "clock_stands": "boards' clocks stand still for 400 ms",
    "clock_jumps": "DAQ's clock leaps 2 s ahead",
    "suspend": "host suspended for 3 s: its clock stands, the boards' go on",
    "wrap_ticks": "32-bit ticks and 16-bit timer wrap in mid-train",
    "wrap_seq": "32-bit reading numbers wrap in mid-session",
    "disk_full": "disk full in mid-session",
    "disk_read_only": "disk turns read-only in mid-session",
    "disk_slow": "disk takes seconds to sync",
    "odd_samples": "counts at both ends of their range, saturated, below dark",
    "flat": "flat line",
    "protocol_edited": "protocol file edited, then deleted, during the run",
    "two_hosts": "two hosts' frames on one line, whole and cut into each other",
    "two_engines": "a second session on the same rig",
    "stimulator_reset": "stimulator browns out, or is reset, in mid-train",
    "daq_reset": "DAQ board resets in mid-train",
    "stuck_answer": "stimulator's answers never arrive",
    "interlock": "interlock opened while light is on",
    "hang": "stimulator's program hangs in mid-pulse",
    "random_bytes": "random bytes at an armed board",
    "dashboard_killed": "dashboard killed (`kill -9`) in mid-session",
    "engine_killed": "writer killed (`kill -9`) at random instants, at full speed",
    "truncated": "recording cut at every byte of its last block",
    "second_writer": "recording opened by a second process, to read and to write",
    "power_cut": "power cut: pages that were not synced lost",
}
WITHOUT = {"pulse_pal": ("PulsePal: latched train, partial frame", "no PulsePal driver is shipped")}


@dataclass(frozen=True)
class Report:
    """What one test saw of one fault; None where it was not measured, or means nothing.

    Attributes:
        fault: key in FAULTS.
        on: what it was injected on: mock, emulated-uno, simulated, files ...
        times: how often it was injected.
        spurious: pulses that no recorded command explains, or that began after it should have been dark.
        lost: readings sent, less recorded, less reported missing.
        dark_ms: from the fault to the last light of the longest case.
        told: what the session said, in words.
    """

    fault: str
    on: str
    times: int
    told: str
    spurious: int | None = 0
    lost: int | None = None
    dark_ms: float | None = None


@dataclass
class Table:
    """All reports of one run of the tests."""

    reports: list[Report] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """Keep a report.

        Raises:
            KeyError: no such fault.
            AssertionError: light that nobody commanded, or readings lost silently.
        """
        FAULTS[report.fault]
        self.reports.append(report)
        assert not report.spurious, f"{report.fault} on {report.on}: {report.spurious} spurious pulses"
        assert not report.lost, f"{report.fault} on {report.on}: {report.lost} readings lost silently"

    def rows(self) -> dict[str, str]:
        """A line for each fault that was reported."""
        return {fault: row_of(fault, own) for fault in FAULTS if (own := [r for r in self.reports if r.fault == fault])}


def row_of(fault: str, reports: list[Report]) -> str:
    """One line of the table."""
    spurious, lost, dark = (
        [v for r in reports if (v := getattr(r, name)) is not None] for name in ("spurious", "lost", "dark_ms")
    )
    cells = [
        FAULTS[fault],
        ", ".join(dict.fromkeys(r.on for r in reports)),
        f"{sum(r.times for r in reports):,}",
        str(sum(spurious)) if spurious else UNKNOWN,
        str(sum(lost)) if lost else UNKNOWN,
        f"{max(dark):.0f}" if dark else UNKNOWN,
        "; or ".join(dict.fromkeys(r.told for r in reports)),
    ]
    return "| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) + " |"


def shown(text: str) -> dict[str, list[str]]:
    """The cells of each row of a page's table, by the fault's key."""
    within = text.partition(BEGIN)[2].partition(END)[0]
    keys = {title: key for key, title in FAULTS.items()} | {title: key for key, (title, _) in WITHOUT.items()}
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in within.splitlines()]
    return {keys[cells[0]]: cells for cells in rows if cells[0] in keys}


def renewed(text: str, rows: dict[str, str]) -> str:
    """The page with these rows in place of the old ones."""
    old = {key: "| " + " | ".join(cells) + " |" for key, cells in shown(text).items()}
    absent = " | ".join(["0", *[UNKNOWN] * 3])
    without = [f"| {title} | {UNKNOWN} | {absent} | not injected: {why} |" for title, why in WITHOUT.values()]
    lines = [row for key in FAULTS if (row := rows.get(key) or old.get(key))]
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return "\n".join([before + BEGIN, "", HEAD, *lines, *without, "", END + after])
