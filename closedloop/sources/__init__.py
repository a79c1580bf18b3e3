"""DAQ drivers: one file a device, named by its `kind`. They turn bytes into readings; they judge nothing."""

from __future__ import annotations

from pydantic import Field

from closedloop.model import Hertz, Part


class Source(Part):
    """Base of all DAQ drivers: what a rig file says of the device that measures."""

    port: str = Field(description="Serial port, or 'simulated'.")
    rate: Hertz = Field(130.0, ge=1, le=1000, description="Readings a second.")
