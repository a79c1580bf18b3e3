"""A study's allocation and key, made once: drawn, committed to, and written beside the study file."""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path

from closedloop import seal
from closedloop.errors import ConfigError
from closedloop.studies.allocation import Drawn, draw
from closedloop.studies.files import Allocation, Files, Key, Placed, protocol_digest, study_digest
from closedloop.study import Study, file_of
from closedloop.yaml_file import dump


def make(study: Study, path: Path, seed: int | None) -> tuple[Allocation, Key, Drawn]:
    """Draw; nothing is written.

    Args:
        study: to be randomised.
        path: of its file.
        seed: None for the study's own or, where it has none, one that nobody knows.
    """
    used = next(one for one in (seed, study.seed, secrets.randbits(53)) if one is not None)
    drawn = draw(study, used)
    public = Allocation(
        study=study.name,
        made=datetime.now().astimezone().isoformat(timespec="seconds"),
        study_sha256=study_digest(study),
        protocols={p.protocol: protocol_digest(file_of(p.protocol, "protocols", path)) for p in study.phases},
        commitment="0" * 64,
        animals=tuple(_placed(drawn, animal.id) for animal in study.animals),
    )
    key = Key(
        study=study.name,
        allocation_sha256=public.digest(),
        seed=used,
        salt=secrets.token_hex(16),
        arms={drawn.codes[name]: arm for name, arm in sorted(drawn.arms.items())},
        partners={drawn.codes[name]: partner for name, partner in sorted(drawn.partners.items())},
    )
    commitment = seal.commitment(key.model_dump(mode="json"))
    return public.model_copy(update={"commitment": commitment}), key, drawn


def _placed(drawn: Drawn, name: str) -> Placed:
    return Placed(
        id=name,
        code=drawn.codes[name],
        rank=drawn.ranks[name],
        drawn=drawn.levels.get(name, {}),
        orders=drawn.orders.get(name, {}),
    )


def write(files: Files, allocation: Allocation, key: Key) -> None:
    """Write both halves: the key first, so that there is no allocation without one.

    Raises:
        ConfigError: the folder can't be written to.
    """
    head = "# Written by closedloop randomise. Never change it by hand: its sessions would be refused.\n"
    try:
        for path, text in (
            (files.key, seal.seal(key.model_dump(mode="json"))),
            (files.allocation, head + dump(allocation)),
        ):
            part = path.with_name(path.name + ".part")
            part.write_text(text, encoding="utf-8")
            part.replace(path)
    except OSError as error:
        raise ConfigError(f"{files.study.parent}: cannot be written to ({error.strerror}); choose another") from error
