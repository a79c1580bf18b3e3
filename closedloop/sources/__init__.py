"""DAQ drivers: one file a device, named by its `kind`. They turn bytes into readings; they judge nothing."""

from __future__ import annotations

from pydantic import Field

from closedloop import wire
from closedloop.errors import DeviceError
from closedloop.link import Link
from closedloop.model import Hertz, Part, PortName


class Source(Part):
    """Base of all DAQ drivers: what a rig file says of the device that measures."""

    port: PortName = Field(description="Serial port, or 'simulated'.")
    rate: Hertz = Field(130.0, ge=1, le=1000, description="Readings a second.")

    def open(self, port_name: str) -> Link:
        """Open the device and make sure that it is the one expected.

        Raises:
            DeviceError: no such port, no answer, another board or another version.
        """
        raise NotImplementedError

    def watch(self, link: Link, watch: wire.Watch) -> None:
        """Make the device watch by itself, from the next stream on.

        Raises:
            DeviceError: it can't, or did not understand.
        """
        del watch
        raise DeviceError(f"{link.port.name}: a {type(self).__name__} can't watch by itself; use another policy")

    def start(self, link: Link) -> tuple[wire.StreamSettings, list[wire.Message]]:
        """Start the stream; what the device will really send, and what came behind that answer.

        Raises:
            DeviceError: the device did not answer.
        """
        raise NotImplementedError
