"""Several detectors at once: one that starts light and others that allow it. An unknown member allows nothing."""

from __future__ import annotations

from typing import ClassVar, Literal

from closedloop.detectors.votes import _Votes


class AllOf(_Votes):
    """High while all members are: an onset detector behind a state detector is a trigger behind a gate.

    The score is the number of members that are high. Each has its own threshold, release, duration and hold, and may
    have a chain of its own; a member that is unknown counts as not high, so nothing begins before all are known.
    """

    kind: Literal["all"] = "all"
    all_needed: ClassVar[bool] = True
