"""Counts and latencies of a session so far. What there is to count is found in the recording; nothing is named here."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop.deliveries import ON_BOARD
from closedloop.recording import Event, Rows
from closedloop.steps import shown_in
from closedloop.watching.follower import Fresh
from closedloop.watching.planned import train_s

_LEAST_US, _DECADES, _PER_DECADE = 1.0, 7, 24
_REMEMBERED = 1024  # decisions whose refusal may still be told
_SEQ_WRAP = 1 << 32
_RESIDUAL = "_residual_us"


class Histogram:
    """How often which latency came, in bins that widen with it: from 1 us to 10 s, 24 to a decade.

    What is shorter counts in the first bin, what is longer in the last. Quantiles are known to a tenth.

    Attributes:
        counts: in each bin.
        edges: of the bins, in microseconds; one more than counts.
        n: values in all.
        max: the largest, in microseconds; nan of none.
    """

    def __init__(self) -> None:
        self.edges = _LEAST_US * 10 ** (np.arange(_DECADES * _PER_DECADE + 1) / _PER_DECADE)
        self.counts: npt.NDArray[np.int64] = np.zeros(len(self.edges) - 1, np.int64)
        self.n = 0
        self.max = math.nan

    def add(self, value_us: float) -> None:
        """One value, in microseconds; nan is unknown, and left out."""
        if math.isnan(value_us):
            return
        at = int(np.searchsorted(self.edges, value_us, side="right")) - 1
        self.counts[min(max(at, 0), len(self.counts) - 1)] += 1
        self.n += 1
        self.max = value_us if math.isnan(self.max) else max(self.max, value_us)

    def add_all(self, values_us: npt.NDArray[np.float64]) -> None:
        """Many values at once."""
        known = values_us[~np.isnan(values_us)]
        if len(known) == 0:
            return
        at = np.clip(np.searchsorted(self.edges, known, side="right") - 1, 0, len(self.counts) - 1)
        self.counts += np.bincount(at, minlength=len(self.counts))
        self.n += len(known)
        self.max = float(np.fmax(self.max, known.max()))

    @property
    def p50(self) -> float:
        """The median, in microseconds; nan of none."""
        return self.quantile(0.5)

    @property
    def p99(self) -> float:
        """The value that 99 of 100 do not exceed, in microseconds; nan of none."""
        return self.quantile(0.99)

    def quantile(self, part: float) -> float:
        """The value that this part does not exceed, in microseconds, from where it lies in its bin."""
        if self.n == 0:
            return math.nan
        below = np.cumsum(self.counts)
        at = int(np.searchsorted(below, part * self.n))
        inside = (part * self.n - (below[at] - self.counts[at])) / self.counts[at]
        low, high = self.edges[at], self.edges[at + 1]
        return min(float(low * (high / low) ** inside), self.max)


class Tallies:
    """What has been counted so far.

    Attributes:
        detections: onsets found.
        decisions: what the policy or a person wanted, by name; those of the header from the start, at 0.
        given: those of them that nothing refused, by name.
        trains: commanded, delivered, cut_short, on_board (begun by the trigger line); of a blinded session planned.
        blinded: whether nothing delivered is known here; light and energy are by plan then.
        refused: trains that were not given, by reason.
        received: readings.
        damaged: frames that came damaged, on both lines.
        repeated: readings that came twice, and were left out.
        latency: read_to_command and command_to_light.
        residual_us: last answer of a board's clock against the fit, by board; what is unknown is absent.
        shown: what the session's parts show of themselves, by name, at the last reading; nan where unknown.
    """

    def __init__(self, header: dict[str, Any] | None = None) -> None:
        header = header or {}
        names = header.get("decisions", [])
        self.detections = 0
        self.decisions: dict[str, int] = dict.fromkeys(names, 0)
        self.given: dict[str, int] = dict.fromkeys(names, 0)
        self.trains = {"commanded": 0, "delivered": 0, "cut_short": 0, "on_board": 0}
        self.refused: dict[str, int] = {}
        self.received = 0
        self.damaged = 0
        self.repeated = 0
        self.latency = {"read_to_command": Histogram(), "command_to_light": Histogram()}
        self.residual_us: dict[str, float] = {}
        self.shown: dict[str, float] = {}
        self.blinded = bool(header.get("blinded"))
        if self.blinded:
            self.trains = {"planned": 0}
        self._tip_mw: float | None = header.get("tip_mw")
        self._train_s = train_s(header)
        self._seq: tuple[int, int] | None = None
        self._sent: int | None = None
        self._ended = False
        self._told_s = 0.0
        self._told = 0
        self._wanted: dict[int, str] = {}
        self._order: deque[int] = deque()
        self._hear = {
            "detection": self._on_detection,
            "decision": self._on_decision,
            "command": self._on_command,
            "light_on": self._on_light_on,
            "light_off": self._on_light_off,
            "refused": self._on_refused,
        }

    def add(self, fresh: Fresh) -> None:
        """Count what was recorded since."""
        for event in fresh.events:
            if event.kind in self._hear:
                self._hear[event.kind](event)
        if self.blinded:
            self.trains["planned"] = sum(self.given.values())
        if len(fresh.rows):
            self._count(fresh.rows)
            self.shown = {name: float(fresh.rows[name][-1]) for name in shown_in(fresh.rows.dtype)}
        if len(fresh.health):
            self._look_at(fresh.health[-1])

    def end(self, summary: dict[str, Any]) -> None:
        """The session has ended: what it told at its end holds."""
        self._ended = True
        self._sent = summary.get("sent")
        self.damaged = int(summary.get("damaged_frames") or self.damaged)
        self.repeated = int(summary.get("repeated") or self.repeated)

    @property
    def missing(self) -> int:
        """Readings the DAQ sent and nobody received: by its own count once it told it, else by jumps of its numbers."""
        if self._sent is not None:
            return max(0, self._sent - self.received)
        if self._seq is None:
            return 0
        first, last = self._seq
        return first + (last - first) % _SEQ_WRAP + 1 - self.received

    @property
    def lit_s(self) -> float:
        """Light as told, or as planned if blinded; at the session's end what was not told to its end is as planned."""
        if self.blinded:
            return self.trains["planned"] * self._train_s
        return self._told_s + (self._untold * self._train_s if self._ended else 0.0)

    @property
    def energy_mj(self) -> float | None:
        """Of all light, at the fibre's tip; None without a calibration."""
        return None if self._tip_mw is None else self.lit_s * self._tip_mw

    @property
    def _untold(self) -> int:
        return max(0, self.trains["delivered"] - self._told)

    def _count(self, rows: Rows) -> None:
        self.received += len(rows)
        first = self._seq[0] if self._seq else int(rows["seq"][0])
        self._seq = (first, int(rows["seq"][-1]))

    def _look_at(self, health: Any) -> None:
        self.damaged, self.repeated = int(health["damaged"]), int(health["repeated"])
        for name in health.dtype.names:
            if name.endswith(_RESIDUAL) and math.isfinite(health[name]):
                self.residual_us[name.removesuffix(_RESIDUAL)] = float(health[name])

    def _on_detection(self, _: Event) -> None:
        self.detections += 1

    def _on_decision(self, event: Event) -> None:
        name = event.reason or "unnamed"
        self.decisions[name] = self.decisions.get(name, 0) + 1
        self.given[name] = self.given.get(name, 0) + 1
        if event.train is None:
            return
        self._wanted[event.train] = name
        self._order.append(event.train)
        if len(self._order) > _REMEMBERED:
            self._wanted.pop(self._order.popleft(), None)

    def _on_refused(self, event: Event) -> None:
        reason = event.reason or "no reason given"
        self.refused[reason] = self.refused.get(reason, 0) + 1
        name = self._wanted.pop(event.train or 0, None)
        if name is not None:
            self.given[name] -= 1

    def _on_command(self, event: Event) -> None:
        self.trains["commanded"] += 1
        self.latency["read_to_command"].add(_known(event.value))

    def _on_light_on(self, event: Event) -> None:
        self.trains["delivered"] += 1
        self.trains["on_board"] += event.reason == ON_BOARD
        self.latency["command_to_light"].add(_known(event.value))

    def _on_light_off(self, event: Event) -> None:
        self.trains["cut_short"] += event.reason is not None
        self._told_s += 0.0 if event.value is None else event.value / 1e6
        self._told += 1


def _known(value: float | None) -> float:
    return math.nan if value is None else value
