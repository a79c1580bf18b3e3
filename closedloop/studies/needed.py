"""Files that a study's session needs and that other sessions made: the animal's anchor, a partner's trains."""

from __future__ import annotations

from pathlib import Path

from closedloop import anchor as anchors
from closedloop.arm_policy import ANIMAL, OWN, PARTNER
from closedloop.errors import ConfigError
from closedloop.studies.files import Opened
from closedloop.studies.sessions import Entry, Ran
from closedloop.study import Study


def anchor_file(opened: Opened, entry: Entry, sessions: list[Ran]) -> Path | None:
    """The animal's anchor, the very one that its earlier sessions had.

    Raises:
        ConfigError: it is not there, is another animal's, or was exchanged.
    """
    name = opened.study.anchor_of(entry.animal)
    if name is None:
        return None
    path = (opened.files.study.parent / name).resolve()
    if not path.exists():
        raise ConfigError(
            f"{path}: {entry.animal.id} has no anchor yet; {anchor_advice(opened.study, entry.animal.id)}"
        )
    found = anchors.read(path)
    if found.subject != entry.animal.id:
        raise ConfigError(f"{path}: is the anchor of {found.subject}, not of {entry.animal.id}; give its own")
    for one in sessions:
        used = one.study.get("anchor_sha256")
        if one.study.get("animal") == entry.animal.id and used and used != found.sha256:
            raise ConfigError(f"{path}: is not the anchor that {one.folder} was run with; restore that one")
    return path


def anchor_advice(study: Study, animal: str) -> str:
    """How the anchor of an animal is made, in words."""
    makes = [phase.name for phase in study.phases if phase.anchor == "makes"]
    of = f"its sessions of {' and '.join(makes)}" if makes else "three drug-free sessions"
    return f"make it of {of}: closedloop anchor SESSION... --out {study.anchor_of(study.animal(animal))}"


class Places(dict[str, str]):
    """What the placeholders of an arm's policy mean for one session, found when asked for."""

    def __init__(self, opened: Opened, entry: Entry, sessions: list[Ran]) -> None:
        super().__init__()
        self._opened, self._entry, self._sessions = opened, entry, sessions

    def __missing__(self, name: str) -> str:
        who = self._entry.animal.id
        if name == ANIMAL:
            return who
        if name == PARTNER:
            return self._folder(self._opened.partner_of(who) or who, self._entry.label)
        return self._folder(who, name.removeprefix(OWN).strip())

    def _folder(self, animal: str, label: str) -> str:
        """The last whole session of an animal under a label.

        Raises:
            ConfigError: it has none yet.
        """
        for one in reversed(self._sessions):
            mine = one.study.get("animal") == animal and label in (one.study.get("label"), one.study.get("phase"))
            if mine and one.whole and self._same_session(one, label):
                return str(one.folder.resolve())
        raise ConfigError(
            f"{self._entry.animal.id}: needs the session {label} of {animal}, and there is none yet; run that one first"
        )

    def _same_session(self, one: Ran, label: str) -> bool:
        """Of a phase with several sessions under one label, a partner's session is the one of the same number."""
        entry = self._entry
        return label != entry.label or entry.condition is not None or one.study.get("session") == entry.slot.session
