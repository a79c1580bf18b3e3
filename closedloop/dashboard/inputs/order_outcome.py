"""What came of the orders of a person, read out of the recording. It asks for nothing, and believes no order given.

An order is done when the recording says so; until then it was asked for, no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from closedloop.watching.marks import Happening

_NOT_DONE = ("arm: ", "threshold: ", "pause: ", "resume: ")  # how the session words an order that it did not carry out
_TO_BE_ARMED = "to be armed as soon as warm-up is over"
_DISARMED = "disarmed by hand"


class Said(NamedTuple):
    """What a person is told, and the tone that it has."""

    words: str
    tone: str


class OrderOutcome:
    """Of one session; another session has another.

    Attributes:
        is_blinded: whether light is not told, so that what was decided is all there is to say.
        will_arm: whether arming stands for the end of warm-up; None while nobody has asked, for then the header says.
    """

    def __init__(self) -> None:
        self.is_blinded = False
        self.will_arm: bool | None = None
        self._newest_n = -1
        self._pulse_after_n: int | None = None
        self._pulse_train: int | None = None

    def await_pulse(self) -> None:
        """A test pulse was asked for: the first one recorded from here on is the answer."""
        self._pulse_after_n, self._pulse_train = self._newest_n, None

    def take_in(self, happenings: Iterable[Happening]) -> Iterator[Said]:
        """What is new, oldest first; those seen before are passed over."""
        for happening in happenings:
            if happening.n > self._newest_n:
                self._newest_n = happening.n
                yield from self._judge(happening)

    def _judge(self, happening: Happening) -> Iterator[Said]:
        if happening.kind == "note":
            yield from self._judge_note(happening.words)
        if self._pulse_after_n is None or happening.n <= self._pulse_after_n or happening.train is None:
            return
        if happening.kind == "decision" and self._pulse_train is None and happening.words.startswith("test "):
            self._pulse_train = happening.train
            if self.is_blinded:
                yield Said(f"The test pulse was decided (train {happening.train}); its light is not shown.", "")
        elif happening.train == self._pulse_train:
            yield from self._judge_pulse(happening)

    def _judge_note(self, words: str) -> Iterator[Said]:
        if words.startswith(_NOT_DONE):
            yield Said(f"Not done: {words}", "warn")
        elif words == _TO_BE_ARMED:
            self.will_arm = True
        elif words.startswith(_DISARMED):
            self.will_arm = False

    def _judge_pulse(self, happening: Happening) -> Iterator[Said]:
        if happening.kind == "refused":
            yield Said(f"The test pulse was refused: {happening.words}", "warn")
        elif happening.kind == "light":
            yield Said(f"The test pulse was given (train {happening.train}).", "good")
        else:
            return
        self._pulse_after_n = None
