"""Named virtual animals, as a rig file would write them: only what differs from the defaults in `animal_model`.

`tonic_only`, `rate_only` and `gain_only` change one thing in withdrawal, by the amounts at which z-scoring each
session by itself was shown to hide the change. In `null` the neurons change nothing and blood alone does, as after
cocaine: a detector that reports something here reports blood.
"""

from __future__ import annotations

from typing import Any, Literal

PresetName = Literal[
    "akam_like",
    "white",
    "motion_heavy",
    "tonic_only",
    "rate_only",
    "gain_only",
    "null",
    "withdrawal",
    "demo",
]

_COURSE = [
    {"state": "baseline", "lasts": "6 min"},
    {"state": "withdrawal", "lasts": "18 min"},
    {"state": "re_exposure", "lasts": "6 min"},
]
_CALM = {"level": "0 %", "event_rate": "4 /min", "gain": 1.0}


def _course(**withdrawal: Any) -> dict[str, Any]:
    """Baseline, a withdrawal that differs in this alone, and back."""
    states = {"baseline": _CALM, "withdrawal": _CALM | withdrawal, "re_exposure": _CALM}
    return {"states": states, "sequence": _COURSE}


PRESETS: dict[str, dict[str, Any]] = {
    "akam_like": {},
    "white": {
        "motion": {"wander": "0 %", "dip_rate": "0 /min"},
        "blood": {"wander": "0 %"},
        "noise": {"red": "0 %", "shot": "0 %", "line": "0 %"},
        "bleaching": {"fast": "0 %", "slow": "0 %"},
        "control_bleaching": {"fast": "0 %", "slow": "0 %"},
    },
    "motion_heavy": {"motion": {"wander": "1 %", "dip_rate": "4 /min", "dip_depth": "10 %", "control_share": 0.8}},
    "tonic_only": _course(level="10 %"),
    "rate_only": _course(event_rate="8 /min"),
    "gain_only": _course(gain=1.5),
    "null": {
        "states": {"baseline": _CALM, "withdrawal": _CALM, "re_exposure": _CALM | {"blood": "3 %"}},
        "sequence": _COURSE,
    },
    "withdrawal": _course(level="3 %", event_rate="10 /min", gain=1.6),
    "demo": {
        "states": {
            "baseline": {"event_rate": "0 /min"},
            "withdrawal": {"event_rate": "24 /min"},
        },
        "sequence": [{"state": "baseline", "lasts": "7 s"}, {"state": "withdrawal", "lasts": "2 h"}],
        "events": {
            "amplitude": "12 %",
            "amplitude_spread": 0.2,
            "lasts": "0.4 s",
            "lasts_spread": 0.2,
            "regularity": 30.0,
        },
        "indicator": {"rise": "80 ms", "decay": "400 ms"},
        "motion": {"dip_rate": "0 /min"},
    },
}
