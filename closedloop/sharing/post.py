"""One alert to one URL: a small JSON by HTTP POST, once more if it fails.

A process of its own, so that a session's outlets go on while a server does not answer:

    python -m closedloop.sharing.post URL < alert.json

It follows no redirect, uses no proxy, and asks for nothing but that the alert was taken.
"""

from __future__ import annotations

import http.client
import socket
import sys
import urllib.error
import urllib.request
from typing import Any

from closedloop.errors import ConfigError
from closedloop.sharing.address import Target, addresses, target_of

_WITHIN_S = 3.0
_TRIES = 2


class _Connection(http.client.HTTPConnection):
    """Connects to an address that was looked at, and to no other."""

    def connect(self) -> None:
        problem: OSError | None = None
        for number in addresses(Target(self.host, self.port)):
            try:
                self.sock = socket.create_connection((number, self.port), self.timeout)
            except OSError as error:
                problem = error
            else:
                return
        raise problem or OSError("its name stands for no address")


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, body: bytes) -> str:
    """Sends it; returns why that failed, or "".

    Raises:
        ConfigError: the URL leads out of the lab.
    """
    target_of(url)
    opener = urllib.request.build_opener(_Handler, _NoRedirect, urllib.request.ProxyHandler({}))
    problem = ""
    for _ in range(_TRIES):
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310
        try:
            with opener.open(request, timeout=_WITHIN_S):
                return ""
        except urllib.error.HTTPError as error:
            problem = f"the server answered {error.code} {error.reason}"
            error.close()
        except urllib.error.URLError as error:
            problem = str(error.reason)
        except (OSError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
    return problem


def main(arguments: list[str]) -> int:
    """Post what is on standard input; 0 if it was taken."""
    try:
        problem = post(arguments[0], sys.stdin.buffer.read())
    except ConfigError as error:
        problem = str(error)
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201 - for the process that began this one
    return int(bool(problem))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
