"""Light given only while nothing is measured: how much of it gets through. No I/O happens here.

The DAQ board raises its dead-time line (A5) when a reading is done and lowers it before the next one begins; an AND
gate between stimulator and light source lets light through only then (SCIENCE 4.2, docs/measure_the_artefact.md).
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field

from closedloop.model import Model, Seconds

_HAND_OVER_US, _MOST_SETTLE_US = 30, 200
_SLOW_CONVERSION_US, _FAST_CONVERSION_US = 120, 33


class DeadTime(Model):
    """An AND gate of the stimulator's output with a dead-time line."""

    optical: Seconds | None = Field(
        None,
        gt=0,
        le=1,
        description="Part of each reading in which something is measured; left out, that of our own DAQ firmware.",
    )
    settle: Seconds = Field(
        0.0, ge=0, le=0.1, description="Darkness kept before that, where the line does not keep it by itself."
    )

    def share(self, rate_hz: float) -> float:
        """Part of the light that gets through, 0 to 1, at so many readings a second."""
        optical_s = board_phases(rate_hz).optical_us / 1e6 if self.optical is None else self.optical
        return share(1 / rate_hz, optical_s, self.settle)

    def longest_dark(self, rate_hz: float) -> float:
        """Seconds of darkness in each reading: an opsin that closes more quickly follows every one of them."""
        return (1 - self.share(rate_hz)) / rate_hz

    def notes(self, rate_hz: float, off_time_constant: float | None = None) -> list[str]:
        """What a user should know of light given so.

        Args:
            rate_hz: readings a second.
            off_time_constant: of the opsin, in seconds; None where it is not known.
        """
        through, dark_ms = self.share(rate_hz), self.longest_dark(rate_hz) * 1e3
        if through == 0:
            return [
                f"dead time: none is left at {rate_hz:g} readings a second, so no light is given; measure less often"
            ]
        pieces = f"dead time: {through * 100:.0f} % of each pulse gets through, in {rate_hz:g} pieces a second"
        said = [f"{pieces}; dose and warming are that part of what is said here and recorded"]
        if off_time_constant is not None and off_time_constant * 1e3 < dark_ms:
            said.append(
                f"dead time: {dark_ms:.3g} ms of darkness in each reading, and the opsin closes within "
                f"{off_time_constant * 1e3:.3g} ms: inhibition is chopped as the light is"
            )
        return said


class Phases(NamedTuple):
    """One reading of our own DAQ firmware, in whole microseconds: three equal phases, then dead time."""

    period_us: int
    phase_us: int

    @property
    def optical_us(self) -> int:
        """All three phases, each with its settling; the dead-time line is low for so long."""
        return 3 * self.phase_us


def board_phases(rate_hz: float) -> Phases:
    """How our own DAQ firmware divides one reading: the twin of `daq_plan` in firmware/core/daq.c."""
    rate_mhz = round(rate_hz * 1000)
    is_slow = rate_mhz <= 250_000
    conversions = 16 if rate_mhz <= 150_000 or (not is_slow and rate_mhz <= 500_000) else 8
    converting_us = conversions * (_SLOW_CONVERSION_US if is_slow else _FAST_CONVERSION_US)
    period_us = (1_000_000_000 + rate_mhz // 2) // rate_mhz
    settle_us = min(_MOST_SETTLE_US, (period_us - _HAND_OVER_US) // 3 - converting_us)
    return Phases(period_us, settle_us + converting_us)


def share(frame_s: float, optical_s: float, settle_s: float) -> float:
    """Part of a frame that is free for light: (frame - optical use - settle) / frame, 0 where nothing is.

    Args:
        frame_s: from one reading to the next.
        optical_s: of it, in which an LED is lit or anything is measured.
        settle_s: kept dark before that.
    """
    return max(0.0, 1.0 - (optical_s + settle_s) / frame_s)
