"""Where a running session takes orders: a socket that this computer alone can reach, and that its owner alone can use.

Port and token lie in the session folder, in a file that others may not read; every line must bring the token. Nothing
that comes in is executed: a line is JSON of one of control's orders, or it is answered with what is wrong. No thread is
started here, and no order is carried out.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from hmac import compare_digest
from pathlib import Path
from typing import Any

from closedloop.control import LONGEST_LINE, Order, order_of

FILE = "control.json"
_HOST = "127.0.0.1"
_MOST_CLIENTS = 16


class Door:
    """Listens; `serve` hears until `close` is called from another thread.

    Args:
        folder: the session folder, in which others find the way.
        obey: called with each order, in the thread that serves.
    """

    def __init__(self, folder: Path, obey: Callable[[Order], None]) -> None:
        self._obey = obey
        self._token = secrets.token_hex(32)
        self._clients: dict[socket.socket, bytes] = {}
        self._known: set[socket.socket] = set()  # have brought the token
        self._listener = socket.create_server((_HOST, 0))
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._path = folder / FILE
        try:
            _write_for_owner(self._path, {"port": self._listener.getsockname()[1], "token": self._token})
        except OSError:
            self._shut()
            raise

    def serve(self) -> None:
        """Hear orders until `close` is called; a client's nonsense ends that client alone."""
        try:
            while self._hear_all():
                pass
        finally:
            self._leave()

    def _hear_all(self) -> bool:
        """Whatever there is to hear now, waiting for it; False when asked to end."""
        for key, _ in self._selector.select():
            if key.fileobj is self._woken:
                return False
            if key.fileobj is self._listener:
                self._let_in()
            else:
                self._hear(key.fileobj)  # type: ignore[arg-type]
        return True

    def close(self) -> None:
        """Ask `serve` to end; it takes the file with the way in away."""
        with suppress(OSError):
            self._wake.send(b"\0")

    def _let_in(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            if len(self._clients) >= _MOST_CLIENTS:
                self._make_room()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[client] = b""
            self._selector.register(client, selectors.EVENT_READ)

    def _make_room(self) -> None:
        """The one who has stood there longest without a token leaves: a crowd of strangers must not keep Stop out."""
        waiting = [client for client in self._clients if client not in self._known]
        self._show_out((waiting or list(self._clients))[0])

    def _hear(self, client: socket.socket) -> None:
        if client not in self._clients:
            return  # shown out a moment ago
        try:
            data = client.recv(LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, rest = (self._clients[client] + data).split(b"\n")
        if not data or len(rest) > LONGEST_LINE:
            self._show_out(client)
            return
        self._clients[client] = rest
        for line in lines:
            problem = self._take(line, client)
            with suppress(OSError):  # gone, or does not listen: its order was taken all the same
                client.send(json.dumps({"problem": problem}).encode() + b"\n")

    def _take(self, line: bytes, client: socket.socket) -> str:
        """Obey one line; returns what is wrong with it, or nothing."""
        try:
            message = json.loads(line)
            if not isinstance(message, dict) or not compare_digest(str(message.get("token")), self._token):
                return "this is not the session's token: read it from the session folder"
            self._known.add(client)
            order = order_of(message)
        except (ValueError, TypeError, RecursionError) as error:
            return f"not understood: {error}"
        self._obey(order)
        return ""

    def _show_out(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._clients[client]
        self._known.discard(client)
        client.close()

    def _leave(self) -> None:
        self._path.unlink(missing_ok=True)
        for client in list(self._clients):
            self._show_out(client)
        self._shut()

    def _shut(self) -> None:
        self._selector.close()
        for own in (self._listener, self._wake, self._woken):
            own.close()


def _write_for_owner(path: Path, way: dict[str, Any]) -> None:
    """A file that none but its owner may read, where the system knows owners."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(way, file)
