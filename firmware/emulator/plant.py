"""The plant in the loop: what the photodetector sees of both LEDs and of an animal that the light inhibits.

Voltages follow the LED pins within the converter's own time (in C); the animal itself is slow, and is stepped by the
bench. Rough on purpose: it has the right signs, not the right biology.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from emulator.board import EmulatedBoard

CONTROL, SIGNAL, STIMULATOR = 1, 2, 4


@dataclass(frozen=True)
class Optics:
    """Voltages at the photodetector: ambient light, what each LED adds at rest, the stimulator's leak, noise (sd)."""

    ambient_mv: float = 400.0
    control_mv: float = 900.0
    signal_mv: float = 1500.0
    leak_mv: float = 0.0
    noise_mv: float = 5.0


def quiet(_: float) -> float:
    """An animal in which nothing happens."""
    return 0.0


class Animal:
    """Activity as dF/F over time (s), scaled by a gain that light draws to 0 and darkness lets return to 1."""

    def __init__(
        self, activity: Callable[[float], float] = quiet, *, inhibition_s: float = 0.05, recovery_s: float = 0.5
    ) -> None:
        self._activity, self._inhibition_s, self._recovery_s = activity, inhibition_s, recovery_s
        self._gain, self._last_s = 1.0, 0.0

    def dff(self, now_s: float, lit: bool) -> float:
        """The dF/F at this time, the light having been on or off since the last call."""
        passed_s, self._last_s = now_s - self._last_s, now_s
        target, tau_s = (0.0, self._inhibition_s) if lit else (1.0, self._recovery_s)
        self._gain = target + (self._gain - target) * math.exp(-passed_s / tau_s)
        return self._gain * self._activity(now_s)


class Plant:
    """The fibre before a DAQ board: sets the voltage of its photodetector pin for every state of the light."""

    def __init__(
        self,
        daq: EmulatedBoard,
        optics: Optics | None = None,
        animal: Animal | None = None,
        *,
        pin: str = "A0",
        control_led: str = "D5",
        signal_led: str = "D6",
    ) -> None:
        self.optics, self.animal = optics or Optics(), animal or Animal()
        self._daq, self._pin = daq, pin
        daq.set_leds(control_led, signal_led)
        self.set_dff(0.0)

    def set_dff(self, dff: float) -> None:
        """Sets the signal's dF/F from this cycle on; the control LED's part does not follow it."""
        optics = self.optics
        for state in range(8):
            mv = optics.ambient_mv
            mv += optics.control_mv if state & CONTROL else 0.0
            mv += optics.signal_mv * (1.0 + dff) if state & SIGNAL else 0.0
            mv += optics.leak_mv if state & STIMULATOR else 0.0
            self._daq.set_voltage(self._pin, state, mv, optics.noise_mv)

    def step(self, now_ns: int, lit: bool) -> None:
        """Lets the animal live on to this time."""
        self.set_dff(self.animal.dff(now_ns / 1e9, lit))
