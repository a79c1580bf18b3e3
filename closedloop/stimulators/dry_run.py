"""No stimulator at all: the loop detects and decides, nothing can be armed, and every wanted train is refused."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from closedloop import wire
from closedloop.link import Link
from closedloop.model import Seconds
from closedloop.stimulators import Stimulator


class DryRun(Stimulator):
    """For a rig that measures only."""

    kind: Literal["dry_run"] = "dry_run"
    lease: Seconds = Field(0.5, ge=0.02, le=0.5, description="Of no meaning without a device.")

    def open(self, port_name: str, limits: wire.Limits, daq: Link | None = None) -> None:
        """Nothing to open."""
