"""Light as delivered, pulse by pulse, and signals less what it adds to them by the rig's template. The rest stays raw.

A template is used only where the rig has one that was learned from pulses enough, and never in a blinded session: what
is taken away would show where light was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from closedloop.artefact import Artefact, Light, Numbers, less
from closedloop.model import FROM_FILE
from closedloop.recording import Event

_MOST_TRAINS = 256  # remembered; no window holds as many


def template_of(header: Mapping[str, Any]) -> Artefact | None:
    """The learned template of the session's rig; None where there is none, or it may not be used."""
    said = (header.get("rig") or {}).get("artefact")
    if not isinstance(said, dict) or header.get("blinded"):
        return None
    try:
        artefact = Artefact.model_validate(said, context=FROM_FILE)
    except ValidationError:  # of another version; the raw signal is there
        return None
    return artefact if artefact.learned else None


def pulses_of(command: Mapping[str, Any], on_us: int, off_us: int) -> list[tuple[int, int]]:
    """The pulses of one delivered train, as far as it came.

    Args:
        command: the header's; without it the train counts as one pulse.
        on_us: first light.
        off_us: last light, which in the last pulse includes its ramp.
    """
    count, period_us = int(command.get("pulses", 1)), int(command.get("period_us", 0))
    if count == 1 or period_us <= 0:
        return [(on_us, off_us)]
    starts = list(range(on_us, off_us, period_us))[:count]
    ends = [min(at + int(command.get("on_us", period_us)), off_us) for at in starts[:-1]]
    return list(zip(starts, [*ends, off_us], strict=True))


def part_of(header: Mapping[str, Any], artefact: Artefact) -> float:
    """How strong this session's light is against that of the artefact."""
    level = int((header.get("command") or {}).get("level", 0)) / 65_535
    return artefact.part(level, header.get("tip_mw")) if level > 0 else 1.0


class OwnLight:
    """Delivered trains of a session as they become known, and the template to take them away with."""

    def __init__(self, header: Mapping[str, Any]) -> None:
        self._artefact = template_of(header)
        self._command = header.get("command") or {}
        self._part = 1.0 if self._artefact is None else part_of(header, self._artefact)
        self._rate_hz = float(header.get("rate_mhz") or 0) / 1000
        self._trains: deque[tuple[int, int]] = deque(maxlen=_MOST_TRAINS)
        self._on: dict[int | None, int] = {}

    def hear(self, event: Event) -> None:
        """Keep light."""
        if event.kind == "light_on":
            self._on[event.train] = event.ticks
        elif event.kind == "light_off" and event.train in self._on:
            self._trains.append((self._on.pop(event.train), event.ticks))

    def less(self, ticks: Numbers, values: Numbers) -> Numbers | None:
        """The 470 nm signal less the template; None where there is none, or no light to take away.

        Args:
            ticks: microseconds on the DAQ's clock, increasing.
            values: in the recording's units.
        """
        if self._artefact is None or not self._rate_hz or not len(ticks):
            return None
        tail_us = self._artefact.tail * 1e6
        near = [one for one in self._trains if one[1] + tail_us > ticks[0] and one[0] < ticks[-1]]
        if not near:
            return None
        pulses = np.array([pulse for one in near for pulse in pulses_of(self._command, *one)], np.int64)
        return less(values, ticks, self._artefact, "signal", Light(pulses, self._rate_hz, self._part))
