"""Every error this program raises on purpose. Anything else that escapes is a bug.

    ClosedLoopError             carries its exit code and one line for the user
    +-- ConfigError             a protocol, rig or command line is wrong; nothing was started
    |       "withdrawl.yaml:7: detector.thresold: unknown field; did you mean 'threshold'?"
    +-- DeviceError             a board could not be opened, was lost, or speaks another version
    |       "no answer on /dev/ttyACM0 within 3 s; is it a stimulator board with our firmware?"
    +-- Tripped                 a safety trip ended the session
    |       "the stimulator tripped: lease_expired"
    +-- RecordingError          a recording could not be read
            "m17.ppd: mode '4 colour time div.' is unknown; known modes are ..."

A message says where, what was expected, what came, and what to do, on one line.
"""

from __future__ import annotations


class ClosedLoopError(Exception):
    """Base of all deliberate errors; `exit_code` is what the command line returns."""

    exit_code = 1

    def __str__(self) -> str:
        """Its lines, as a terminal may be given them: what came from a file or a board is shown, never obeyed."""
        return "\n".join(showable(line) for line in super().__str__().split("\n"))


def showable(line: str) -> str:
    """A line with every character that a terminal would obey, or cannot print, written as its escape."""
    return line if line.isprintable() else "".join(_escaped(one) for one in line)


def _escaped(one: str) -> str:
    return one if one.isprintable() or one == "\t" else one.encode("unicode_escape").decode("ascii")


class ConfigError(ClosedLoopError):
    """What the user wrote is wrong; `problems` holds one line for each mistake, all of them."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DeviceError(ClosedLoopError):
    """A board could not be opened, was lost, or speaks another wire version."""

    exit_code = 3


class Tripped(ClosedLoopError):  # noqa: N818 - a trip is no error of anybody's
    """The stimulator, or the host on its behalf, tripped and stays dark."""

    exit_code = 4


class RecordingError(ClosedLoopError):
    """A recording could not be read."""

    exit_code = 5
