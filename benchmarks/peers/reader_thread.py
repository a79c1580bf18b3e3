"""The usual closed loop in Python: a thread reads the port into a queue, the main thread compares and writes.

python reader_thread.py PORT
"""

from __future__ import annotations

import sys
import threading
from queue import SimpleQueue

import serial
from frame import SIZE, answer, hello


def main() -> None:
    """Until it is killed."""
    port = serial.Serial(sys.argv[1], 115_200)
    frames: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        while True:
            frames.put(port.read(SIZE))

    threading.Thread(target=read, name="reader", daemon=True).start()
    port.write(hello())
    while True:
        said = answer(frames.get())
        if said:
            port.write(said)


if __name__ == "__main__":
    main()
