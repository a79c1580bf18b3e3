"""A recording in one JSON object: the public summary that `run`, `demo` and `replay` print.

Of a blinded session it says what is the same in every arm: what was planned. What was delivered is null, and is told
once the study was unblinded.

`audit` is what the session measured of itself, and what was outside its bounds; see `docs/audit.md`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from closedloop.analysis import occupancy
from closedloop.analysis.audit import audit
from closedloop.analysis.counting import count_steps, lit_s, missing, percentiles
from closedloop.deliveries import ON_BOARD
from closedloop.health import HEALTH
from closedloop.readings import duration_s
from closedloop.recording import Event, Recording, Rows
from closedloop.watching.dose import Dose
from closedloop.watching.follower import Fresh

__all__ = ["count_steps", "lit_s", "missing", "percentiles", "summarise"]


def summarise(recording: Recording) -> dict[str, Any]:
    """The summary of a session, finished or not.

    Raises:
        RecordingError: the recording cannot be read.
    """
    header, rows, events = recording.header, recording.rows(), recording.events()
    outcome = recording.summary or {"ended": "broken_off", "reason": "the engine did not close the session"}
    counted = count_steps(rows, header["decisions"])
    refused = Counter(e.reason for e in events if e.kind == "refused")
    ledger = dose(rows, events, header)
    return {
        "session": str(recording.folder),
        "protocol": header["protocol_name"],
        "condition": header["condition"],
        "seed": header["seed"],
        "duration_s": duration_s(rows["ticks"], header["rate_mhz"] / 1000),
        "rate_hz": header["rate_mhz"] / 1000,
        "readings": {
            "received": len(rows),
            "missing": missing(rows["seq"], outcome.get("sent")),
            "damaged_frames": outcome.get("damaged_frames", 0),
        },
        "detections": counted["detections"],
        "decisions": counted["decisions"],
        "refused": dict(sorted(refused.items())),
        "trains": _planned(ledger) if recording.blinded else _delivered(events, header),
        "latency_us": {
            "read_to_command": percentiles(_values(events, "command")),
            "command_to_light": percentiles(_values(events, "light_on")),
        },
        "ended": outcome["ended"],
        "reason": outcome["reason"],
        **parts(rows, events, header, ledger),
        "audit": audit(recording).told(),
    }


def parts(rows: Rows, events: Sequence[Event], header: dict[str, Any], ledger: dict[str, Any]) -> dict[str, Any]:
    """What is told of a session beyond the summary of a replay: dose, inputs, blocks, light outside a gate."""
    return {
        "blinded": bool(header.get("blinded")),
        "dose": ledger,
        "inputs": occupancy.inputs(rows, header["input_names"], header["rate_mhz"] / 1000),
        "blocks": occupancy.blocks(rows, events, header),
        "outside_gate_s": occupancy.outside_gate_s(rows, events, header),
    }


def dose(rows: Rows, events: list[Event], header: dict[str, Any]) -> dict[str, Any]:
    """The ledger of light of a whole session; see `watching.dose`."""
    light = Dose(header)
    light.add(Fresh(rows, events, np.zeros(0, HEALTH)))
    return light.ledger()


def _delivered(events: Sequence[Event], header: dict[str, Any]) -> dict[str, Any]:
    on_s = lit_s(events, header["command"])
    power_mw = header["tip_mw"]
    return {
        "commanded": sum(e.kind == "command" for e in events),
        "delivered": sum(e.kind == "light_on" for e in events),
        "on_board": sum(e.kind == "light_on" and e.reason == ON_BOARD for e in events),
        "on_s": on_s,
        "energy_mj": None if power_mw is None else on_s * power_mw,
    }


def _planned(ledger: dict[str, Any]) -> dict[str, Any]:
    """The same keys, unknown, and the plan."""
    unknown = dict.fromkeys(("commanded", "delivered", "on_board", "on_s", "energy_mj"))
    return {"planned": ledger["planned"]["trains"], **unknown}


def _values(events: Iterable[Event], kind: str) -> list[float]:
    return [e.value for e in events if e.kind == kind and e.value is not None]
