"""What stands beside a study file once it is randomised, and how these files vouch for each other.

    STUDY.allocation.yaml   for everybody: codes, sides, orders; digests of the study and of its protocols
    STUDY.key               sealed: which code is in which arm
    STUDY.audit.jsonl       what was done to both

The allocation holds a commitment to the key: the SHA-256 of all that is in it, a random salt with it, so that trying
out all allocations does not find the one that fits. A key that was exchanged or changed later is seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from closedloop import plain_file, seal
from closedloop.errors import ConfigError, RecordingError
from closedloop.model import Model
from closedloop.study import Study, load_study
from closedloop.study_parts import Label, Text, Word
from closedloop.yaml_file import load
from closedloop.yaml_tree import read

_FREE = {"description", "data"}  # of a study: may change while it runs


class Placed(Model):
    """What everybody may know of an animal's allocation."""

    id: Label = Field(description="The animal.")
    code: Label = Field(description="Stands for its arm wherever that is not to be seen.")
    rank: int = Field(ge=1, description="Its place in the order of the day.")
    drawn: dict[Word, Text] = Field(default_factory=dict, description="Its side, and what else is counterbalanced.")
    orders: dict[Text, tuple[Text, ...]] = Field(default_factory=dict, description="Its conditions' order, by phase.")


class Allocation(Model):
    """The public half. Written by closedloop randomise, never by hand."""

    format: Literal["closedloop allocation"] = Field("closedloop allocation", description="What this file is.")
    version: Literal[1] = Field(1, description="Of this file's format.")
    study: str = Field(description="Name of the study.")
    made: str = Field(description="Date and time.")
    study_sha256: str = Field(description="Of the study file's meaning.")
    protocols: dict[str, str] = Field(description="SHA-256 of each protocol's meaning, by the name the study uses.")
    commitment: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of what is in the key.")
    animals: tuple[Placed, ...] = Field(description="In the study's order.")

    def digest(self) -> str:
        """SHA-256 of all but the commitment, in hex."""
        said = self.model_dump(mode="json", exclude={"commitment"})
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def placed(self, animal: str) -> Placed:
        """That of one animal; the allocation was checked against its study."""
        return next(one for one in self.animals if one.id == animal)


class Key(Model):
    """The secret half."""

    format: Literal["closedloop study key"] = Field("closedloop study key", description="What this is.")
    study: str = Field(description="Name of the study.")
    allocation_sha256: str = Field(description="Of the public half, but for its commitment.")
    seed: int = Field(description="Everything was drawn from, and sessions' own seeds are.")
    salt: str = Field(min_length=32, description="So that the commitment can't be found by trying.")
    arms: dict[str, str] = Field(description="Arm by code.")
    partners: dict[str, str] = Field(description="Animal whose trains one gets, by code.")


@dataclass(frozen=True)
class Files:
    """The files of one study.

    Attributes:
        study: its own.
    """

    study: Path

    def _beside(self, ending: str) -> Path:
        return self.study.with_name(f"{self.study.stem}{ending}")

    @property
    def allocation(self) -> Path:
        """The public half."""
        return self._beside(".allocation.yaml")

    @property
    def key(self) -> Path:
        """The sealed half."""
        return self._beside(".key")

    @property
    def audit(self) -> Path:
        """What was done."""
        return self._beside(".audit.jsonl")

    def data(self, study: Study) -> Path:
        """The folder of the study's sessions."""
        return (self.study.parent / study.data).resolve()


@dataclass(frozen=True)
class Opened:
    """A study that was randomised: all that a session of it needs.

    Attributes:
        files: where everything is.
        study: as its file says.
        allocation: as drawn.
        key: opened, for the program's own use; never shown.
    """

    files: Files
    study: Study
    allocation: Allocation
    key: Key

    def arm_of(self, animal: str) -> str:
        """The name of an animal's arm."""
        return self.key.arms[self.allocation.placed(animal).code]

    def partner_of(self, animal: str) -> str | None:
        """Whose trains an animal of a yoked arm gets."""
        return self.key.partners.get(self.allocation.placed(animal).code)

    def seed_of(self, *what: object) -> int:
        """The seed of one session, which nobody knows beforehand without the key (31 bits, as where one is drawn)."""
        text = json.dumps([self.key.seed, *map(str, what)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def study_digest(study: Study) -> str:
    """SHA-256 of what a study file says that must not change once animals are allocated."""
    said = study.model_dump(mode="json", exclude=_FREE)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def protocol_digest(path: Path) -> str:
    """SHA-256 of what a protocol file says; its comments may change.

    Raises:
        ConfigError: it can't be read.
    """
    _, data = read(path)
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def open_study(path: Path | str) -> Opened:
    """A study with its allocation and key, all of them checked against each other.

    Raises:
        ConfigError: it was not randomised, or one of the files was changed since; says which.
    """
    files = Files(Path(path))
    study = load_study(path)
    allocation = load_allocation(files, study)
    return Opened(files, study, allocation, load_key(files, allocation))


def load_allocation(files: Files, study: Study) -> Allocation:
    """The public half, checked against its study.

    Raises:
        ConfigError: there is none, or it does not go with the study.
    """
    if not files.allocation.exists():
        raise ConfigError(f"{files.study}: was not randomised yet; run closedloop randomise {files.study}")
    allocation = load(Allocation, files.allocation)
    problems = list(_disagreements(files, study, allocation))
    if problems:
        raise ConfigError(*problems)
    return allocation


def _disagreements(files: Files, study: Study, allocation: Allocation) -> Iterator[str]:
    if allocation.study != study.name:
        yield f"{files.allocation}:1: study: is that of {allocation.study}, not of {study.name}; restore the right one"
    elif allocation.study_sha256 != study_digest(study):
        said = "was changed after animals were allocated; restore it as it was"
        yield f"{files.study}:1: {said}, or, if nothing was run yet, closedloop randomise --again"
    elif [one.id for one in allocation.animals] != [one.id for one in study.animals]:
        yield f"{files.allocation}:1: animals: are not the study's; restore the file from a copy"
    elif len({one.code for one in allocation.animals}) < len(allocation.animals):
        yield f"{files.allocation}:1: animals: a code is there twice; restore the file from a copy"


def load_key(files: Files, allocation: Allocation) -> Key:
    """The sealed half, checked against the public one.

    Raises:
        ConfigError: there is none, it is damaged, or it is not the one that was drawn.
    """
    try:
        sealed = plain_file.read_text(files.key)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(f"{files.key}: cannot be read ({why}); restore it from a copy") from error
    try:
        value = seal.unseal(sealed, str(files.key))
    except RecordingError as error:
        raise ConfigError(str(error)) from error
    if seal.commitment(value) != allocation.commitment:
        said = "is not the key that was drawn: the allocation's commitment does not fit it"
        raise ConfigError(f"{files.key}: {said}; restore both from a copy made after closedloop randomise")
    try:
        key = Key.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"{files.key}: is no key of a study; restore it from a copy") from error
    if key.allocation_sha256 != allocation.digest():
        raise ConfigError(f"{files.allocation}:1: was changed after it was drawn; restore it from a copy")
    return key
