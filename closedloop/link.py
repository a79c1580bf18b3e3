"""Messages over a port: framing, wire and handshake. What a message means is for others."""

from __future__ import annotations

import time
from typing import NamedTuple, TypeVar

from closedloop import framing, wire
from closedloop.errors import DeviceError
from closedloop.intake import Intake
from closedloop.port import Port, wait
from closedloop.readings import Readings

M = TypeVar("M", bound=wire.Message)

_ASK_EVERY_S = 0.5  # a board that resets when its port opens sleeps through the first question
ANSWER_WITHIN_S = 4.0  # an Uno's bootloader alone takes up to 2 s


class Taken(NamedTuple):
    """One arrival.

    Attributes:
        now_ns: when its bytes had been read, on the host's monotonic clock.
        readings: new ones, as rows; None where the line has no stream.
        messages: all others, in their order.
    """

    now_ns: int
    readings: Readings | None
    messages: list[wire.Message]


class Link:
    """One board on one port.

    Attributes:
        identity: what the board said of itself at the handshake.
        unknown: frames with a good check that are no message of ours, until the stream begins.
        intake: what takes the stream, once it has begun.
    """

    def __init__(self, port: Port) -> None:
        self.port = port
        self.identity: wire.Identity | None = None
        self.unknown = 0
        self.intake: Intake | None = None
        self._decoder = framing.Decoder()
        self._ready: dict[tuple[type[wire.Message], wire.Message], bytes] = {}

    @property
    def damaged(self) -> int:
        """Frames lost to damage since the handshake."""
        return self._decoder.damaged + (self.intake.damaged if self.intake else 0)

    @property
    def _update(self) -> str:
        flash = f"closedloop flash --board uno|nano|mega --port {self.port.name}"
        return f"update the board: {flash} (add --role daq|stimulator|both if it does not say what it is)"

    def send(self, message: wire.Message) -> None:
        """Write one message as one frame, in one write.

        Raises:
            DeviceError: the device is gone.
        """
        self.port.write(self._ready.get((type(message), message)) or framing.encode(wire.pack(message)))

    def make_ready(self, *messages: wire.Message) -> None:
        """Pack what may be sent next, before it is needed; what was ready before is forgotten.

        Kept by kind and values: two kinds with the same numbers are equal as tuples, and one of them is light.
        """
        self._ready = {(type(m), m): framing.encode(wire.pack(m)) for m in messages}

    def stream_into(self, intake: Intake) -> None:
        """From now on this line's bytes are `take`n; an unfinished frame goes with them."""
        intake.feed(self._decoder.unfinished)
        self.intake = intake

    def take(self) -> Taken:
        """What has arrived.

        Raises:
            DeviceError: the device is gone.
        """
        if self.intake is None:
            data = self.port.read()
            now_ns = time.perf_counter_ns()
            return Taken(now_ns, None, self.decode(data))
        size = self.port.read_into(self.intake.buffer)
        now_ns = time.perf_counter_ns()
        return Taken(now_ns, *self.intake.take(size))

    def decode(self, data: bytes) -> list[wire.Message]:
        """Messages that these bytes complete."""
        messages = []
        for payload in self._decoder.feed(data):
            message = wire.unpack(payload)
            if message is None:
                self.unknown += 1
            else:
                messages.append(message)
        return messages

    def handshake(self, board: wire.Board, within_s: float = ANSWER_WITHIN_S) -> wire.Identity:
        """Ask who is there until the board answers; then compare kind and version, before anything else is said.

        Raises:
            DeviceError: no answer, another kind of board, or another wire version.
        """
        identity = self.ask(within_s)
        kind = named(identity.board)
        if identity.wire_hash != wire.WIRE_HASH:
            raise DeviceError(
                f"{self.port.name}: the {kind} speaks wire version {identity.wire_hash:08x}, this program "
                f"{wire.WIRE_HASH:08x}; {self._update}"
            )
        if identity.board not in (board, wire.Board.BOTH):
            raise DeviceError(
                f"{self.port.name}: expected a {named(board)}, a {kind} answers; exchange the ports in the rig file"
            )
        self.identity = identity
        self._decoder.damaged = 0
        return identity

    def ask(self, within_s: float = ANSWER_WITHIN_S) -> wire.Identity:
        """Who is there, whatever its kind or version.

        Raises:
            DeviceError: no answer.
        """
        self.port.write(b"\0")  # ends whatever half frame the line may hold
        identity, _ = self._answer(wire.Identify(), (wire.Identity,), within_s)
        if identity is not None:
            return identity
        if self.unknown:
            raise DeviceError(f"{self.port.name}: a board answers in another wire version; {self._update}")
        raise DeviceError(
            f"{self.port.name}: no answer within {within_s:g} s; is it the right port, with our firmware on the board?"
        )

    def request(
        self,
        question: wire.Message,
        *kinds: type[M],
        within_s: float = ANSWER_WITHIN_S,
        again_s: float = _ASK_EVERY_S,
    ) -> tuple[M, list[wire.Message]]:
        """Ask, every `again_s`, until one of these kinds comes; it, and what came behind it in the same read.

        Raises:
            DeviceError: it did not come.
        """
        answer, behind = self._answer(question, kinds, within_s, again_s)
        if answer is not None:
            return answer, behind
        wanted = kinds[0].__name__
        raise DeviceError(f"{self.port.name}: the board answers, but sends no {wanted}; reset it and try again")

    def _answer(
        self, question: wire.Message, kinds: tuple[type[M], ...], within_s: float, again_s: float = _ASK_EVERY_S
    ) -> tuple[M | None, list[wire.Message]]:
        deadline = time.perf_counter() + within_s
        while (now := time.perf_counter()) < deadline:
            self.send(question)
            answer, behind = self._first(kinds, min(deadline, now + again_s))
            if answer is not None:
                return answer, behind
        return None, []

    def _first(self, kinds: tuple[type[M], ...], until_s: float) -> tuple[M | None, list[wire.Message]]:
        while (left := until_s - time.perf_counter()) > 0:
            if not wait([self.port], left):
                continue
            messages = self.decode(self.port.read())
            for at, message in enumerate(messages):
                if isinstance(message, kinds):
                    return message, messages[at + 1 :]
        return None, []

    def close(self) -> None:
        """Close the port; twice does no harm."""
        self.port.close()


def named(board: int) -> str:
    """The board's kind in words."""
    names = {
        int(wire.Board.DAQ): "DAQ board",
        int(wire.Board.STIMULATOR): "stimulator board",
        int(wire.Board.BOTH): "DAQ and stimulator board",
    }
    return names.get(board, f"board of unknown kind {board}")
