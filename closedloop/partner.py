"""The trains that another session delivered, to be given again at the same times. Nothing is decided here.

They are read once, when a protocol is loaded, and stand in it: a recording holds them, and replays anywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from closedloop import wire
from closedloop.errors import ConfigError
from closedloop.model import Milliwatts, Model
from closedloop.yaml_file import dump

MOST_TRAINS = 8192
POWER_TOLERANCE = 0.05
_SLACK_US = (
    100_000  # delivered times shift by milliseconds; what only these would breach is refused alone, and recorded
)
_MINUTE_US = 60_000_000
_SHAPE = ("on_us", "period_us", "pulses", "ramp_off_us")


class Partner(Model):
    """Trains of one session."""

    format: Literal["closedloop-trains"] = Field("closedloop-trains", description="What this is.")
    version: Literal[1] = Field(1, description="Of this format.")
    source: str = Field(min_length=1, description="Where they were read from.")
    sha256: str = Field("", description="Of what was read there.")
    subject: str | None = Field(None, description="The animal, where the source says so.")
    clock: Literal["block", "session"] = Field("block", description="What times count from: block or first reading.")
    times_us: tuple[tuple[int, ...], ...] = Field(
        min_length=1, max_length=32, description="First light of each train, microseconds, one list a block."
    )
    command: dict[str, int] | None = Field(None, description="The train, as the board was told it; None: unknown.")
    tip_mw: Milliwatts | None = Field(None, gt=0, description="At the fibre's tip; None without calibration.")
    left_out: int = Field(0, ge=0, description="Trains in other blocks: not to be given again.")
    cut_short: int = Field(0, ge=0, description="Trains that ended before their plan; they are given whole.")

    @model_validator(mode="after")
    def _times_rise(self) -> Self:
        if any(later <= earlier for times in self.times_us for earlier, later in pairwise(times)):
            raise ValueError("times_us must rise within a block; put them in order, each once")
        if any(times and times[0] < 0 for times in self.times_us):
            raise ValueError("times_us must not be negative; count from where the block began")
        if self.count > MOST_TRAINS:
            raise ValueError(f"times_us holds {self.count} trains; at most {MOST_TRAINS} can be given again")
        return self

    @property
    def count(self) -> int:
        """Trains in all."""
        return sum(len(times) for times in self.times_us)

    @property
    def least_interval_s(self) -> float:
        """From the start of one of its trains to the next, at least, also where one block follows another."""
        within = [later - earlier for times in self.times_us for earlier, later in pairwise(times)]
        across = [max(0, times[0] - _SLACK_US) for times in self.times_us[1:] if times]
        return min([*within, *across], default=_MINUTE_US) / 1e6

    def save(self, path: Path) -> None:
        """Write it as YAML, never over another file.

        Raises:
            ConfigError: the file is there already, or cannot be written.
        """
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(dump(self))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another name") from error

    def problems(
        self, command: Mapping[str, int], lit_s: float, limits: wire.Limits | None, tip_mw: float | None
    ) -> list[str]:
        """Where its light or limits differ in ways that matter; for arguments see `Policy.problems`."""
        return [*self.train_problems(command, tip_mw), *self.limit_problems(command, round(lit_s * 1e6), limits)]

    def train_problems(self, command: Mapping[str, int], tip_mw: float | None) -> list[str]:
        """Why a train such as this is not the partner's; nothing if it is, or nobody knows.

        Args:
            command: this session's train as the board is told it.
            tip_mw: its power at the tip; None without calibration, and then levels are compared.
        """
        if self.command is None:
            return []
        said = [
            f"partner: its trains have {name} {self.command.get(name)}, those of this protocol {command[name]}; "
            "give light the same shape"
            for name in _SHAPE
            if self.command.get(name) != command[name]
        ]
        known = self.tip_mw is not None and tip_mw is not None
        theirs, mine = (self.tip_mw, tip_mw) if known else (self.command.get("level"), command["level"])
        if theirs and mine is not None and abs(mine / theirs - 1) > POWER_TOLERANCE:
            words = f"{theirs:.3g} mW at the tip, not {mine:.3g}" if known else f"level {theirs}, not {mine} of 65535"
            said.append(f"partner: its light was {words}: more than {POWER_TOLERANCE:.0%} apart; set the same power")
        return said

    def limit_problems(self, command: Mapping[str, int], lit_us: int, limits: wire.Limits | None) -> list[str]:
        """Why its trains could not all be given under these limits; nothing if they can, or no limits are known."""
        if limits is None:
            return []
        said: dict[str, None] = {}
        for times in self.times_us:
            said |= dict.fromkeys(_too_much(times, span_us(command), lit_us, limits))
        return [f"partner: {one}; use a rig and limits that allow what the partner's did" for one in said]

    def notes(self) -> list[str]:
        """What a user should know of it."""
        blocks = f" in {len(self.times_us)} blocks" if len(self.times_us) > 1 else ""
        said = [f"{self.count} trains of {self.source}{blocks} are given again"]
        if self.count == 0:
            said = [f"{self.source} had no light: this session stays dark"]
        if self.command is None:
            said.append(f"{self.source} does not say what its trains were: they are taken to be this protocol's")
        if self.cut_short:
            said.append(f"{self.cut_short} of the partner's trains were cut short; here they are given whole")
        if self.left_out:
            said.append(f"{self.left_out} of the partner's trains lie in other blocks, and are left out")
        return said


def span_us(command: Mapping[str, int]) -> int:
    """From a train's first light to its last, as the board is told it."""
    return (command["pulses"] - 1) * command["period_us"] + command["on_us"] + command["ramp_off_us"]


def _too_much(times: Sequence[int], span_us: int, lit_us: int, limits: wire.Limits) -> Iterable[str]:
    """What of the limits these trains would break, as `limits.refusal` judges it, milliseconds aside."""
    rest = min((b - a - span_us for a, b in pairwise(times)), default=limits.off_us)
    if rest < limits.off_us - _SLACK_US or rest < 0:
        yield f"two of its trains are {max(0, rest) / 1e6:g} s apart, and the limit in force is {limits.off_us / 1e6:g}"
    most = max((at - bisect_right(times, t - _MINUTE_US + _SLACK_US) + 1 for at, t in enumerate(times)), default=0)
    if most > limits.trains_per_minute:
        yield f"it had {most} trains in a minute, and the limit in force is {limits.trains_per_minute}"
    windows = ((limits.short_window_ms, limits.short_on_ms), (limits.long_window_ms, limits.long_on_ms))
    for window_ms, on_ms in windows:
        lit = max((_lit_us(times, at, span_us, lit_us, window_ms * 1000) for at in range(len(times))), default=0)
        if lit > on_ms * 1000:
            said = f"it had {lit / 1e6:g} s of light in {window_ms / 1000:g} s"
            yield f"{said}, and the limit in force is {on_ms / 1000:g}"


def _lit_us(times: Sequence[int], at: int, span_us: int, lit_us: int, window_us: int) -> int:
    """Light of one train, and of those before it that a window up to its start still holds."""
    since = times[at] - window_us + _SLACK_US
    first = bisect_right(times, since - span_us)
    return lit_us + sum(min(lit_us, start + span_us - since) for start in times[first:at])
