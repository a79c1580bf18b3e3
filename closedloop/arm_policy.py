"""The policy of a study's arm: checked like any other, and kept as written, for it may name files that change.

    {partner}       the partner's session of the same phase and condition
    {own: PHASE}    the animal's own session of an earlier phase, the last one
    {animal}        the animal's id

What stands in braces is known only when a session is begun, so the study file keeps a policy as a map.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError, ValidationInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from closedloop.errors import ConfigError
from closedloop.model import FROM_FILE, Model, OneOf
from closedloop.policies import Policy
from closedloop.yaml_tree import Place

POLICIES = "closedloop.policies"
PARTNER, ANIMAL, OWN = "partner", "animal", "own:"

Problem = tuple[Place, str]  # where in the file, and what is said there, beginning with the field

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def placeholders(text: str | None) -> list[str]:
    """What stands in braces in a text."""
    return _PLACEHOLDER.findall(text or "")


class PolicyAsWritten(OneOf):
    """A policy that is checked like any other, and kept as written: its placeholders mean another file each time."""

    def _validate(self, value: object, info: ValidationInfo) -> Any:
        part = self.part(value)
        written = dict(value) if isinstance(value, dict) else {}
        open_fields = {name for name, said in written.items() if isinstance(said, str) and _PLACEHOLDER.search(said)}
        sure = {name: said for name, said in written.items() if name not in open_fields}
        try:
            part.model_validate(sure, context=info.context)
        except ValidationError as error:
            left = [_again(one) for one in error.errors() if not _is_missing(one, open_fields)]
            if left:
                raise ValidationError.from_exception_data(error.title, left) from error
        if unknown := open_fields - part.model_fields.keys():  # pydantic says it best
            part.model_validate(sure | {name: written[name] for name in unknown}, context=info.context)
        return written

    def __get_pydantic_core_schema__(self, source: object, handler: Any) -> CoreSchema:
        """Written out as it was written."""
        return core_schema.with_info_plain_validator_function(self._validate)


def _is_missing(error: Any, fields: set[str]) -> bool:
    return error["type"] == "missing" and error["loc"] and error["loc"][0] in fields


def _again(error: Any) -> InitErrorDetails:
    """An error of pydantic's, to be raised again."""
    kind: Any = error["type"]
    kind = PydanticCustomError(kind, error["msg"]) if kind in ("quantity", "part") else kind
    return InitErrorDetails(type=kind, loc=error["loc"], input=error["input"], ctx=error.get("ctx", {}))


def refuse(model: Model, problems: Sequence[Problem]) -> None:
    """Raises a ValidationError of these problems, each at its own place of the file, if there are any."""
    kinds: list[Any] = [PydanticCustomError("value_error", said) for _, said in problems]
    details = [InitErrorDetails(type=kinds[i], loc=at, input=None) for i, (at, _) in enumerate(problems)]
    if details:
        raise ValidationError.from_exception_data(type(model).__name__, details)


def policy_of(written: Mapping[str, Any], places: Mapping[str, str], folder: Path) -> Policy:
    """An arm's policy with its placeholders filled in.

    Args:
        written: as the study has it.
        places: what each placeholder means, without braces.
        folder: that relative paths begin at.

    Raises:
        ConfigError: the policy refuses what was filled in; says why.
    """
    filled = {
        name: _PLACEHOLDER.sub(lambda found: places[found[1]], said) if isinstance(said, str) else said
        for name, said in written.items()
    }
    part = OneOf(POLICIES).part(filled)
    try:
        policy = part.model_validate(filled, context={**FROM_FILE, "folder": folder})
    except ValidationError as error:
        said = [f"policy.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ConfigError(*(line.replace("Value error, ", "") for line in said)) from error
    if not isinstance(policy, Policy):
        raise ConfigError(f"policy: {part.__name__} is no policy; use another kind")
    return policy
