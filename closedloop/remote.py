"""Orders to a running session from another process. Never waits: what cannot be sent at once is said, not queued."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

from closedloop import plain_file
from closedloop.control import Order, line_of
from closedloop.door import FILE

_CONNECT_S = 0.2  # to this very computer
_MOST_BYTES = 65_536  # of the way in, and of an answer
_TOKEN = re.compile(r"[0-9a-f]{64}")
_LEAST_PORT = 1024  # what is below is a system's service, and no session's door


class Remote:
    """One session's door, from outside. Keeps the socket open, so that an order takes microseconds.

    Attributes:
        connected: whether the session was there when last asked.
    """

    def __init__(self, folder: Path) -> None:
        self.connected = False
        self._folder = folder
        self._socket: socket.socket | None = None
        self._token = ""
        self._heard = b""
        self._problems: list[str] = []

    def connect(self) -> bool:
        """Reach the session if it runs; whether it is reached."""
        if self._socket is not None:
            return True
        try:
            port, self._token = _way_in(self._folder)
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_S)
        except (OSError, OverflowError, ValueError, KeyError, TypeError, RecursionError):
            return False  # it has not begun, has ended, or the file is still being written
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connected = True
        return True

    def send(self, order: Order) -> bool:
        """Give an order; whether it went out. What came of it is in the recording."""
        if not self.connect() or self._socket is None:
            self._problems.append(f"{type(order).__name__}: this session takes no orders; it has ended or not begun")
            return False
        try:
            line = line_of(order, self._token)
            if self._socket.send(line) == len(line):
                return True
        except OSError:
            pass
        self.close()
        self._problems.append(f"{type(order).__name__}: the session no longer listens; look at what it recorded last")
        return False

    def answers(self) -> list[str]:
        """What was wrong with orders since the last call, in words; nothing where all were taken."""
        self._hear()
        said, self._problems = self._problems, []
        return said

    def close(self) -> None:
        """Let go of the session, which goes on."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self.connected = False

    def _hear(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        if len(self._heard) > _MOST_BYTES:
            lines.append(b"")
        try:
            self._problems += [str(problem) for line in lines if (problem := json.loads(line)["problem"])]
        except (ValueError, KeyError, TypeError, RecursionError):
            self._problems.append("what answers is not this session: it was killed, and its port is another program's")
            self.close()


def _way_in(folder: Path) -> tuple[int, str]:
    """Port and token, as a door writes them. A folder may be a stranger's: nothing else is ever sent anywhere.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: it is no way in.
        OSError: there is none.
    """
    way = json.loads(plain_file.read_bytes(folder / FILE, _MOST_BYTES))
    port, token = way["port"], way["token"]
    if not isinstance(port, int) or not _LEAST_PORT <= port <= 65_535 or not _TOKEN.fullmatch(token):
        raise ValueError("no port of a session, or no token of one")
    return port, token
