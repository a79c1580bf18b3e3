"""Sessions on virtual boards in virtual time, recorded in folders exactly as `session` records them, blinded or not."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from plans import NANO_UNITS, RATE_HZ, noise, readings, with_events
from virtual_session import VirtualSession

from closedloop import session, wire
from closedloop.controller import Controller
from closedloop.loop import Loop
from closedloop.model import FROM_FILE
from closedloop.protocol import Protocol, Setting
from closedloop.readings import Readings
from closedloop.recording import create
from closedloop.recording.blinding import NeutralRecorder
from closedloop.rig import load_rig
from closedloop.session import Request

INPUTS = ("paired", "neutral")
CODE = "K7"
NOON = datetime(2026, 5, 4, 12, 0, 0)
EVENTS_S = [12.0, 18.0, 24.0, 29.0, 33.0, 38.0, 44.0, 49.0]
PROTOCOL: dict[str, Any] = {
    "version": 1,
    "name": "place_preference",
    "warm_up": "8 s",
    "features": [{"kind": "dff", "baseline": "10 s"}],
    "detector": {"kind": "threshold", "threshold": 6.0, "release": 3.0, "window": "5 s"},
    "policy": {"kind": "closed_loop"},
    "blocks": [
        {"name": "baseline", "lasts": "7 s", "policy": {"kind": "manual"}},
        {"name": "conditioning", "lasts": "25 s"},
        {"name": "washout", "lasts": "15 s", "policy": {"kind": "manual"}},
    ],
    "gates": [{"input": "paired"}],
    "light": {"on": "200 ms", "level": "100 %"},
    "quality": {"settle": "1 s"},
}


def protocol(**changes: Any) -> Protocol:
    """A conditioning session: three blocks, light only in the paired chamber."""
    return Protocol.model_validate({**PROTOCOL, **changes}, context=FROM_FILE)


def signal(seconds: float = 60.0, paired: tuple[tuple[float, float], ...] = ((10.0, 35.1),)) -> Readings:
    """Events every few seconds; the animal is in the paired chamber during these stretches, else in the neutral one."""
    made = readings(with_events(noise(seconds), EVENTS_S))
    times_s = made["ticks"] / 1e6
    inside = np.zeros(len(made), bool)
    for since, until in paired:
        inside |= (times_s >= since) & (times_s < until)
    made["inputs"] = np.where(inside, 1, 2)
    return made


class Recorded(VirtualSession):
    """One session; `folder` is its recording."""

    def __init__(
        self,
        data: Path,
        made: Protocol,
        *,
        blind: bool = True,
        code: str = CODE,
        played: Readings | None = None,
        subject: str = "M1",
        seed: int = 5,
        by_hand: bool = False,
    ) -> None:
        made = made.in_arm(made.policy, code)
        rig = load_rig("simulated")
        about = session._About(INPUTS, made.lasts_s)
        study = {"name": "seeds", "animal": subject, "phase": "conditioning", "session": 1, "arms": True, "code": code}
        common: dict[str, Any] = {"out": data, "seed": seed, "subject": subject, "by_hand": by_hand}
        request = Request(protocol=made, rig=rig, blind=blind, study=study, **common)
        setting = Setting(seed, INPUTS, request.dose)
        plan = made.plan(request.limits, rig.full_power_mw, rig.photometry, setting)
        super().__init__(signal() if played is None else played, plan)
        loop = Loop(plan, rate_hz=RATE_HZ, nano_units=NANO_UNITS)
        settings = wire.StreamSettings(round(RATE_HZ * 1000), NANO_UNITS, len(INPUTS))
        self.folder = create(data, subject, NOON)
        board: Any = SimpleNamespace(identity=wire.Identity(*range(len(wire.Identity._fields))), damaged=0)
        header = session._header(request, settings, about, board, board) | {"bounds": session._bounds(loop)}
        header |= {"started": NOON.isoformat(), "started_ns": 0}
        self.writer = session.begin_recording(request, self.folder, header, session.row_dtype(loop.step_type))
        rows = session._Rows(self.writer, loop.step_type, (None, None))
        recorder = NeutralRecorder(rows, made.decisions) if blind else rows
        orders = session._orders(request, settings, INPUTS)
        lines: tuple[Any, Any] = self.to_daq, self.to_stimulator
        self.controller = Controller(orders, loop, *lines, recorder, lambda: self.now_us * 1000)
        self._board = board

    def whole(self) -> Path:
        """Run it to its end; returns its folder."""
        self.run(600)
        self.close()
        return self.folder

    def close(self) -> None:
        """The summary is written."""
        self.writer.close(session._outcome(self.controller, self._board, self._board))


def ran(data: Path, policy: dict[str, Any], **about: Any) -> Path:
    """The folder of a session in an arm of this policy."""
    changes = about.pop("changes", {})
    return Recorded(data, protocol(**(changes | {"policy": policy})), **about).whole()
