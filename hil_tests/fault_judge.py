"""Judges a session that a fault befell, from three things alone: the light, the recording, and what the DAQ sent.

It knows nothing of loop or controller. Light is spurious if no recorded command explains it, if it lasts longer than
was asked for, or if it is on when the fault should have made it dark. Readings are lost silently if they were sent and
are neither recorded nor reported missing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fault_session import READING_FIELDS, FaultSession
from fault_table import Report

from closedloop.recording import Recording

ROUTINE = {"first_reading", "arm", "armed", "veto_over", "restarted"}
_ROUNDING_S = 1e-6


class Verdict(NamedTuple):
    """What was wrong, and what was said.

    Attributes:
        spurious: pulses that should not have been.
        lost: readings lost silently, among those sent before the last one recorded.
        unheard: readings sent after the last one recorded: the cable was out, or the session over.
        dark_ms: from the fault to the last light; None where light may go on.
        told: the ending, refusals and notes, in words.
    """

    spurious: int
    lost: int
    unheard: int
    dark_ms: float | None
    told: str


def judge(
    session: FaultSession, recording: Recording, fault_s: float, dark_within_s: float | None, before: int = 0
) -> Verdict:
    """Judge a session when all is over.

    Args:
        session: it, with its bench.
        recording: its folder, opened anew.
        fault_s: when the fault came, in the bench's time.
        dark_within_s: in how long it has to be dark for good; None where the session may go on giving light.
        before: readings that count as sent before the first of the stream, where its number was not 0.
    """
    lost, unheard = _lost(session, recording)
    lost += before
    spans = session.bench.spans()
    dark_ms = None
    if dark_within_s is not None:
        dark_ms = max(0.0, *((span.fall_s - fault_s) * 1e3 for span in spans)) if spans else 0.0
    until_s = np.inf if dark_within_s is None else fault_s + dark_within_s + session.bench.edge_resolution_s
    late = sum(span.fall_s > until_s for span in spans)
    return Verdict(late + _unexplained(session, recording), lost, unheard, dark_ms, told(recording))


def _unexplained(session: FaultSession, recording: Recording) -> int:
    """Pulses that no recorded command explains, or that are longer than it asked for; each explains one."""
    bench = session.bench
    commands_s = [session.bench_s(e.host_ns) for e in recording.events() if e.kind == "command"]
    longest_s = session._plan.train.on * (1 + bench.clock_error) + bench.edge_resolution_s
    wrong = 0
    for span in bench.spans():
        by = [at_s for at_s in commands_s if -_ROUNDING_S <= span.rise_s - at_s <= bench.command_s + bench.step_s]
        if by:
            commands_s.remove(by[0])
        wrong += not by or span.fall_s - span.rise_s > longest_s
    return wrong


def _lost(session: FaultSession, recording: Recording) -> tuple[int, int]:
    """Sent, less recorded, less reported missing; up to the last reading recorded, and beyond it."""
    rows, sent = recording.rows(), [reading for _, reading in session.sent]
    missing = sum(round(e.value or 0) for e in recording.events() if e.kind == "gap" and e.reason == "missing")
    at = {reading.seq: place for place, reading in enumerate(sent)}
    places = [at[seq] for seq in rows["seq"].tolist()]  # KeyError: a reading that was never sent
    assert places == sorted(set(places)), "readings are recorded out of order, or twice"
    for name in READING_FIELDS:
        np.testing.assert_array_equal(rows[name], [getattr(sent[place], name) for place in places], err_msg=name)
    until = places[-1] + 1 if places else 0
    return until - len(rows) - missing, len(sent) - until


def told(recording: Recording) -> str:
    """What a person finds in the summary and the events: the ending, and each kind of refusal, gap, trip and note."""
    summary: dict[str, Any] = recording.summary or {"ended": "broken off", "reason": "no summary"}
    words = [f"`{summary['ended']}`: {summary['reason']}" if summary["ended"] != "stopped" else "goes on"]
    kinds = {"refused": "refused", "gap": "gap", "note": "noted", "light_off": "cut short"}
    for event in recording.events():
        if event.kind in kinds and event.reason and event.reason not in ROUTINE:
            words.append(f"{kinds[event.kind]} `{event.reason}`")
    return ", ".join(dict.fromkeys(words))


def report(
    fault: str,
    session: FaultSession,
    fault_s: float,
    dark_within_s: float | None = None,
    *,
    times: int = 1,
    before: int = 0,
) -> Report:
    """Close the recording, judge it, and say what came out, for the table."""
    verdict = judge(session, session.close(), fault_s, dark_within_s, before)
    return Report(
        fault, session.bench.name, times, verdict.told, verdict.spurious, verdict.lost, dark_ms=verdict.dark_ms
    )
