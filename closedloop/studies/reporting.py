"""What `closedloop study report STUDY.yaml` reports on: the study's whole sessions, its anchors, and who is alike.

While a study is blind, animals stand under their codes; after unblinding, under their arms, as far as the audit says
that somebody opened the key for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from closedloop.errors import ConfigError
from closedloop.studies import audit
from closedloop.studies.files import Files, open_study
from closedloop.studies.sessions import Ran, counting, ran
from closedloop.study import load_study


@dataclass(frozen=True)
class Material:
    """What to report on.

    Attributes:
        sessions: folders, oldest first.
        anchors: files, of animals that have one.
        groups: code, or arm if that is known, by animal; empty while it is not randomised.
        notes: sessions that are left out, and why.
    """

    sessions: tuple[Path, ...]
    anchors: tuple[Path, ...]
    groups: dict[str, str]
    notes: tuple[str, ...]


def material(path: Path) -> Material:
    """Sessions and anchors of a study.

    Raises:
        ConfigError: the study is wrong, or nothing was run yet.
    """
    files = Files(path)
    study = load_study(path)
    sessions, problems = ran(study, files.data(study))
    counts = list(counting(sessions).values())
    whole = [one for one in sessions if one.whole and one in counts]
    notes = [f"{one.folder}: left out, {_why(one)}" for one in sessions if one not in whole]
    if not whole:
        raise ConfigError(f"{path}: no session of it was run to its end yet; see closedloop study plan {path}")
    names = dict.fromkeys(name for animal in study.animals if (name := study.anchor_of(animal)) is not None)
    anchors = [file for name in names if (file := path.parent / name).exists()]
    groups = _groups(files) if files.allocation.exists() else {}
    return Material(tuple(one.folder for one in whole), tuple(anchors), groups, (*notes, *problems))


def _why(one: Ran) -> str:
    if one.whole:
        return "it was run again later"
    return "it is running" if one.ended is None else f"it ended as {one.ended}"


def _groups(files: Files) -> dict[str, str]:
    opened = open_study(files.study)
    records = [one for one in audit.read(files.audit) if one.get("what") == "unblind"]
    commitment = opened.allocation.commitment
    known = {name for one in records if one.get("key_sha256") == commitment for name in one.get("animals", [])}
    shown = known if opened.study.blind else {animal.id for animal in opened.study.animals}
    return {
        one.id: opened.arm_of(one.id) if one.id in shown else f"code {one.code}" for one in opened.allocation.animals
    }
