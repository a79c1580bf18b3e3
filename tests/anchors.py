"""A small anchor, for parts that compare with an animal's drug-free reference."""

from __future__ import annotations

from typing import Any

from plans import RATE_HZ

from closedloop.anchor import Anchor, Events, Level, Noise, Photometry, Session


def anchor(**changes: Any) -> Anchor:
    """Three drug-free sessions of one animal: level 0.2 +- 1 % between sessions, three events of 5 % a minute."""
    quantiles = {"10": 0.03, "25": 0.04, "50": 0.05, "75": 0.065, "90": 0.08, "95": 0.09}
    parts = {
        "subject": "m1",
        "photometry": Photometry(sensor="GCaMP6f", fibre="VP-left", signal_power=0.05, control_power=0.05),
        "features": ({"kind": "dff", "baseline": "60 s"},),
        "level": Level(
            mean=0.2, between=0.01, within=0.005, correlation=5.0, smallest_shift=0.05, sessions=(0.19, 0.2, 0.21)
        ),
        "events": Events(
            size=0.02, release=0.01, rate=3.0, rates=(2.8, 3.0, 3.2), count=270, log_mean=-3.0, log_sd=0.35,
            quantiles=quantiles,
        ),
        "noise": Noise(rate=RATE_HZ, coefficients=(0.5, 0.1), sd=0.005),
        "sessions": tuple(
            Session(source=f"day {day}", started=None, sha256=f"{day:064x}", minutes=30.0) for day in (1, 2, 3)
        ),
    }  # fmt: skip
    return Anchor(**(parts | changes)).frozen()
