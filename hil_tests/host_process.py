"""A small host in a process of its own, made to be killed: readings in, heartbeats out, one long pulse. Never a Dark.

    python host_process.py DAQ_PORT STIMULATOR_PORT

prints `lit` when the board has said that light began, and then goes on until it is killed.
"""

from __future__ import annotations

import sys

from closedloop.link import Link
from closedloop.port import Port, wait
from closedloop.wire import (
    CEILING,
    Arm,
    Board,
    Fire,
    Heartbeat,
    LimitsSet,
    Reading,
    Refused,
    Started,
    Status,
    StreamSettings,
    StreamStart,
)

BAUD = 500_000
LEASE_MS = 100
PULSE_US = 400_000
RATE_MHZ = 100_000


def open_boards(daq_port: str, stimulator_port: str) -> tuple[Link, Link]:
    """Both boards, known to be ours."""
    links = Link(Port(daq_port, BAUD)), Link(Port(stimulator_port, BAUD))
    for link, board in zip(links, (Board.DAQ, Board.STIMULATOR), strict=True):
        link.handshake(board)
    return links


def light(daq: Link, stimulator: Link) -> None:
    """Limits, readings, arming, one pulse."""
    stimulator.request(CEILING._replace(lease_ms=LEASE_MS), LimitsSet)
    daq.request(StreamStart(RATE_MHZ), StreamSettings)
    stimulator.request(Arm(), Status)
    stimulator.send(Fire(1, PULSE_US, 0, 1, 65_535, 0, 0, 0))


def live(daq: Link, stimulator: Link) -> None:
    """A heartbeat for each reading, until the end of this process."""
    while True:
        for port in wait([daq.port, stimulator.port], 1.0):
            link = daq if port is daq.port else stimulator
            for message in link.decode(port.read()):
                if isinstance(message, Reading):
                    stimulator.send(Heartbeat(message.seq))
                elif isinstance(message, Started | Refused):
                    sys.stdout.write("lit\n" if isinstance(message, Started) else f"{message}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    boards = open_boards(*sys.argv[1:3])
    light(*boards)
    live(*boards)
