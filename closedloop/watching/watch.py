"""All that a watcher knows of one session, brought up to date in short turns. It never writes, and never raises.

Before the session has begun all parts are there and empty; they are made anew, once, when its header is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from closedloop.watching.auditing import Audit, Closed, Findings, judge
from closedloop.watching.averages import PeriEvents
from closedloop.watching.course import Course
from closedloop.watching.dose import Dose
from closedloop.watching.follower import Follower, Fresh, Stage
from closedloop.watching.marks import Marks
from closedloop.watching.measured import in_order
from closedloop.watching.rates import Rates
from closedloop.watching.standing import Look, Standing
from closedloop.watching.status import Status
from closedloop.watching.tallies import Tallies
from closedloop.watching.traces import Traces


class Watch:
    """One session, watched while it runs or looked through afterwards; for one thread.

    Attributes:
        follower: what reads the folder.
        traces: the numbers of every reading.
        marks: what happened, as spans and words.
        tallies: counts and latencies.
        dose: light as delivered, against its limits.
        peri: averages around decisions.
        rates: event rate, and the digital inputs.
        course: which block is on, pauses and gates.
        findings: what the session's audit is made of.
        audit: of a session that is over; None before.
        status: how the session stands, as of the last turn.
        version: grows when anything of this has changed.
    """

    def __init__(self, folder: Path) -> None:
        self.follower = Follower(folder)
        self.version = 0
        self.audit: Audit | None = None
        self._begun = False
        self._ended = False
        self._begin({})
        self.status: Status = self._standing.status(self._look(0))

    @property
    def header(self) -> dict[str, Any]:
        """What was run, on what; empty until the session has begun."""
        return self.follower.header

    @property
    def loaded(self) -> float:
        """Part of the rows there that has been read, 0 to 1."""
        return self.follower.loaded

    @property
    def live(self) -> bool:
        """Whether the session runs now."""
        return self.follower.stage is Stage.RUNNING

    def turn(self, now_ns: int, most_rows: int = 20_000) -> None:
        """Take in what is new.

        Args:
            now_ns: on the host's monotonic clock.
            most_rows: that may be read; the rest waits for the next turn.
        """
        fresh = self.follower.turn(most_rows)
        changed = self._take(fresh)
        status = self._standing.status(self._look(now_ns))
        changed = changed or status != self.status
        self.status = status
        self.version += changed

    def _take(self, fresh: Fresh) -> bool:
        changed = False
        if self.header and not self._begun:
            self._begun = changed = True
            self._begin(self.header)
        if len(fresh.rows) or fresh.events or len(fresh.health):
            changed = True
            if len(fresh.rows):
                self.traces.add(fresh.rows)
            for part in self._followers():
                part.add(fresh)
        self.peri.add(fresh)
        changed = self.peri.turn() or changed
        summary = self.follower.summary
        if summary is not None and self.loaded == 1.0 and not self._ended:
            self._ended = changed = True
            self.tallies.end(summary)
            self.marks.end()
            self._audit(summary)
        elif self.follower.stage is Stage.BROKEN_OFF and changed:
            self.marks.end()
            self._audit(None)
        return changed

    def _followers(self) -> tuple[Any, ...]:
        """The parts that take in all that is recorded."""
        return self.marks, self.tallies, self.dose, self.rates, self.course, self._standing, self.findings

    def _audit(self, summary: dict[str, Any] | None) -> None:
        """The session is over, and all of it has been read."""
        if self.loaded < 1.0:
            return
        self.findings.close()
        self.findings.end(summary or {})
        self.audit = judge(self.findings, Closed(summary, False, *self.follower.cut))

    def _begin(self, header: dict[str, Any]) -> None:
        self.traces = Traces(header, self.follower.rows, in_order(self.follower.shown))
        self.marks = Marks(header)
        self.tallies = Tallies(header)
        self.dose = Dose(header)
        self.peri = PeriEvents(header, self.follower.rows)
        self.rates = Rates(header)
        self.course = Course(header)
        self.findings = Findings(header)
        self.audit = None
        self._standing = Standing(self.follower.folder, header)

    def _look(self, now_ns: int) -> Look:
        follower = self.follower
        caught_up = follower.loaded == 1.0
        return Look(follower.stage, follower.problem, follower.summary, follower.size_bytes, caught_up, now_ns)
