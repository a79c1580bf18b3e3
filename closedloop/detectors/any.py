"""One of several detectors is enough, or as many as asked for. It weighs nothing: a member is high or it is not."""

from __future__ import annotations

from typing import ClassVar, Literal

from closedloop.detectors.votes import _Votes


class AnyOf(_Votes):
    """High while at least `threshold` members are, 1 unless told otherwise; 2 of 3 is `threshold: 2`.

    The score is the number of members that are high. Each has its own threshold, release, duration and hold, and may
    have a chain of its own; a member that is unknown counts as not high.
    """

    kind: Literal["any"] = "any"
    all_needed: ClassVar[bool] = False
