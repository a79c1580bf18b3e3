"""What a session's header and status say of its controls, in words. Nothing is asked for and nothing is drawn here."""

from __future__ import annotations

import math
from typing import Any

from closedloop.watching.status import State, Status

OVER = {
    State.STOPPED,
    State.COMPLETED,
    State.FAILED,
    State.TRIPPED,
    State.DEVICE_LOST,
    State.BROKEN_OFF,
    State.UNREADABLE,
}


def section(header: dict[str, Any], *names: str) -> dict[str, Any]:
    """A map inside maps; empty where there is none."""
    found: Any = header
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def number(value: object) -> float:
    """Of a header's field; nan where it is none."""
    return float(value) if isinstance(value, (int, float)) else math.nan


def train_words(header: dict[str, Any]) -> str:
    """One train, in words: "2 pulses of 200 ms at 5 mW"."""
    command = section(header, "command")
    on_us, pulses = number(command.get("on_us")), number(command.get("pulses"))
    if math.isnan(on_us) or math.isnan(pulses):
        return "one train of the protocol"
    each = f"{on_us / 1e6:g} s" if on_us >= 1e6 else f"{on_us / 1e3:g} ms"
    given = each if pulses == 1 else f"{pulses:g} pulses of {each}"
    power, level = number(header.get("tip_mw")), number(command.get("level"))
    strength = f"{power:.3g} mW" if not math.isnan(power) else f"{level / 655.35:.3g} % of full power"
    return f"{given} at {strength}"


def session_words(header: dict[str, Any]) -> str:
    """Whose session this is, and its code: "M17   withdrawal day 7   code K3, blinded"; no arm is ever named."""
    protocol = section(header, "protocol")
    code, phase = header.get("condition") or "-", protocol.get("phase") or "-"
    coded = [] if code == "-" else [f"code {code}{', blinded' if header.get('blinded') else ''}"]
    named = [str(header.get("subject") or ""), "" if phase == "-" else str(phase), *coded]
    return "   ".join(filter(None, named))


def arm_words(status: Status, *, running: bool, wired: bool, will_arm: bool) -> str:
    """What the arm button says while it is not asking."""
    if status.state in OVER:
        return "The session is over"
    if not running:
        return "Arm: not begun yet"
    if not wired:
        return "This rig gives no light"
    if status.state is State.ARMING:
        return "Arming …"
    if status.state is State.PAUSED:
        return "Paused: resume first"
    if status.is_armed:
        return "Armed"
    if will_arm:
        return "Arms after warm-up …"
    return "Arm after warm-up" if status.state in (State.WARM_UP, State.STARTING) else "Arm"


def is_on_board(header: dict[str, Any]) -> bool:
    """Whether the DAQ board detects by itself."""
    return section(header, "protocol", "policy").get("kind") == "on_board"


def why_fixed(header: dict[str, Any], *, running: bool) -> str:
    """Why the bounds cannot be changed; "" if they can."""
    if is_on_board(header):
        return "The DAQ board detects by its own threshold here, which cannot be changed while it runs."
    if running:
        return ""
    return "The session is over: these move the preview alone." if header else "Bounds can be set while a session runs."
