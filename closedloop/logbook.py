"""What happened, written where it changed: vetoes, gaps, digital inputs, and whatever the controller reports."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from closedloop.readings import FLAG_TRIGGER, READING, Readings
from closedloop.schedule import OVER
from closedloop.steps import LATCHED, RESTARTED, STEP, Steps
from closedloop.train import Refusal


class Recorder(Protocol):
    """What keeps rows and events."""

    def append(self, readings: Readings, steps: Steps, host_ns: int) -> None:
        """Keep the readings of one arrival with what was made of them."""

    def event(
        self,
        kind: str,
        *,
        ticks: int,
        host_ns: int,
        train: int | None = None,
        reason: str | None = None,
        value: float | None = None,
        text: str | None = None,
    ) -> None:
        """Keep one event."""

    def health(self, row: Any) -> None:
        """Keep one row of HEALTH."""


class _Seen(NamedTuple):
    """Fields of the arrays that were given last; an engine gives the same ones again and again."""

    readings: Readings
    steps: Steps
    inputs: npt.NDArray[np.uint16]
    flags: npt.NDArray[np.uint16]
    veto: npt.NDArray[np.uint8]
    bits: npt.NDArray[np.uint8]
    block: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, readings: Readings, steps: Steps) -> _Seen:
        of_reading = (readings[name] for name in ("inputs", "flags"))
        return cls(readings, steps, *of_reading, *(steps[name] for name in ("veto", "bits", "block")))


class Logbook:
    """Keeps all rows, and one event for each change.

    Attributes:
        ticks: of the last reading, for events that have no time of their own on the DAQ's clock.
    """

    def __init__(self, recorder: Recorder, input_names: tuple[str, ...], blocks: tuple[str, ...] = ()) -> None:
        self.ticks = 0
        self._recorder = recorder
        self._names = input_names
        self._blocks = blocks
        self._block = 0
        self._latched = False
        self._veto = 0
        self._inputs: int | None = None
        self._seen = _Seen.of(np.zeros(1, READING), np.zeros(1, STEP))

    def event(self, kind: str, now_ns: int, ticks: int | None = None, **about: Any) -> None:
        """One event, at these ticks or at the last reading's; `about` as in Recorder.event."""
        self._recorder.event(kind, ticks=self.ticks if ticks is None else ticks, host_ns=now_ns, **about)

    def note(self, reason: str, text: str, now_ns: int) -> None:
        """A remark for people."""
        self.event("note", now_ns, reason=reason, text=text)

    def keep(self, readings: Readings, steps: Steps, missing: int, now_ns: int) -> None:
        """The readings of one arrival, and what changed in them; `missing` of them were lost just before."""
        self._recorder.append(readings, steps, now_ns)
        if missing:
            self.event("gap", now_ns, int(readings["ticks"][0]), reason="missing", value=float(missing))
        if len(readings) != 1 or not self._is_as_before(readings, steps):
            self._note_changes(readings, steps, now_ns)
        self.ticks = readings["ticks"].item(-1)

    def _note_changes(self, readings: Readings, steps: Steps, now_ns: int) -> None:
        if self._inputs is None or (readings["inputs"] != self._inputs).any():
            self._note_inputs(readings, now_ns)
        if (steps["veto"] != self._veto).any():
            self._note_vetoes(readings, steps, now_ns)
        if (steps["bits"] & RESTARTED).any():
            at = int(np.flatnonzero(steps["bits"] & RESTARTED)[0])
            self.event("note", now_ns, int(readings["ticks"][at]), reason="restarted", text="warm-up begins anew")
        if self._blocks and (steps["block"] != self._block).any():
            self._note_blocks(readings, steps, now_ns)
        if not self._latched and (steps["bits"] & LATCHED).any():
            self._note_latched(readings, steps, now_ns)
        for ticks in readings["ticks"][(readings["flags"] & FLAG_TRIGGER) != 0]:
            self.event("note", now_ns, int(ticks), reason="trigger", text="the DAQ board raised its trigger line")

    def _is_as_before(self, readings: Readings, steps: Steps) -> bool:
        """Whether a single reading has nothing to be noted: the quick answer to what nearly every turn asks."""
        if readings is not self._seen.readings or steps is not self._seen.steps:
            self._seen = _Seen.of(readings, steps)
        _, _, inputs, flags, veto, bits, block = self._seen
        telling = RESTARTED if self._latched else RESTARTED | LATCHED
        return (
            inputs.item(0) == self._inputs
            and veto.item(0) == self._veto
            and not bits.item(0) & telling
            and not flags.item(0) & FLAG_TRIGGER
            and (not self._blocks or block.item(0) == self._block)
        )

    def _note_vetoes(self, readings: Readings, steps: Steps, now_ns: int) -> None:
        for ticks, veto in zip(readings["ticks"], steps["veto"], strict=True):
            if veto == self._veto:
                continue
            self._veto = int(veto)
            reason = Refusal(veto).name.lower() if veto else "veto_over"
            self.event("note", now_ns, int(ticks), reason=reason)

    def _note_blocks(self, readings: Readings, steps: Steps, now_ns: int) -> None:
        for ticks, block in zip(readings["ticks"], steps["block"].tolist(), strict=True):
            if block == self._block:
                continue
            self._block = block
            name = "the last block is over" if block == OVER else self._blocks[block - 1]
            self.event("note", now_ns, int(ticks), reason="block", value=float(block), text=name)

    def _note_latched(self, readings: Readings, steps: Steps, now_ns: int) -> None:
        """A limit of the session was reached: said once, at its reading."""
        self._latched = True
        at = int(np.flatnonzero(steps["bits"] & LATCHED)[0])
        which = Refusal(int(steps["refused"][at])).name.lower()
        said = f"the session's limit is reached ({which}): nothing lights from here on; decisions are only recorded"
        self.event("note", now_ns, int(readings["ticks"][at]), reason="latched", text=said)

    def _note_inputs(self, readings: Readings, now_ns: int) -> None:
        for ticks, value in zip(readings["ticks"], readings["inputs"].astype(int), strict=True):
            changed = 0 if self._inputs is None else self._inputs ^ int(value)
            self._inputs = int(value)
            for bit in range(changed.bit_length()):
                if changed >> bit & 1:
                    self.event("input", now_ns, int(ticks), reason=self._name(bit), value=float(value >> bit & 1))

    def _name(self, bit: int) -> str:
        return self._names[bit] if bit < len(self._names) else f"digital_{bit + 1}"
