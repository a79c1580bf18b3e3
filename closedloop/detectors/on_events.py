"""What detectors of events share: what an event is and, of those that sum evidence, what makes it enough. No kernels.

Each takes from the animal's anchor what it leaves open.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop.anchor import Anchor
from closedloop.detectors import Detector
from closedloop.model import Fraction, Rate
from closedloop.online import events

RELEASE = 0.5  # of a threshold that was computed


def usual_rate(anchor: Anchor) -> float:
    """The animal's events a minute of clean sample time, when calm; never 0."""
    return events.usual_rate(anchor.events.rate, sum(session.minutes for session in anchor.sessions))


def usual_onset_rate(anchor: Anchor) -> float:
    """The same in a minute in which one could begin: while one is up there is none (SCIENCE 5.1)."""
    return usual_rate(anchor) / (1 - anchor.events.busy)


class _OnEvents(Detector):
    """Base of detectors whose number is read as events, see `online.events`."""

    event: Fraction | None = Field(
        None, gt=0, description="An event begins where the number rises through this; left out: the anchor's."
    )
    event_release: Fraction | None = Field(
        None, description="... and is over below this; left out: the anchor's, or half of a given event."
    )

    def refuse_release_above_event(self) -> None:
        """Refuse an event that would be over before it begins.

        Raises:
            ValueError: event_release lies above event.
        """
        if self.event is not None and self.event_release is not None and self.event_release > self.event:
            raise ValueError("event_release must not lie above event; lower event_release")

    def event_of(self, anchor: Anchor) -> dict[str, Any]:
        """The fields that say what an event is, as the animal's anchor has them; none if they are given."""
        if self.event is not None:
            return {}
        return {"event": anchor.events.size, "event_release": anchor.events.release}

    def event_parameters(self, rate_hz: float) -> Any:
        """One EVENT_PARAMETERS record; of an event that is left open there is none."""
        size = np.inf if self.event is None else self.event
        release = size / 2 if self.event_release is None else self.event_release
        return events.event_parameters(rate_hz, size, release)


class Usual(NamedTuple):
    """What a sum of evidence is compared with.

    Attributes:
        fields: that say it.
        name: of what a threshold cannot be computed without.
        twice: words of refusal where it is both given and to be learned.
    """

    fields: tuple[str, ...]
    name: str
    twice: str


class _EventSum(_OnEvents):
    """Base of `rate` and `gain`: the score is a sum of evidence over events, in nats (CUSUM).

    What is usual is the anchor's, or is given, or is learned from the first `baseline` and then frozen. With
    `false_alarms` the threshold is computed, and release is half of it.
    """

    baseline: float | None = Field(None, gt=0, description="Learn what is usual from so much, then keep it.")
    base_rate: Rate | None = Field(None, gt=0, description="Events a minute when calm; left out: the anchor's.")
    false_alarms: Rate | None = Field(
        None, gt=0, description="So many false alarms are wanted: threshold and release are computed from it."
    )

    score_unit: ClassVar[str] = "nats"  # of the score
    usual: ClassVar[Usual]

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        given = [name for name in self.usual.fields if getattr(self, name) is not None]
        if self.baseline is not None and given:
            raise ValueError(self.usual.twice)
        if self.baseline is not None and self.false_alarms is not None:
            raise ValueError(
                f"a threshold can be computed for a known {self.usual.name} only; give "
                f"{' and '.join(self.usual.fields)} or an anchor and leave baseline out, or give a threshold and "
                "leave false_alarms out"
            )
        self.refuse_release_above_event()
        self.bounds()
        return self

    @property
    def keeps_its_start(self) -> bool:
        """Where what is usual is learned from `baseline`."""
        return self.baseline is not None

    def anchored(self, anchor: Anchor) -> Self:
        """What an event is and what is usual are the animal's, where they are left open.

        Raises:
            ValueError: there is nothing to compare with, or the wanted rate of false alarms can't be had.
        """
        made = self.model_copy(update=self.event_of(anchor) | self.usual_of(anchor))
        made.bounds()
        return made

    def usual_of(self, anchor: Anchor) -> dict[str, Any]:
        """The fields that say what is usual and are left open, as the animal's anchor has them.

        Raises:
            ValueError: it has none.
        """
        raise NotImplementedError

    def notes(self, rate_hz: float) -> list[str]:
        """The threshold that was computed, or how well what is learned can be known."""
        del rate_hz
        if self.false_alarms is not None and not self.needs_anchor:
            nats, release = self.bounds()
            bounds = f"threshold {nats:.2f} and release {release:.2f}"
            return [f"{self.kind}: {bounds}, for false alarms at {60 * self.false_alarms:g} /h"]
        return [] if self.baseline is None else [f"{self.kind}: {self.how_well_known(self.baseline)}"]

    def how_well_known(self, baseline: float) -> str:
        """How far what is learned from so much may be wrong, in words."""
        raise NotImplementedError

    def highest(self, rate_hz: float) -> float:
        """The cap of the sum, in nats: two typical events above the threshold that the session begins with."""
        del rate_hz
        return self.bounds()[0] + self.spare()

    def spare(self) -> float:
        """Nats above the threshold at which the sum is capped, so that it comes down in reasonable time."""
        raise NotImplementedError

    def crossing(self, rate_hz: float) -> Any:
        """Threshold and release as computed from the wanted false alarms, if they are."""
        record = super().crossing(rate_hz)
        record["threshold"], record["release"] = self.bounds()
        return record

    def bounds(self) -> tuple[float, float]:
        """Threshold and release in force, in nats.

        Raises:
            ValueError: the wanted rate of false alarms can't be had.
        """
        if self.false_alarms is None or self.base_rate is None:
            return self.threshold, self.release
        try:
            nats = self.computed_threshold(self.false_alarms / self.base_rate)
        except ValueError as error:
            raise ValueError(f"false_alarms: {error} at {self.base_rate:g} events a minute") from error
        return (self.threshold, self.release) if nats is None else (nats, RELEASE * nats)

    def computed_threshold(self, alarms: float) -> float | None:
        """Threshold, in nats, for so many false alarms an event; None while what is usual is unknown.

        Raises:
            ValueError: it can't be had.
        """
        raise NotImplementedError
