"""What is known of each inhibitory opsin and of each family of indicators, with where it is from. It decides nothing.

Irradiances are at the target, in mW/mm2, not at the tip. What has no source of its own is from general knowledge and
said to be unverified wherever it is shown: check it before you publish it, and measure your own preparation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal, NamedTuple

Mechanism = Literal["Cl- channel", "Cl- pump", "H+ pump", "Gi/o GPCR"]
NONE = "none"
UNVERIFIED = "unverified"


class Opsin(NamedTuple):
    """One inhibitory opsin.

    Attributes:
        name: as it is written in a preparation.
        mechanism: what light makes it do.
        peak_nm: lowest and highest wavelength named as its peak.
        usable_nm: wavelengths at which it is known to work; None for an end that is not known.
        half: irradiance at which half of it is open, lowest and highest named; None if no number is known.
        half_source: where those are from.
        relative: sensitivity at other wavelengths, as part of that at the peak.
        relative_source: where those are from.
        regime: how it is lit.
        off: how fast its effect ends after light, in words with its source.
        minutes: its effect outlasts the light by minutes.
        caveats: what to know, each with its source.
    """

    name: str
    mechanism: Mechanism
    peak_nm: tuple[float, float]
    usable_nm: tuple[float | None, float | None]
    half: tuple[float, float] | None
    half_source: str
    regime: str
    off: str
    caveats: tuple[str, ...]
    relative: Mapping[int, float] = MappingProxyType({})
    relative_source: str = ""
    minutes: bool = False

    @property
    def is_pump(self) -> bool:
        """Whether each ion needs a photon of its own: more light, and no effect without it."""
        return self.mechanism.endswith("pump")

    def works_at(self, nm: float) -> bool:
        """Whether a wavelength is among those at which it is known to work."""
        low, high = self.usable_nm
        return (low is None or nm >= low) and (high is None or nm <= high)

    def sensitivity(self, nm: float) -> float | None:
        """Sensitivity as part of that at the peak; None where it is not known."""
        low, high = self.peak_nm
        return 1.0 if low <= nm <= high else self.relative.get(round(nm))


_GTACR2_CAVEATS = (
    "shunts: its effect depends on the chloride gradient (unverified)",
    "excites axons and terminals at light onset; soma-targeting (st) reduces it (Mahn 2018)",
)
_PUMP_DECLINE = "pumps lose up to 90 % of their current within a minute of light (Mahn 2018)"
_GTACR2_HALF = "computed from the model in siplab-gt/cleo"
_GTACR2_OFF = "about 40-60 ms (unverified; 59 ms in the model of siplab-gt/cleo)"

OPSINS = (
    Opsin(
        "GtACR1", "Cl- channel", (515, 515), (470, 560), (0.01, 0.1), UNVERIFIED,
        "continuous or pulsed", "100 ms and more (unverified)",
        ("shunts: its effect depends on the chloride gradient (unverified)",
         "its open state absorbs red light (PMC11052691)"),
    ),
    Opsin(
        "GtACR2", "Cl- channel", (470, 470), (None, 550), (0.04, 0.04), _GTACR2_HALF,
        "continuous for seconds at most, or long pulses at 5-20 Hz", _GTACR2_OFF, _GTACR2_CAVEATS,
    ),
    Opsin(
        "stGtACR2", "Cl- channel", (470, 470), (None, 550), (0.04, 0.04), _GTACR2_HALF,
        "continuous for seconds at most, or long pulses at 5-20 Hz", _GTACR2_OFF, _GTACR2_CAVEATS,
    ),
    Opsin(
        "eNpHR3.0", "Cl- pump", (590, 590), (470, 630), (1.0, 4.0), "model of siplab-gt/cleo, in two versions",
        "continuous, with a ramp off", "about 4 ms (unverified)",
        (_PUMP_DECLINE, "chloride load: more excitable after light (Raimondo 2012)",
         "488 nm gave one minute of stable inhibition (BMC Biol 2019)"),
        {470: 0.37, 405: 0.24, 630: 0.39}, "Gradinaru 2010, by siplab-gt/cleo",
    ),
    Opsin(
        "Arch3.0", "H+ pump", (560, 560), (520, 590), (5.0, 10.0), UNVERIFIED,
        "continuous, with a ramp off", "about 10 ms (unverified)",
        (_PUMP_DECLINE, "no shift of the GABA reversal potential (Raimondo 2012)"),
    ),
    Opsin(
        "ArchT", "H+ pump", (566, 566), (532, 594), (2.0, 5.0), UNVERIFIED,
        "continuous, with a ramp off", "about 10 ms (unverified)",
        (_PUMP_DECLINE, "594 nm reaches further than 532 nm beyond 0.5 mm: blood absorbs less (win.ox.ac.uk/1116958)"),
    ),
    Opsin(
        "Jaws", "Cl- pump", (600, 600), (600, 640), (5.0, 10.0), UNVERIFIED,
        "continuous, with a ramp off", "about 7 ms (unverified)",
        (_PUMP_DECLINE, "three times the current of earlier red-light silencers at 632 nm (Chuong 2014)"),
    ),
    Opsin(
        "MsACR1", "Cl- channel", (550, 635), (550, None), None, "low (unverified)",
        "continuous", "tens of ms (unverified)",
        ("works at 635 nm in vivo (eLife 90100)", "new: test what blue light does to it (unverified)"),
    ),
    Opsin(
        "raACR", "Cl- channel", (550, 635), (550, None), None, "low (unverified)",
        "continuous", "tens of ms (unverified)",
        ("works at 635 nm in vivo (eLife 90100)", "new: test what blue light does to it (unverified)"),
    ),
    Opsin(
        "eOPN3", "Gi/o GPCR", (510, 530), (470, 560), None, "very low, microjoules (unverified)",
        "one exposure of 0.5-10 s (unverified)", "minutes (Mahn 2021)",
        ("the effect of any blue or green light adds up (unverified)",), minutes=True,
    ),
    Opsin(
        "PPO", "Gi/o GPCR", (405, 470), (405, 470), None, "low (unverified)",
        "blue pulses at 10 Hz switch it on, amber light off (Copits 2021)", "seconds (unverified)",
        ("bistable: it stays on until amber light switches it off (Copits 2021)",),
    ),
)  # fmt: skip

_BY_NAME = {opsin.name.lower(): opsin for opsin in OPSINS}
_ALSO = {"enphr": "eNpHR3.0", "enphr3": "eNpHR3.0", "arch": "Arch3.0", "arch3": "Arch3.0"}


class Indicator(NamedTuple):
    """A family of indicators, or of plain fluorophores, that one photometry light excites.

    Attributes:
        colour: of what it emits.
        signal_nm: light that excites it.
        control_nm: light of the control channel.
        pattern: names that belong to it.
        examples: some of them, for messages.
    """

    colour: Literal["green", "red"]
    signal_nm: float
    control_nm: float
    pattern: re.Pattern[str]
    examples: str


INDICATORS = (
    Indicator(
        "green", 470, 405,
        re.compile(r"j?GCaMP[\w.]*|dLight[\w.]*|GRAB[\w.-]*|iGluSnFR\w*|E?GFP|E?YFP|other green", re.IGNORECASE),
        "GCaMP6f, jGCaMP8m, dLight1.3b, GRAB_DA2m, iGluSnFR, GFP, 'other green'",
    ),
    Indicator(
        "red", 560, 405,
        re.compile(r"j?RGECO[\w.]*|j?RCaMP[\w.]*|RdLight[\w.]*|tdTomato|mCherry|other red", re.IGNORECASE),
        "jRGECO1a, jRCaMP1b, RdLight1, tdTomato, mCherry, 'other red'",
    ),
)  # fmt: skip


def opsin(name: str) -> Opsin | None:
    """The opsin of a name that `opsin_name` gave; None for a control animal without one."""
    return _BY_NAME.get(name.lower())


def opsin_name(name: str) -> str:
    """The opsin's name as this table writes it, or "none".

    Raises:
        ValueError: it is not in the table; names the nearest.
    """
    low = name.lower()
    if low == NONE:
        return NONE
    if (found := _BY_NAME.get(_ALSO.get(low, low).lower())) is not None:
        return found.name
    near = get_close_matches(low, [*_BY_NAME, NONE], 1)
    known = ", ".join(one.name for one in OPSINS)
    if near:
        raise ValueError(f"unknown opsin (got {name}); did you mean '{opsin_name(near[0])}'? known: {known}, none")
    raise ValueError(f"unknown opsin (got {name}); use one of: {known}; or none, for an animal without one")


def indicator(name: str) -> Indicator:
    """The family that an indicator belongs to.

    Raises:
        ValueError: to none that is known.
    """
    for family in INDICATORS:
        if family.pattern.fullmatch(name):
            return family
    known = "; ".join(f"{family.colour}: {family.examples}" for family in INDICATORS)
    raise ValueError(f"unknown indicator (got {name}); write one like these ({known})")


def indicator_name(name: str) -> str:
    """The same name, if it is that of a known family.

    Raises:
        ValueError: it is not.
    """
    indicator(name)
    return name


def part_open(irradiance: float, half: float, sensitivity: float = 1.0) -> float:
    """Part of an opsin that steady light opens: s I / (s I + I_half), a saturating curve with Hill coefficient 1.

    Args:
        irradiance: at the opsin, in mW/mm2.
        half: irradiance that opens half of it at its peak, in mW/mm2.
        sensitivity: at this wavelength, as part of that at the peak.
    """
    driven = sensitivity * irradiance
    return driven / (driven + half)
