"""Tells alerts, to a command of the lab's own, to a URL within the lab, or to both. What fails is said, never fatal.

Each is a process of its own, so that nothing here waits for it. A command is a list of arguments; no shell ever reads
it, and it is given on the command line alone: no file that could come from elsewhere names a program to run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from closedloop.errors import ConfigError
from closedloop.sharing import address, one_line
from closedloop.sharing.alerts import Alert

WORDS = ("session", "how", "reason", "subject", "rig")

_WITHIN_S = {"command": 60, "URL": 20}
_QUIETLY_S = 5.0
_SECOND_NS = 1_000_000_000
_SHELLS = (".bat", ".cmd")  # Windows gives them to a shell, which reads what the arguments say
_SAID_BYTES = 2000
_POST = "closedloop.sharing.post"


class _Running(NamedTuple):
    name: str
    alert: Alert
    process: subprocess.Popen[bytes]
    said: IO[bytes] | None
    until_ns: int


def command_of(text: str) -> tuple[str, ...]:
    """The arguments of --alert-command, with the words still in braces.

    Raises:
        ConfigError: it is no command that could be run, or a word is not an argument of its own.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"--alert-command: {error} (got {text!r}); close every quotation mark") from error
    for word in words:
        _refuse_word(word)
    program = shutil.which(words[0]) if words else None
    if program is None:
        raise ConfigError(f"--alert-command: there is no program {words[0] if words else ''!r}; write its whole path")
    if os.name == "nt" and program.lower().endswith(_SHELLS):
        raise ConfigError(f"--alert-command: {program} is read by a shell; name an .exe, or python and a script")
    return program, *words[1:]


def _refuse_word(word: str) -> None:
    """One argument with something in braces that would not be replaced."""
    for name in re.findall(r"\{([a-z]+)\}", word):
        if name not in WORDS:
            one_of = ", ".join(f"{{{known}}}" for known in WORDS)
            raise ConfigError(f"--alert-command: {{{name}}} is no word that is known; write one of {one_of}")
        if word != f"{{{name}}}":
            raise ConfigError(f"--alert-command: {{{name}}} stands within {word!r}; write it as an argument of its own")


def filled(command: Sequence[str], alert: Alert) -> list[str]:
    """The command with the alert's words in place of those in braces."""
    said = alert._asdict() | {"session": str(alert.session)}
    values = {f"{{{name}}}": _argument(str(said[name])) for name in WORDS}
    return [values.get(word, word) for word in command]


class Hooks:
    """Those that a user named.

    Args:
        command: as `command_of` gives it, or None.
        url: for a POST, or None.
        computer: this one's name, for the POST.
        say: is given a line for each alert, and for each that failed.

    Raises:
        ConfigError: the URL leads out of the lab.
    """

    def __init__(
        self, command: Sequence[str] | None, url: str | None, computer: str, say: Callable[[str], None]
    ) -> None:
        self._command = command
        self._url = url
        self._computer = computer
        self._say = say
        self._running: list[_Running] = []
        if url is not None:
            _refuse_far(url, say)

    def tell(self, alert: Alert, now_ns: int) -> None:
        """Begin to tell it; returns at once."""
        self._say(f"alert: {_about(alert)}: {alert.reason}")
        if self._command is not None:
            self._begin("command", alert, filled(self._command, alert), b"", now_ns)
        if self._url is not None:
            body = json.dumps({"computer": self._computer, **alert.as_dict()}).encode()
            self._begin("URL", alert, [sys.executable, "-P", "-m", _POST, self._url], body, now_ns)

    def look(self, now_ns: int) -> bool:
        """See which have been told, and end those that take too long; returns whether any is still being told."""
        still = []
        for one in self._running:
            if one.process.poll() is None and now_ns < one.until_ns:
                still.append(one)
            else:
                self._over(one)
        self._running = still
        return bool(still)

    def close(self) -> None:
        """Wait until all have been told, or have had their time."""
        for one in self._running:
            if not _ends(one.process, _QUIETLY_S):
                self._say(f"waiting for the alert {one.name}, for {_WITHIN_S[one.name]} s at most")
                _ends(one.process, _WITHIN_S[one.name])
            self._over(one)
        self._running = []

    def _begin(self, name: str, alert: Alert, command: list[str], body: bytes, now_ns: int) -> None:
        said = _place()
        heard = subprocess.DEVNULL if said is None else said
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=heard, stderr=heard)  # noqa: S603
        except (OSError, ValueError) as error:  # ValueError: an argument with a zero byte
            if said is not None:
                said.close()
            self._failed(name, alert, str(error))
            return
        with contextlib.suppress(OSError), process.stdin or contextlib.nullcontext():
            if process.stdin is not None:
                process.stdin.write(body)  # fits a pipe: this does not wait
        self._running.append(_Running(name, alert, process, said, now_ns + _WITHIN_S[name] * _SECOND_NS))

    def _over(self, one: _Running) -> None:
        code = one.process.poll()
        if code is None:
            one.process.kill()
            one.process.wait()
        if code != 0:
            why = f"took longer than {_WITHIN_S[one.name]} s" if code is None else f"exit code {code}"
            self._failed(one.name, one.alert, f"{why}: {_last_words(one.said)}".removesuffix(": "))
        if one.said is not None:
            one.said.close()

    def _failed(self, name: str, alert: Alert, why: str) -> None:
        self._say(f"the alert {name} failed for {_about(alert)}: {one_line(why)}")


def _ends(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _refuse_far(url: str, say: Callable[[str], None]) -> None:
    """At the start, so that a mistake is not found when it matters; a server may be away for now."""
    target = address.target_of(url)
    try:
        address.addresses(target)
    except OSError as error:
        say(f"--alert-url: {target.host} is not known now ({error.strerror or error}); each alert asks for it again")


def _place() -> IO[bytes] | None:
    """Where a program says what went wrong; None on a full disk, of which an alert may be about to tell."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return None


def _last_words(said: IO[bytes] | None) -> str:
    """The end of what it said."""
    if said is None:
        return ""
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _SAID_BYTES))
    lines = said.read().decode(errors="replace").splitlines()
    return one_line(lines[-1]) if lines else ""


def _about(alert: Alert) -> str:
    return f"{alert.rig}, {alert.subject} ({Path(alert.session).name}): {alert.how}"


def _argument(text: str) -> str:
    """A word as an argument: one that began with a dash would be taken for an option."""
    return text.lstrip("- ") or "-"
