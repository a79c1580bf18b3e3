"""`closedloop unblind`: who was in which arm, said once somebody has said why; the audit says so for ever.

The record is written before anything is shown. Session folders of the animals get `unblinded.json`, so that what
reads a recording may show the truth from then on; nothing else in a folder is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closedloop import seal
from closedloop.errors import ConfigError
from closedloop.recording.folder import UNBLINDED, write_map
from closedloop.studies import audit
from closedloop.studies.files import Opened, open_study
from closedloop.studies.sessions import Ran, ran


@dataclass(frozen=True)
class Truth:
    """What one animal had.

    Attributes:
        animal: its id.
        code: that stood for its arm.
        arm: by name.
        policy: the arm's, as the study has it.
        partner: whose trains it got; None but in yoked arms.
        sessions: folders that say so now.
    """

    animal: str
    code: str
    arm: str
    policy: dict[str, Any]
    partner: str | None
    sessions: tuple[Path, ...]


def unblind(path: Path | str, reason: str, who: str, animal: str | None = None) -> tuple[list[Truth], dict[str, Any]]:
    """Open the key.

    Args:
        path: of the study file.
        reason: why, in words.
        who: does it.
        animal: one alone; None for all.

    Returns:
        The arms, and the record that was put into the audit.

    Raises:
        ConfigError: the study, its allocation or its key was tampered with, or a session of an animal runs now.
    """
    if not reason.strip() or not who.strip():
        raise ConfigError("--reason and --by must say something; the audit keeps them")
    opened = open_study(path)
    animals = [one.id for one in opened.study.animals] if animal is None else [opened.study.animal(animal).id]
    sessions, _ = ran(opened.study, opened.files.data(opened.study))
    mine = [one for one in sessions if one.study.get("animal") in animals and one.study.get("arms")]
    if running := [str(one.folder) for one in mine if one.ended is None]:
        raise ConfigError(f"{running[0]}: is running, and nobody must know its arm now; wait for its end")
    record = audit.append(
        opened.files.audit,
        "unblind",
        who=who,
        why=reason,
        animals=animals,
        key_sha256=seal.commitment(opened.key.model_dump(mode="json")),
    )
    return [_truth(opened, name, mine, record) for name in animals], record


def _truth(opened: Opened, name: str, sessions: list[Ran], record: dict[str, Any]) -> Truth:
    arm = opened.arm_of(name)
    mine = tuple(one.folder for one in sessions if one.study.get("animal") == name)
    found = Truth(
        animal=name,
        code=opened.allocation.placed(name).code,
        arm=arm,
        policy=opened.study.arm(arm).policy,
        partner=opened.partner_of(name),
        sessions=mine,
    )
    said = {"arm": arm, "policy": found.policy, "code": found.code, "partner": found.partner}
    for folder in mine:
        try:
            write_map(folder / UNBLINDED, {"animal": name, **said, "audit": record})
        except OSError as error:
            why = f"cannot be written ({error.strerror}); the audit has the unblinding, run it again"
            raise ConfigError(f"{folder / UNBLINDED}: {why}") from error
    return found
