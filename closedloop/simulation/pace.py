"""Wall time to device time, and one board's time to the other's. No clock is read here.

Device time runs `speed` times as fast as the wall, but beyond a point that the caller gives (as far as the host has
followed) only as fast as the wall: so a host that falls behind is waited for, and a host that died still sees its lease
end.
"""

from __future__ import annotations

from math import ceil


class Pace:
    """Device time so far, in whole nanoseconds inside, microseconds outside."""

    def __init__(self, speed: float, wall_ns: int) -> None:
        self._speed = speed
        self._wall_ns = wall_ns
        self._device_ns = 0

    @property
    def now_us(self) -> int:
        """Device time of the last `advance`."""
        return self._device_ns // 1000

    def advance(self, wall_ns: int, fast_until_us: int | None) -> int:
        """Device time at this wall time; at full speed up to `fast_until_us` (None: without end), then at 1."""
        passed_ns = wall_ns - self._wall_ns
        self._wall_ns = wall_ns
        quick_ns = round(passed_ns * self._speed)
        if fast_until_us is not None:
            quick_ns = min(quick_ns, max(0, fast_until_us * 1000 - self._device_ns))
        self._device_ns += quick_ns + max(0, passed_ns - round(quick_ns / self._speed))
        return self.now_us

    def wall_ns_of(self, due_us: int, fast_until_us: int | None) -> int:
        """The wall time at which device time will be `due_us`; not before the last `advance`."""
        ahead_ns = max(0, due_us * 1000 - self._device_ns)
        quick_ns = ahead_ns
        if fast_until_us is not None:
            quick_ns = min(ahead_ns, max(0, fast_until_us * 1000 - self._device_ns))
        return self._wall_ns + ceil(quick_ns / self._speed) + ahead_ns - quick_ns


class Drift:
    """The stimulator's clock against the DAQ's: so many parts per million fast; both began at zero."""

    def __init__(self, ppm: float) -> None:
        self._ppb = round(ppm * 1000)

    def stimulator_us(self, daq_us: int) -> int:
        """What the stimulator's clock shows when the DAQ's shows this."""
        return daq_us + daq_us * self._ppb // 1_000_000_000

    def daq_us(self, stimulator_us: int) -> int:
        """What the DAQ's clock shows when the stimulator's first shows this."""
        return -(-stimulator_us * 1_000_000_000 // (1_000_000_000 + self._ppb))
