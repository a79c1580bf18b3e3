"""Watching on the board itself, as `firmware/core/watch.c` does it: the same integers, to the last bit. No I/O.

What makes a crossing is what makes one in `closedloop.detectors`: up to the threshold for `minimum` readings, over
again only after `release`. A crossing in the warm-up or in the refractory time gives no trigger, not even later. A
reading that is unfit (saturated, conversions dropped) is neither high nor low. Light of our own is not learned.
"""

from __future__ import annotations

from closedloop.wire import Feature, Flag, Reading, Watch

MOST_SHIFT = 16
NOBODY = Watch(feature=0, shift=0, threshold=0, release=0, minimum=0, warm_up=0, refractory_us=0)

_UNFIT = Flag.SIGNAL_SATURATED | Flag.CONTROL_SATURATED | Flag.DROPPED_CONVERSIONS
_MOST_PART = 65535  # a threshold cannot ask for more
_LEAST_LEVEL_SHIFT = 6  # below 64 counts there is noise alone, and its ratio to nothing is no event
_TICKS = 1 << 32
_TOP_BIT = 1 << 31


class Watcher:
    """Raises the trigger when dF/F, against a running level, crosses the threshold.

    The level is the plain mean of the readings until 2**shift are known, and follows exponentially from then on. Equal
    to the firmware for all counts that a board can give (below 65,536 above dark); larger ones, as recordings
    have, follow the same rule.

    Attributes:
        settings: the Watch message in force; its threshold is 0 where nobody watches.
    """

    def __init__(self) -> None:
        self.settings = NOBODY
        self._memory = 1
        self._triggered = 0
        self._resting = False
        self.restart()

    def set(self, settings: Watch) -> bool:
        """Take settings that can be obeyed, and forget the level; False, and nothing changes, where they cannot."""
        if settings.threshold != 0 and not _can_be_obeyed(settings):
            return False
        self.settings = settings
        self._memory = 1 << settings.shift if settings.threshold else 1
        self.restart()
        return True

    def restart(self) -> None:
        """A new stream: level and crossing are forgotten, settings and refractory time are not."""
        self._signal = self._control = self._known = self._seen = self._held = self._above = 0
        self._high = False

    def take(self, reading: Reading) -> bool:
        """Judge one reading, then learn from it; True if the trigger line is to be raised now."""
        self._see_rest_end(reading.ticks)
        if self.settings.threshold == 0 or not self._is_fit(reading.flags):
            return False
        signal = max(0, reading.signal_lit - reading.signal_dark)
        control = max(0, reading.control_lit - reading.control_dark)
        feature = self._feature(signal, control)
        triggers = feature is not None and self._cross(feature) and self._may_trigger(reading.ticks)
        self._seen = min(self._seen + 1, self.settings.warm_up)
        if not self._is_held(feature) and not reading.flags & Flag.LIGHT:
            self._learn(signal, control)
        return triggers

    def _see_rest_end(self, now: int) -> None:
        if self._resting and (now - self._triggered) % _TICKS >= self.settings.refractory_us:
            self._resting = False

    def _is_fit(self, flags: int) -> bool:
        unfit = int(_UNFIT)
        if self.settings.feature == Feature.SIGNAL_LESS_CONTROL:
            unfit |= Flag.NO_CONTROL
        return not flags & unfit

    def _feature(self, signal: int, control: int) -> int | None:
        """A level of less than an eighth of its memory is not yet worth comparing with."""
        if self._known == 0 or self._known < self._memory >> 3:
            return None
        feature = self._dff(self._signal, signal)
        if self.settings.feature == Feature.SIGNAL or feature is None:
            return feature
        of_control = self._dff(self._control, control)
        return None if of_control is None else feature - of_control

    def _dff(self, level: int, counts: int) -> int | None:
        """(counts - level) / level in 1/65536, cut off at 65535; None where the level is below 64 counts."""
        if level >> _LEAST_LEVEL_SHIFT < self._known:
            return None
        change, whole = abs(counts * self._known - level), level
        if change >= level:
            part = _MOST_PART
        else:
            if level & _TOP_BIT:  # the board's 32 bits then lack one, and so do we
                change, whole = change >> 1, level >> 1
            part = min((change << 16) // whole, _MOST_PART)
        return part if counts * self._known >= level else -part

    def _cross(self, feature: int) -> bool:
        if self._high:
            if feature <= self.settings.release:
                self._high, self._above = False, 0
            return False
        self._above = self._above + 1 if feature >= self.settings.threshold else 0
        self._high = self._above >= self.settings.minimum
        return self._high

    def _may_trigger(self, now: int) -> bool:
        if self._seen < self.settings.warm_up or self._resting:
            return False
        self._resting, self._triggered = True, now
        return True

    def _is_held(self, feature: int | None) -> bool:
        """What is high is not learned, but not for ever: a level that is wrong for good must come right by itself."""
        if feature is None or feature < self.settings.threshold:
            self._held = 0
            return False
        self._held = min(self._held + 1, self._memory)
        return self._held < self._memory

    def _learn(self, signal: int, control: int) -> None:
        if self._known < self._memory:
            self._known += 1
            self._signal += signal
            self._control += control
            return
        self._signal = self._followed(self._signal, signal)
        if self.settings.feature == Feature.SIGNAL_LESS_CONTROL:
            self._control = self._followed(self._control, control)

    def _followed(self, level: int, counts: int) -> int:
        """Rounded, so that the level of steady counts is these counts."""
        return level + counts - ((level + (self._memory >> 1)) >> self.settings.shift)


def _can_be_obeyed(settings: Watch) -> bool:
    return (
        settings.feature in (Feature.SIGNAL, Feature.SIGNAL_LESS_CONTROL)
        and settings.shift <= MOST_SHIFT
        and settings.minimum > 0
        and settings.release <= settings.threshold
    )
