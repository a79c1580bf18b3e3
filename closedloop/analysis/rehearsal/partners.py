"""Rehearsed trains as a file that a policy takes as its partner's."""

from __future__ import annotations

from pathlib import Path

from closedloop.analysis.rehearsal.driver import Rehearsed
from closedloop.partner import Partner
from closedloop.rig import Rig
from closedloop.train import Train


def write(session: Rehearsed, rig: Rig, train: Train, path: Path) -> Path:
    """The delivered light of a session as trains to be given again; returns the file.

    Args:
        session: whose they are.
        rig: that gave them.
        train: what each one was.
        path: written once; the same session has the same trains.
    """
    if not path.exists():
        told, times = rig.command(train)._asdict(), (session.starts_us,)
        partner = Partner(
            source="a rehearsed session", clock="session", times_us=times, command=told, tip_mw=rig.tip_mw(train)
        )
        partner.save(path)
    return path
