"""Light drivers: one file a device, named by its `kind`. They send and they listen; they never decide.

A driver's `dark` must work at any time and twice in a row; light is confirmed by the device's echo alone.
"""

from __future__ import annotations

from pydantic import Field

from closedloop import wire
from closedloop.errors import DeviceError
from closedloop.link import Link
from closedloop.model import Part, Seconds


class Stimulator(Part):
    """Base of all light drivers: what a rig file says of the device that gives light."""

    lease: Seconds = Field(
        0.1, ge=0.02, le=0.5, description="Dark by itself after this long without a heartbeat of the host."
    )

    @property
    def wired_to(self) -> str | None:
        """The port; None where there is no device."""
        return None

    def open(self, port_name: str, limits: wire.Limits, daq: Link | None = None) -> Link | None:
        """Open the device, make it dark, and give it its limits; None where there is no device.

        Args:
            port_name: the port.
            limits: those of the session.
            daq: the DAQ's open link, if that very board gives the light as well.

        Raises:
            DeviceError: no such port, no answer, another board or version, or other limits than it was given.
        """
        raise NotImplementedError

    def prepare(self, link: Link, train: wire.Prepare) -> None:
        """Give the device the train of this session.

        Raises:
            DeviceError: it did not take it.
        """
        del train
        raise DeviceError(
            f"{link.port.name}: a {type(self).__name__} takes no train beforehand; use another stimulator"
        )
