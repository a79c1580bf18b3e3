"""What was asked of the boards in a self-test, and what they answered. Nothing is judged here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from closedloop import wire


class Plan(NamedTuple):
    """The light that a self-test asks for; all times in microseconds, `level` in 1/65535 of full power.

    Attributes:
        widths_us: of the measured pulses, one train of one pulse each.
        long_on_us, long_period_us, long_pulses: the train in whose middle light is taken away.
        rest_us: from one command to the next, at least.
    """

    widths_us: tuple[int, ...]
    level: int
    long_on_us: int
    long_period_us: int
    long_pulses: int
    rest_us: int

    @property
    def most_lit_us(self) -> int:
        """All light, if no long train were cut short."""
        return sum(self.widths_us) + 2 * self.long_on_us * self.long_pulses


class Sight(NamedTuple):
    """One reading, and when; `host_ns` is the host's time of its ticks, None where the board's clock is unknown."""

    seq: int
    ticks: int
    host_ns: int | None
    flags: int
    detector: int  # the photodetector's count with both LEDs off: what a photodiode in front of the fibre raises


@dataclass
class Shot:
    """One request for light, why it was made, and what became of it; host times in nanoseconds.

    Attributes:
        purpose: 'width', 'dark', 'lease', or the name of a refusal that is tried.
        sent_ns: just before the request was written.
        reading: the reading at whose arrival it was sent.
        first_sight: how many readings had come then.
        last_sight: how many had come when its last answer came; None if none came.
        on_ns: first light, by the stimulator's clock; None if there was none, or that clock is unknown.
        off_ns: last light, the same.
    """

    train: int
    purpose: str
    on_us: int
    reading: Sight | None
    first_sight: int
    sent_ns: int = 0
    last_sight: int | None = None
    on_ns: int | None = None
    off_ns: int | None = None
    started: wire.Started | None = None
    fired: wire.Fired | None = None
    refused: int | None = None

    @property
    def was_lit(self) -> bool:
        """Whether the stimulator said that it gave light."""
        return self.started is not None or self.fired is not None

    @property
    def is_over(self) -> bool:
        """Whether its last answer has come."""
        return self.fired is not None or self.refused is not None


@dataclass
class Record:
    """All that a self-test saw.

    Attributes:
        asked_rate_hz: readings a second, as the rig has it.
        settings: what the DAQ said of its stream.
        limits: in force on the stimulator; None where the rig has none.
        plan: the light asked for; None likewise.
        is_one_board: one board in both roles.
        sights: every reading.
        shots: every request for light.
        trips: as the stimulator said them, with the number of requests before each.
        ppm: clock of a board against the host's, in 1e-6, positive if it runs fast.
        clock_ns: by how much host times of a board may be wrong.
        clock_steps: how often a board's clock stood still or jumped; times near that are unknown.
        states: the state and reason of each answer to Arm.
        ceiling_crc: answer to limits looser than the ceiling.
        last_heartbeat_ticks: the stimulator's ticks just after the last heartbeat before the lease was let run out.
        last_heartbeat_ns: the host's time just before that heartbeat.
        dark_sent_ns: the host's time just before Dark was sent in mid-pulse.
        stream_end: the DAQ's own count at the end.
        statistics: of each board at the end.
        damaged: frames lost to damage on the way to the host.
    """

    asked_rate_hz: float
    settings: wire.StreamSettings
    limits: wire.Limits | None = None
    plan: Plan | None = None
    is_one_board: bool = False
    sights: list[Sight] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)
    trips: list[tuple[int, int]] = field(default_factory=list)
    ppm: dict[str, float] = field(default_factory=dict)
    clock_ns: dict[str, int] = field(default_factory=dict)
    clock_steps: int = 0
    states: list[tuple[int, int]] = field(default_factory=list)
    ceiling_crc: int | None = None
    last_heartbeat_ticks: int | None = None
    last_heartbeat_ns: int | None = None
    dark_sent_ns: int | None = None
    stream_end: wire.StreamEnd | None = None
    statistics: dict[str, wire.Statistics] = field(default_factory=dict)
    damaged: int = 0

    @property
    def period_ns(self) -> float:
        """From one reading to the next."""
        return 1e12 / self.settings.rate_mhz

    def of(self, purpose: str) -> list[Shot]:
        """The requests that were made for this."""
        return [shot for shot in self.shots if shot.purpose == purpose]
