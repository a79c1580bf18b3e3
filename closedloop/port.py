"""One serial port, or the TCP socket that stands in for it. The only file that knows pyserial; it knows bytes alone."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import serial
from serial.tools import list_ports

from closedloop.errors import DeviceError

_CHUNK = 4096


class Port:
    """An open port. Reads take whatever is there; writes are whole frames.

    A partial write would leave half a command on the line, so a write that does not go through is a lost device.

    Attributes:
        low_latency: whether the driver took the wish to hand bytes on at once.
    """

    def __init__(self, name: str, baud: int) -> None:
        """Open it.

        Raises:
            DeviceError: there is no such port, it is in use, or it may not be opened.
        """
        self.name = name
        try:
            self._serial = serial.serial_for_url(name, baudrate=baud, timeout=0, write_timeout=1, do_not_open=True)
            if os.name == "posix" and "://" not in name:
                self._serial.exclusive = True
            self._serial.open()
        except (serial.SerialException, OSError, ValueError) as problem:
            raise DeviceError(f"{name}: can't be opened ({_plain(problem)}); {_mend(problem)}") from problem
        self.low_latency = self._ask_low_latency()
        self._fd = self._descriptor()

    def _ask_low_latency(self) -> bool:
        """Let the driver hand bytes on at once; where it takes no such wish, its own setting counts."""
        try:
            self._serial.set_low_latency_mode(True)
        except (AttributeError, OSError, ValueError, NotImplementedError):
            return False
        return True

    def _descriptor(self) -> int | None:
        try:
            return int(self._serial.fileno())
        except (AttributeError, OSError, ValueError):
            return None

    @property
    def fd(self) -> int | None:
        """What `select` can wait on, or None where the system has no such thing for serial ports (Windows)."""
        return self._fd

    @property
    def waiting(self) -> bool:
        """Whether a read would give something, or an error worth hearing."""
        try:
            return bool(self._serial.in_waiting)
        except (serial.SerialException, OSError):
            return True

    def read(self) -> bytes:
        """What has arrived, perhaps nothing.

        Raises:
            DeviceError: the device is gone.
        """
        try:
            if self._fd is not None and os.name == "posix":
                data = os.read(self._fd, _CHUNK)
                if not data:
                    raise self._gone()
                return data
            return bytes(self._serial.read(max(1, min(self._serial.in_waiting, _CHUNK))))
        except BlockingIOError:
            return b""
        except (serial.SerialException, OSError) as problem:
            raise self._gone(problem) from problem

    def read_into(self, buffer: npt.NDArray[np.uint8]) -> int:
        """What has arrived, at the buffer's beginning; how many bytes, perhaps none.

        Raises:
            DeviceError: the device is gone.
        """
        if self._fd is None or not hasattr(os, "readv"):
            data = self.read()[: len(buffer)]
            buffer[: len(data)] = np.frombuffer(data, np.uint8)
            return len(data)
        try:
            size = os.readv(self._fd, [buffer.data])
        except BlockingIOError:
            return 0
        except OSError as problem:
            raise self._gone(problem) from problem
        if size == 0:
            raise self._gone()
        return size

    def _gone(self, problem: BaseException | None = None) -> DeviceError:
        """What a read says of a device that is not there any more."""
        why = f" ({_plain(problem)})" if problem else ""
        return DeviceError(f"{self.name}: the device is gone{why}; check cable and power")

    def write(self, frame: bytes) -> None:
        """Send a whole frame.

        Raises:
            DeviceError: the device is gone or does not take it.
        """
        try:
            if self._fd is not None and os.name == "posix":
                sent = os.write(self._fd, frame)
                if sent == len(frame):
                    return
                frame = frame[sent:]
            self._serial.write(frame)
        except (BlockingIOError, serial.SerialException, OSError) as problem:
            raise DeviceError(
                f"{self.name}: can't be written to ({_plain(problem)}); check cable and power"
            ) from problem

    def close(self) -> None:
        """Close it; twice does no harm."""
        connection = getattr(self._serial, "_socket", None)
        with contextlib.suppress(serial.SerialException, OSError):
            self._serial.close()
        if connection is not None:  # pyserial leaves a socket open whose other end has gone
            connection.close()


def wait(ports: Sequence[Port], timeout_s: float) -> list[Port]:
    """Those of the ports that have bytes, waiting at most so long for the first.

    Where ports cannot be waited on (Windows serial), they are asked in turn every half millisecond.
    """
    fds = {port.fd: port for port in ports if port.fd is not None}
    if len(fds) == len(ports):
        ready, _, _ = select.select(list(fds), [], [], timeout_s)
        return [fds[fd] for fd in ready]
    deadline = time.perf_counter() + timeout_s
    while True:
        ready_ports = [port for port in ports if port.waiting]
        if ready_ports or time.perf_counter() >= deadline:
            return ready_ports
        time.sleep(0.0005)


class Waiter:
    """Waits for the same ports again and again; quicker than `wait`, where the system can remember them.

    Args:
        ports: to wait for.
        spin: never sleep. It costs a whole core, and saves the time that waking takes.
    """

    def __init__(self, ports: Sequence[Port], *, spin: bool = False) -> None:
        self._ports = list(ports)
        self._spin = spin
        self._by_fd = {port.fd: port for port in ports if port.fd is not None}
        self._epoll: Any = None
        if hasattr(select, "epoll") and len(self._by_fd) == len(self._ports):
            self._epoll = select.epoll()
            for fd in self._by_fd:
                self._epoll.register(fd, select.EPOLLIN)

    def wait(self, timeout_s: float) -> list[Port]:
        """Those of the ports that have bytes, waiting at most so long for the first."""
        if not self._spin:
            return self._look(timeout_s)
        deadline = time.perf_counter() + timeout_s
        while not (ready := self._look(0)) and time.perf_counter() < deadline:
            pass
        return ready

    def _look(self, timeout_s: float) -> list[Port]:
        if self._epoll is None:
            return wait(self._ports, timeout_s)
        return [self._by_fd[fd] for fd, _ in self._epoll.poll(timeout_s)]

    def close(self) -> None:
        """Let go of the ports, which stay open."""
        if self._epoll is not None:
            self._epoll.close()


def available() -> list[Any]:
    """Serial ports of this computer, as pyserial describes them (device, description, vid, pid, serial_number)."""
    return sorted(list_ports.comports())


def _plain(problem: BaseException) -> str:
    text = getattr(problem, "strerror", None) or str(problem)
    return text.splitlines()[0] if text else type(problem).__name__


def _mend(problem: BaseException) -> str:
    text = str(problem).lower()
    if "permission" in text or "access is denied" in text:
        return "close the program that uses it, or (Linux) add yourself to the group 'dialout'"
    if "lock" in text or "busy" in text:
        return "close the program that uses it"
    return "run 'closedloop devices' to see the ports there are"
