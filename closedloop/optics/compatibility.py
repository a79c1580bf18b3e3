"""Which indicator, opsin and light go together: what is refused, what is warned of, and why. Pure; it starts nothing.

The table of SCIENCE 3.2: one light path serves both, so the light that measures may also open the opsin, and the light
that inhibits may blind the detector. All opsins have blue tails (fncel.2023.1160245): test yours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from closedloop.optics.opsins import Indicator, Opsin, indicator, opsin, part_open

_GREEN_BAND_NM = 560.0  # below it, light passes the filter of a green detector or excites what it measures
_BLUE_NM = 500.0
_LEAST_DRIVEN = "Jaws"  # the best partner of a green indicator: what its light opens is a note
_RED_CHANNELS = ("MsACR1", "raACR")
_WITH_GREEN = {
    "GtACR1": "470 nm photometry light opens it",
    "GtACR2": "470 nm photometry light opens it",
    "stGtACR2": "470 nm photometry light opens it",
    "eOPN3": "the effect of photometry light adds up over minutes",
    "PPO": "405 and 470 nm photometry light both switch it on",
}
_WITH_RED = {
    "eNpHR3.0": "560 nm photometry light drives it",
    "Arch3.0": "560 nm photometry light drives it",
    "ArchT": "560 nm photometry light drives it",
    "MsACR1": "560 nm photometry light lies in its band",
    "raACR": "560 nm photometry light lies in its band",
    "eOPN3": "560 nm photometry light still drives it",
    "PPO": "560 nm photometry light switches it off",
}


class Findings(NamedTuple):
    """What is to be said of a preparation.

    Attributes:
        refusals: why it is not valid; nothing may run.
        warnings: what can spoil the result, with its reason.
        notes: what to know.
    """

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def and_also(self, *others: Findings) -> Findings:
        """These and the others', in order, each once."""
        all_of_them = (self, *others)
        return Findings(*(tuple(dict.fromkeys(s for one in all_of_them for s in one[i])) for i in range(3)))


class PhotometryLight(NamedTuple):
    """One light that the signal is measured with.

    Attributes:
        nm: wavelength.
        irradiance: at the fibre's tip, in mW/mm2; None if it is not known.
    """

    nm: float
    irradiance: float | None


def compatible(
    indicator_name: str,
    opsin_name: str,
    stimulation_nm: float | None,
    photometry: Sequence[PhotometryLight] = (),
    *,
    same_fibre: bool = True,
) -> Findings:
    """Whether an indicator, an opsin and their lights go together.

    Args:
        indicator_name: such as GCaMP6f.
        opsin_name: such as Jaws, or none.
        stimulation_nm: of the inhibitory light; None if it is not known.
        photometry: the lights that the signal is measured with, at the tip.
        same_fibre: whether they leave the fibre that the inhibitory light leaves.

    Raises:
        ValueError: the indicator's family is not known.
    """
    family, found = indicator(indicator_name), opsin(opsin_name)
    if found is None:
        return Findings(notes=("no opsin: a control for light itself, its heat and its artefact",))
    refusals = list(_refused(indicator_name, family, found)) if same_fibre else []
    warnings = [*_band(found, stimulation_nm)]
    notes = [f"{found.name}: {one}" for one in found.caveats]
    if same_fibre:
        warnings += _leaks(indicator_name, family, found, stimulation_nm)
        (notes if found.name == _LEAST_DRIVEN else warnings).extend(filter(None, [_opened(found, photometry)]))
        notes += _fits(family, found)
    else:
        notes.append(
            "photometry light leaves another fibre: what of it spreads to the opsin, and to the detector, is not judged"
        )
    return Findings(tuple(refusals), tuple(warnings), tuple(notes))


def _refused(name: str, family: Indicator, found: Opsin) -> Iterator[str]:
    why = (_WITH_GREEN if family.colour == "green" else _WITH_RED).get(found.name)
    if why is None:
        return
    others = "Jaws, or light on another fibre" if family.colour == "green" else "GtACR2, or light on another fibre"
    yield f"opsin: {found.name} with {name} on one fibre is not valid: {why}; use {others} (same_fibre: no)"


def _band(found: Opsin, nm: float | None) -> Iterator[str]:
    if nm is None or found.works_at(nm):
        return
    low, high = found.usable_nm
    if low is not None and high is not None:
        known = f"from {low:g} to {high:g} nm"
    else:
        known = f"below {high:g} nm" if low is None else f"from {low:g} nm on"
    yield f"wavelength: {found.name} works {known} (unverified), and the light is {nm:g} nm"


def _leaks(name: str, family: Indicator, found: Opsin, nm: float | None) -> Iterator[str]:
    """What inhibitory light does to the signal."""
    if nm is None:
        return
    if family.colour == "green" and nm < _GREEN_BAND_NM:
        yield f"artefact: {nm:g} nm excites {name} or passes its filter: expect the detector to saturate (unverified)"
    if family.colour == "red" and nm > _GREEN_BAND_NM:
        yield f"artefact: {nm:g} nm bleeds into the red detector of {name}"
    if "rgeco" in name.lower() and nm < _BLUE_NM:
        yield f"artefact: blue light photoswitches {name}: transients that are none (unverified)"
    if family.colour == "green" and found.name in _RED_CHANNELS:
        yield f"photometry light: what blue light does to {found.name} has to be tested (unverified)"
    if family.colour == "red" and found.name == "GtACR1":
        yield "photometry light: 560 nm partly drives GtACR1; prefer GtACR2"
    if family.colour == "red" and found.name == "Jaws":
        yield "photometry light: whether 560 nm drives Jaws has to be tested (unverified)"


def _opened(found: Opsin, photometry: Sequence[PhotometryLight]) -> str:
    """What photometry light does to the opsin at the tip, in numbers; "" where none are known."""
    said, unknown = [], False
    for light in photometry:
        parts = opened(found, light)
        if parts is None:
            continue
        unknown = unknown or found.sensitivity(light.nm) is None
        said.append(f"{_opens(parts)} by {light.irradiance:.2g} mW/mm2 of {light.nm:g} nm")
    if not said:
        return ""
    why = "if it were as sensitive as at its peak, which is not known" if unknown else "by a model"
    return f"photometry light opens {found.name} at the tip: {', '.join(said)} ({why}); lower it, or pulse it"


def _opens(parts: tuple[float, float]) -> str:
    low, high = (f"{100 * part:.2g}" for part in parts)
    if parts[0] == 0:
        return f"at most {high} %"
    return f"{high} %" if low == high else f"{low} to {high} %"


def opened(found: Opsin, light: PhotometryLight) -> tuple[float, float] | None:
    """Part of the opsin at the tip that photometry light opens, lowest and highest; None if that is unknown.

    The bracket is that of the half-saturating irradiance; an unknown sensitivity counts as 0 to that of the peak.
    """
    if light.irradiance is None or found.half is None:
        return None
    known = found.sensitivity(light.nm)
    least = 0.0 if known is None else known
    most = 1.0 if known is None else known
    return part_open(light.irradiance, found.half[1], least), part_open(light.irradiance, found.half[0], most)


def _fits(family: Indicator, found: Opsin) -> Iterator[str]:
    if family.colour == "green" and found.name == "Jaws":
        yield "red light and a green indicator are the best pair; block red before the detector (OD 6)"
    if family.colour == "red" and found.name in ("GtACR2", "stGtACR2"):
        yield "blue light and a red indicator: their bands do not meet"
