"""What the strip says of time and gates: which part of the session is on, and how long still. It draws nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from closedloop.dashboard.readout import amounts
from closedloop.watching.course import Course
from closedloop.watching.status import State, Status


class Times(NamedTuple):
    """Three lines; `is_block`: the protocol has blocks, and the name is as large as it can be."""

    above: str
    time: str
    below: str
    is_block: bool = False


def with_gates(status: Status, course: Course) -> Status:
    """Armed, and yet without light: the gate that is shut stands in place of the reason."""
    if status.state is not State.ARMED or course.are_gates_open:
        return status
    shut = [f"{gate.words} ({gate.why})" for gate in course.gates if not gate.is_open]
    return replace(status, reason=f"gate shut: {', '.join(shut) or 'its inputs are right, it opens in a moment'}")


def course_times(status: Status, course: Course) -> Times:
    """Which block is on and what is left of it; without blocks, of the session."""
    if not course.has_blocks or not course.stretches or not status.is_recording:
        return times(status)
    number, left = course.number, course.left
    if left.seconds is None:
        return times(status)._replace(above=course.name, is_block=True)
    place = f" {number}/{course.count}" if 1 <= number <= course.count else ""
    ends = ["1 train" if left.trains == 1 else f"{left.trains} trains"] if left.trains is not None else []
    ends += [f"{amounts.whole(left.readings)} readings"] if left.readings is not None else []
    earlier = f"or {' or '.join(ends)}, " if ends else ""
    below = earlier + (f"then {course.after}" if course.after else "then the end")
    return Times(f"{course.name}{place}", f"{amounts.clock(left.seconds)} left", below, is_block=True)


def times(status: Status) -> Times:
    """Of the session."""
    elapsed = amounts.clock(status.elapsed_s)
    if not status.is_recording:
        return Times(status.block, elapsed, "not begun" if status.state is State.STARTING else "in all")
    if status.left_s is None:
        return Times(status.block, elapsed, "so far, no end set")
    return Times(f"{status.block}, time left", amounts.clock(status.left_s), f"{elapsed} so far")
