"""What everything a YAML file says is made of: frozen models that refuse typos, quantities with units, parts by kind.

A quantity is a number with its unit ("500 ms"). In a file a bare number is an error, for nobody can see whether it
meant seconds; in Python it is a float in the unit its type names. Written out, it has a unit again and reads back as
the very same float.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import math
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from types import ModuleType
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args

import numba
import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from closedloop import kernel_cache

FROM_FILE = {"from_file": True}  # validation context: numbers need their unit
_LARGEST = 1e300  # of a number in a file: larger whole numbers fit no float
_PORT_SCHEMES = ("socket://", "rfc2217://")  # a board behind a network
BLINDED = "blinded"  # the kind that stands in a blinded recording in place of the arm's policy
PARTS_OF = "x-parts-of"  # in a model's own JSON schema: a part of this package

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")

F = TypeVar("F", bound=Callable[..., Any])


_PLACE = kernel_cache.place()
if _PLACE is not None:
    numba.config.CACHE_DIR = str(_PLACE)  # type: ignore[attr-defined]


def kernel(function: F) -> F:
    """Compile with numba, when first called, for use inside the loop; never raises on division by zero.

    What is compiled is kept for the next start, except kernels made of others: those exist in this process alone.
    """
    kept = _PLACE is not None and "<locals>" not in function.__qualname__
    compiled: Any = numba.njit(nogil=True, error_model="numpy", cache=kept)(function)
    return compiled  # type: ignore[no-any-return]


def direct(compiled: Any, *arguments: Any) -> Callable[..., Any]:
    """A kernel's machine code for arguments of these very types, without asking at each call what they are.

    That asking costs as much as a whole reading. Nobody checks the types any more: it is for callers that always
    give the same arrays.
    """
    type_of: Any = numba.typeof
    types = tuple(type_of(argument) for argument in arguments)
    compiled.compile(types)
    return compiled.overloads[types].entry_point  # type: ignore[no-any-return]


class Model(BaseModel):
    """Frozen; an unknown field is an error, and so is a number that is none or has no end."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, allow_inf_nan=False)

    @model_validator(mode="after")
    def _can_be_printed(self) -> Self:
        """Texts are shown on terminals and in reports: one line each, nothing that moves a cursor or hides a word."""
        for name, value in self.__dict__.items():
            if isinstance(value, str) and name != "description" and not value.isprintable():
                raise ValueError(f"{name} holds what cannot be printed, or a second line; take it out")
        return self


@dataclass(frozen=True, eq=False)
class Quantity:
    """A dimension with its units; the first is the one that a float in Python means."""

    dimension: str
    units: dict[str, str]  # unit: how many of the first it is, as decimal text
    example: str
    most: float = math.inf  # in the first unit; what is above can only be a slip of the pen

    def parse(self, text: str) -> float:
        """The value of a text with unit, in the first unit, correctly rounded.

        Raises:
            ValueError: no number, no unit, the unit of something else, or beyond what a float can hold.
        """
        match = _NUMBER.fullmatch(text)
        if match is None:
            raise ValueError(f"is no {self.dimension}; write for example '{self.example}'")
        number, unit = match.groups()
        if not unit:
            raise ValueError(f"needs a unit; write for example '{self.example}'")
        factor = self.units.get(unit.replace("μ", "µ"))  # both of Unicode's micro signs
        if factor is None:
            raise ValueError(f"'{unit}' is no unit of {self.dimension}; use {self._known()}")
        try:
            value = float(Decimal(number) * Decimal(factor))
        except ArithmeticError:
            value = math.inf
        if math.isinf(value) or abs(value) > self.most:
            raise ValueError(f"is too large; write for example '{self.example}'")
        return value

    def text(self, value: float) -> str:
        """The value with its unit; reads back as the same float."""
        unit = next(iter(self.units))
        scaled = Decimal(repr(value)) / Decimal(self.units[unit])
        return f"{scaled.normalize():f} {unit}"

    def _known(self) -> str:
        *most, last = (unit for unit in self.units if "µ" not in unit)
        return f"{', '.join(most)} or {last}" if most else last

    def _validate(self, value: object, info: ValidationInfo) -> float:
        from_file = bool(info.context and info.context.get("from_file"))
        if isinstance(value, str):
            try:
                return self.parse(value)
            except ValueError as problem:
                raise PydanticCustomError("quantity", "{said}", {"said": str(problem)}) from problem
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST:
            raise PydanticCustomError(
                "quantity",
                "is no {what}; write for example '{example}'",
                {"what": self.dimension, "example": self.example},
            )
        if from_file:
            raise PydanticCustomError(
                "quantity", "needs a unit; write for example '{example}'", {"example": self.example}
            )
        return float(value)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A float, from text with a unit; text with a unit again in JSON."""
        return core_schema.with_info_before_validator_function(
            self._validate,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(self.text, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """For editors: a text with one of the units."""
        units = "|".join(re.escape(unit) for unit in self.units)
        return {
            "type": "string",
            "pattern": rf"^\s*[+-]?[\d.]+([eE][+-]?\d+)?\s*({units})\s*$",
            "examples": [self.example],
        }


_TIME = {"s": "1", "ms": "1e-3", "us": "1e-6", "µs": "1e-6", "min": "60", "h": "3600"}
_LENGTH_UM = {"um": "1", "µm": "1", "mm": "1000"}

_MOST_S = 1e9  # so that every time fits into microseconds of 64 bits, and sums of them
Seconds = Annotated[float, Quantity("time", _TIME, "500 ms", _MOST_S)]


def _is_port(name: str) -> str:
    """What pyserial takes for other addresses may write files or look for devices by patterns.

    Raises:
        ValueError: it is such an address.
    """
    if "://" in name and not name.startswith(_PORT_SCHEMES):
        raise ValueError("is no serial port; write its name, such as COM3 or /dev/ttyACM0")
    return name


PortName = Annotated[str, AfterValidator(_is_port)]
Hertz = Annotated[float, Quantity("frequency", {"Hz": "1", "mHz": "1e-3", "kHz": "1000"}, "130 Hz")]
Milliwatts = Annotated[float, Quantity("power", {"mW": "1", "uW": "1e-3", "µW": "1e-3", "W": "1000"}, "5 mW")]
Millijoules = Annotated[float, Quantity("energy", {"mJ": "1", "uJ": "1e-3", "µJ": "1e-3", "J": "1000"}, "500 mJ")]
Kelvin = Annotated[float, Quantity("warming", {"K": "1", "mK": "1e-3"}, "0.8 K")]
Nanometres = Annotated[float, Quantity("wavelength", {"nm": "1"}, "638 nm")]
Micrometres = Annotated[float, Quantity("length", _LENGTH_UM, "200 um")]
Millimetres = Annotated[float, Quantity("length", {"mm": "1", "um": "1e-3", "µm": "1e-3"}, "0.5 mm")]
Fraction = Annotated[float, Quantity("share", {"%": "0.01"}, "25 %")]
Rate = Annotated[float, Quantity("rate", {"/min": "1", "/s": "60", "/h": "0.016666666666666666"}, "3 /min")]


class Part(Model):
    """Base of all features, detectors, policies and drivers: `kind` in YAML is the name of the file it stands in."""

    kind: str

    memory_type: ClassVar[np.dtype[Any]]
    parameter_type: ClassVar[np.dtype[Any]]

    def memory_layout(self) -> np.dtype[Any]:
        """The memory's type; that of a part made of others depends on what they are."""
        return self.memory_type

    @property
    def keeps_its_start(self) -> bool:
        """Whether something is learned at a session's start and then kept: of the end alone it can't be known."""
        return False


def kinds(package: ModuleType | str) -> dict[str, type[Part]]:
    """The parts of a package by kind: one public class a file, found anew at each call.

    A file dropped into the package's folder, or into a folder appended to its `__path__`, needs nothing else.

    Raises:
        TypeError: a part's `kind` is not the name of its file, or a file holds several parts.
    """
    package = importlib.import_module(package) if isinstance(package, str) else package
    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        part = _part_of(f"{package.__name__}.{name}")
        if part is not None:
            found[name] = part
    return found


def _part_of(module_name: str) -> type[Part] | None:
    module = importlib.import_module(module_name)
    parts = [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Part) and value.__module__ == module_name and name[0] != "_"
    ]
    if not parts:
        return None
    name = module_name.rpartition(".")[2]
    if len(parts) > 1:
        raise TypeError(f"{module.__file__}: a file holds one part (found {', '.join(p.__name__ for p in parts)})")
    if parts[0].model_fields["kind"].default != name:
        raise TypeError(f"{module.__file__}: its part must say kind: Literal[{name!r}] = {name!r}")
    return parts[0]


def as_list(value: Any) -> Any:
    """A single part may be written without a list."""
    return [value] if isinstance(value, dict) else value


@dataclass(frozen=True)
class InFile:
    """Marks a field that a YAML file gives as the path of another file, from the folder it lies in itself."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As it is."""
        return handler(source)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """For editors: the path."""
        return {"type": "string"}


@dataclass(frozen=True)
class OneOf:
    """Marks a field that holds any part of a package, told apart by `kind`; see `one_of`."""

    package: str

    def part(self, value: object) -> type[Part]:
        """The class that a map's `kind` names.

        Raises:
            PydanticCustomError: it names none.
        """
        known = kinds(self.package)
        family = self.package.rpartition(".")[2]
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "part",
                "must be a map with a 'kind'; known in {family}: {known}",
                {"family": family, "known": ", ".join(known)},
            )
        kind = value.get("kind")
        if kind in known:
            return known[str(kind)]
        if kind == BLINDED:
            said = "is kept under seal, for the session is blinded; closedloop unblind opens it"
            raise PydanticCustomError("part", "{said}", {"said": said})
        near = get_close_matches(str(kind), known, 1)
        if kind is None:
            said = f"missing field; known in {family}: {', '.join(known)}"
        else:
            hint = f"did you mean '{near[0]}'? " if near else ""
            said = f"unknown kind '{kind}'; {hint}known in {family}: {', '.join(known)}"
        raise PydanticCustomError("part", "{said}", {"said": said})

    def _validate(self, value: object, info: ValidationInfo) -> Part:
        if isinstance(value, Part):
            return value
        return self.part(value).model_validate(value, context=info.context)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validated and written out by the part's own class, so that none of its fields is lost."""
        schema = core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda part, info: None if part is None else part.model_dump(mode=info.mode), info_arg=True
            ),
        )
        return core_schema.nullable_schema(schema) if type(None) in get_args(source) else schema

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """For editors: the package alone; `closedloop.schema` writes its parts out, once each."""
        return {PARTS_OF: self.package}


def models_in(model: Model) -> list[Model]:
    """What a model is made of, one step down: sections, members, chains of its own."""
    values = [getattr(model, name) for name in type(model).model_fields]
    lists = [value if isinstance(value, tuple) else (value,) for value in values]
    return [value for several in lists for value in several if isinstance(value, Model)]


def parts_within(model: Model) -> list[Part]:
    """The part itself, and all parts that it is made of, however deep."""
    own = [model] if isinstance(model, Part) else []
    return own + [part for inner in models_in(model) for part in parts_within(inner)]


def digest(model: Model) -> str:
    """SHA-256 of all that a model says, in hex."""
    return hashlib.sha256(json.dumps(model.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


@lru_cache
def source_digest(part: type[Part]) -> str:
    """SHA-256 of the file a part stands in, in hex: its kind says its name, this says which version."""
    return hashlib.sha256(inspect.getsource(inspect.getmodule(part) or part).encode()).hexdigest()
