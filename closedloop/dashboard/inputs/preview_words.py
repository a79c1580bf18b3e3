"""What a preview's answer says, in words. It counts what the re-run found and judges none of it."""

from __future__ import annotations

from closedloop.dashboard.inputs.bounds import Bounds
from closedloop.dashboard.inputs.preview_process import Answer
from closedloop.recording.blinding import DECIDED

_DID = {"fire": "would have fired", DECIDED: "would have planned a train"}
_UNITS = {"nats": " nats", "members": " members"}  # of a score that is no number of SD


def result(setting: Bounds, answer: Answer) -> str:
    """Such as: at 4.5 (release 2): would have fired 7 times in the last 5 min (3 refused: refractory)."""
    unit = _UNITS.get(answer.get("unit", ""), "")
    at = f"at {setting.threshold:.4g}{unit} (release {setting.release:.4g}): "
    if answer.get("problem"):
        return f"{at}not known: {answer['problem']}"
    fires, decision = answer["fires"], answer["decision"]
    if decision == "on_board":
        return f"{at}{_times(len(answer['detections']))} detected by this loop {_span(answer)}; the board decides"
    did = _DID.get(decision, f"would have decided '{decision}'")
    refused = ", ".join(f"{count} refused: {reason.replace('_', ' ')}" for reason, count in answer["refused"].items())
    return f"{at}{did} {_times(len(fires))} {_span(answer)}{f' ({refused})' if refused else ''}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _span(answer: Answer) -> str:
    span_s = answer["until_s"] - answer["since_s"]
    return f"in the last {span_s / 60:.3g} min" if span_s >= 60 else f"in the last {span_s:.0f} s"


def footnote(answer: Answer) -> str:
    """How often that is, and how far the re-run is to be believed; "" for an answer that is a problem."""
    if answer.get("problem"):
        return ""
    how = "re-run from the session's start" if answer["exact"] else "re-run from long enough before"
    if anew := ", ".join(answer.get("relearned", ())):
        how = f"re-run from some time before, where {anew} learned anew what it had learned at this session's start"
    return f"{answer['per_min']:.3g} a minute; {how}, on the readings as they were: light that was given shows in them."
