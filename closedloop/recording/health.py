"""To be removed: see closedloop.health."""

from closedloop.health import HEALTH

__all__ = ["HEALTH"]
