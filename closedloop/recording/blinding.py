"""A blinded session: what its folder does not say in passing, and what its readers leave out, the same in every arm.

As it begins, what names the arm is put into the file `sealed` (see `seal`): the arm's policy, what it drew, the names
of its decisions, and the digests that depend on it. Header and protocol say `{kind: blinded, code: CODE}` in its place.

Rows and events keep everything, delivered light too, for the animal's safety comes first. `Neutral` is what readers
show of them: each decision is `decided`, and light is neither in the events nor in the rows' flags. A test pulse stays
a `test`, for a person asked for it; its light is left out like any other. Trips and refusals stay.

No honest reader looks further. `Recording.sealed` opens the truth, for analysis that names no arm in what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from closedloop import plain_file, seal
from closedloop.deciding import TEST
from closedloop.errors import RecordingError
from closedloop.model import BLINDED
from closedloop.readings import FLAG_LIGHT
from closedloop.recording import folder as files
from closedloop.recording.events import Event
from closedloop.recording.layout import Rows

DECIDED = "decided"  # in place of the name of any decision but a person's
NAMES = (DECIDED, TEST)  # `decisions` of a blinded header, whatever the arm
KIND = BLINDED

_LIGHT = ("command", "light_on", "light_off")  # events that tell the arms apart
_APART = ("protocol", "hashes", "decisions", "drawn")  # of the header
_OPEN_PARTS = ("closedloop.features", "closedloop.detectors", "closedloop.online", "closedloop.model")
_OUTCOME = ("statistics", "unfinished_trains")  # of the summary: traffic differs by the commands sent


class Sealed:
    """What a session is begun with, in two parts.

    Attributes:
        header: for `header.json`, without the arm.
        text: for the file `sealed`.
    """

    def __init__(self, header: Mapping[str, Any], protocol: str, code: str) -> None:
        kept = {name: header[name] for name in _APART if name in header}
        own = {"started": header.get("started"), "subject": header.get("subject")}
        self.text = seal.seal(files.plain({"header": kept, "protocol": protocol, "of": own}))
        hashes = dict(header.get("hashes") or {})
        parts = dict(hashes.get("parts") or {})
        hashes["protocol"] = None
        hashes["parts"] = {name: said for name, said in parts.items() if name.startswith(_OPEN_PARTS)}
        self.header = {
            **header,
            "protocol": {**header["protocol"], "policy": {"kind": KIND, "code": code}},
            "hashes": hashes,
            "decisions": list(NAMES),
            "drawn": None,
            "blinded": code,
        }


def is_blinded(header: Mapping[str, Any]) -> bool:
    """Whether a header keeps the arm apart."""
    return bool(header.get("blinded"))


def opened(header: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The header of a blinded session with what was put apart; `protocol_yaml` is the protocol's text as run.

    Raises:
        RecordingError: the file `sealed` is missing, damaged, changed or of another session.
    """
    path = folder / files.SEALED
    try:
        text = plain_file.read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        said = "cannot be opened, and what the arm was is in it alone; restore it from a copy"
        raise RecordingError(f"{path}: {said}") from error
    inside = seal.unseal(text, str(path))
    own = {"started": header.get("started"), "subject": header.get("subject")}
    if inside.get("of") != own or not isinstance(inside.get("header"), dict):
        raise RecordingError(f"{path}: is of another session; restore this session's own from a copy")
    return {**header, **inside["header"], "blinded": None, "protocol_yaml": inside.get("protocol")}


class NeutralRecorder:
    """Passes everything on, with decisions by their number and no arm in any text; for `logbook.Recorder`.

    Args:
        recorder: that keeps rows and events.
        decisions: of the session, number 1 first.
    """

    def __init__(self, recorder: Any, decisions: Sequence[str]) -> None:
        self._event = recorder.event
        self._numbers = {name: float(number) for number, name in enumerate(decisions, 1)}
        self.append = recorder.append
        self.health = recorder.health

    def event(self, kind: str, **about: Any) -> None:
        """One event; see `EventWriter.append`."""
        if kind == "decision" and about.get("reason") != TEST:
            about |= {"value": self._numbers.get(about.get("reason", "")), "reason": DECIDED}
        self._event(kind, **about)


class Open:
    """Events of a recording whose arm may be known: decisions get their names back."""

    def __init__(self, decisions: Sequence[str]) -> None:
        self._decisions = tuple(decisions)

    def events(self, events: Iterable[Event]) -> list[Event]:
        """The same events."""
        return [self._named(event) for event in events]

    def _named(self, event: Event) -> Event:
        if event.kind != "decision" or event.reason != DECIDED or event.value is None:
            return event
        number = int(event.value)
        known = 0 < number <= len(self._decisions)
        return event._replace(reason=self._decisions[number - 1] if known else DECIDED, value=None)


class Neutral:
    """What readers show of a blinded session. For one reader, from its first event on.

    Args:
        decisions: the true ones, number 1 first; () where they cannot be known, and then a test counts as decided.
    """

    def __init__(self, decisions: Sequence[str] = ()) -> None:
        self._test = decisions.index(TEST) + 1 if TEST in decisions else 0
        self._shown = 0

    def rows(self, rows: Rows) -> Rows:
        """A copy: decisions by their number in NAMES, and no copy of the light."""
        shown = rows.copy()
        there = rows.dtype.names or ()
        if "flags" in there:
            shown["flags"] = rows["flags"] & ~np.array(FLAG_LIGHT, rows.dtype["flags"])
        if "decision" in there:
            decision = rows["decision"]
            is_test = (decision == self._test) & (decision != 0)
            shown["decision"] = np.where(is_test, NAMES.index(TEST) + 1, decision != 0)
        shown.flags.writeable = False
        return shown

    def health(self, rows: Rows) -> Rows:
        """A copy that does not say how many trains were commanded, nor how long it took to command them."""
        shown = rows.copy()
        for name, unknown in (("outstanding", 0), ("turn_us", np.nan)):
            if name in (rows.dtype.names or ()):
                shown[name] = unknown
        shown.flags.writeable = False
        return shown

    def events(self, events: Iterable[Event]) -> list[Event]:
        """The next events, without those of light, and numbered anew."""
        kept = [event for event in events if event.kind not in _LIGHT]
        numbered = [self._neutral(event, self._shown + at) for at, event in enumerate(kept)]
        self._shown += len(kept)
        return numbered

    @staticmethod
    def outcome(summary: dict[str, Any] | None) -> dict[str, Any] | None:
        """How it ended, without the boards' traffic, and without how many events were saved: light has events."""
        if summary is None:
            return None
        kept = {name: said for name, said in summary.items() if name not in _OUTCOME}
        if isinstance(recovered := kept.get("recovered"), dict):
            kept["recovered"] = {name: said for name, said in recovered.items() if name != "events"}
        return kept

    def _neutral(self, event: Event, number: int) -> Event:
        if event.kind == "decision":
            return event._replace(n=number, reason=TEST if event.reason == TEST else DECIDED, value=None)
        return event._replace(n=number)
