"""The plainest closed loop in Python: one thread; read a frame, compare, write. It filters and records nothing.

python pyserial_blocking.py PORT
"""

from __future__ import annotations

import sys

import serial
from frame import SIZE, answer, hello


def main() -> None:
    """Until it is killed."""
    port = serial.Serial(sys.argv[1], 115_200)
    port.write(hello())
    while True:
        said = answer(port.read(SIZE))
        if said:
            port.write(said)


if __name__ == "__main__":
    main()
