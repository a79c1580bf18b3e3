"""The tables of light_and_heat.md, from the functions themselves. `python docs/light_tables.py` writes them there.

A test compares what the page says with what the functions give.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from closedloop import optics
from closedloop.optics import Findings, PhotometryLight, Warmth

PAGE = Path(__file__).with_name("light_and_heat.md")
_SPOTS = ((1.0, 0.2, 0.39), (5.0, 0.2, 0.39), (10.0, 0.4, 0.5))
_DEPTHS_MM = (0.1, 0.25, 0.5, 1.0)
_PHOTOMETRY = (PhotometryLight(470, 0.24), PhotometryLight(405, 0.1))
_LIGHT_NM = {"GtACR1": 515, "GtACR2": 470, "stGtACR2": 470, "eNpHR3.0": 590, "Arch3.0": 560, "ArchT": 594}
_LIGHT_NM |= {"Jaws": 638, "MsACR1": 635, "raACR": 635, "eOPN3": 520, "PPO": 470}


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in lines)


def irradiance() -> str:
    """Irradiance at the tip and at four depths, by both models."""
    rows = []
    for power_mw, core_mm, aperture in _SPOTS:
        tip = optics.tip_irradiance(power_mw, core_mm)
        parts = [[model(z, core_mm, aperture) for model in (optics.aravanis, optics.foutz)] for z in _DEPTHS_MM]
        cells = [f"{tip * one:.2g} / {tip * other:.2g}" for one, other in parts]
        rows.append((f"{power_mw:g} mW, {1000 * core_mm:g} um, {aperture:g}", f"{tip:.3g}", *cells))
    return _table(("power, core, NA", "tip", *(f"{z:g} mm" for z in _DEPTHS_MM)), rows)


def depth() -> str:
    """How deep an irradiance is met, by both models."""
    rows = []
    for power_mw, core_mm, aperture in _SPOTS:
        reached = [optics.depth_reached(needed, power_mw, core_mm, aperture) for needed in (0.1, 1.0, 5.0, 10.0)]
        cells = [f"{near:.2f} to {far:.2f} mm" for near, far in reached]
        rows.append((f"{power_mw:g} mW, {1000 * core_mm:g} um, {aperture:g}", *cells))
    return _table(("power, core, NA", *(f"{needed} mW/mm2" for needed in (0.1, 1, 5, 10))), rows)


def published() -> str:
    """Published values beside those of the functions."""
    low, high = optics.target_irradiance(5, 0.2, 0.37, 0.5)
    adiabatic = optics.adiabatic_heating(irradiance=0.49, absorption=1.0, on_s=3)
    near, far = (optics.conducted_heating(1.0, mm) for mm in (0.1, 0.563))
    plateau = optics.warmed(Warmth(), 1.0, 1e4).kelvin
    rows = [
        ("5 mW, 200 um, NA 0.37, 0.5 mm deep", "4.9 mW/mm2 (Yizhar 2011, at second hand)",
         f"{low:.2f} (Aravanis) to {high:.2f} (Foutz)", "between the two"),
        ("0.49 mW/mm3 taken up for 3 s", "0.38 K", f"{adiabatic:.2f} K, adiabatic", "within 3 %"),
        ("473 nm, plateau 0.1 mm away", "0.25 K/mW (BOE 7:4450)",
         f"{plateau:.2f} two poles, {near:.2f} conduction", "the poles are set to it; conduction is a bound"),
        ("473 nm, plateau 0.563 mm away", "0.116 K/mW (BOE 7:4450)",
         f"{plateau:.2f} two poles, {far:.2f} conduction", "both are above it, as they should be"),
        ("GtACR2, 0.24 mW/mm2 of 470 nm", "84 % open (model of cleo)",
         f"{100 * optics.part_open(0.24, 0.04):.0f} %", "within 3 %"),
        ("eNpHR3.0, 0.02 to 0.24 mW/mm2 of 470 nm", "1 to 12 % (model)",
         f"{_least_most_enphr()}", "less at both ends: another curve"),
    ]  # fmt: skip
    return _table(("what", "published", "these functions", "so"), rows)


def _least_most_enphr() -> str:
    found = optics.opsin("eNpHR3.0")
    if found is None or found.half is None:
        return "unknown"
    low = optics.part_open(0.02, found.half[1], found.relative[470])
    high = optics.part_open(0.24, found.half[0], found.relative[470])
    return f"{100 * low:.1g} to {100 * high:.1g} %"


def heat() -> str:
    """Warming of 1 mW, by conduction, near and far, early and late."""
    rows = []
    for mm in (0.1, 0.25, 0.5, 1.0):
        early = [optics.conducted_heating(1.0, mm, on_s) for on_s in (0.1, 0.5, 5.0)]
        rows.append((f"{mm:g} mm", *(f"{k:.2f}" for k in early), f"{optics.conducted_heating(1.0, mm):.2f}"))
    return _table(("distance", "0.1 s", "0.5 s", "5 s", "for ever (K/mW)"), rows)


def absorption() -> str:
    """What tissue takes up and scatters."""
    rows = [
        (f"{t.nm:g}", f"{t.absorption:g}", "–" if t.scattering is None else f"{t.scattering:g}") for t in optics.TISSUE
    ]
    return _table(("nm", "mu_a, per mm", "mu_s, per mm"), rows)


def opsins() -> str:
    """What is known of each opsin."""
    rows = []
    for one in optics.OPSINS:
        half = "–" if one.half is None else _span(*one.half)
        relative = "; ".join(f"{nm} nm: {part:g}" for nm, part in sorted(one.relative.items()))
        caveats = "; ".join(
            (*one.caveats, *([f"relative sensitivity {relative} ({one.relative_source})"] if relative else []))
        )
        cells = (one.mechanism, _span(*one.peak_nm), _band(one), f"{half} ({one.half_source})", one.regime, one.off)
        rows.append((one.name, *cells, caveats))
    head = ("opsin", "mechanism", "peak, nm", "works at, nm", "half open at, mW/mm2", "lit", "off after", "to know")
    return _table(head, rows)


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"


def _band(one: optics.Opsin) -> str:
    low, high = one.usable_nm
    if low is None:
        return f"below {high:g}"
    return f"from {low:g}" if high is None else _span(low, high)


def pairs() -> str:
    """Which indicator and opsin go together on one fibre."""
    rows = []
    for one in optics.OPSINS:
        nm = _LIGHT_NM[one.name]
        green = optics.compatible("GCaMP6f", one.name, nm, _PHOTOMETRY)
        red = optics.compatible("jRGECO1a", one.name, nm)
        rows.append((one.name, f"{nm} nm", _verdict(green), _verdict(red)))
    return _table(("opsin", "its light", "GCaMP, 470 + 405 nm", "jRGECO1a, 560 + 405 nm"), rows)


def _verdict(found: Findings) -> str:
    if found.refusals:
        return "**refused**: " + found.refusals[0].partition("is not valid: ")[2].partition("; use")[0]
    own = [said for said in found.warnings if not said.startswith("wavelength")]
    return (
        "warned: " + "; ".join(said.removesuffix("; lower it, or pulse it") for said in own) if own else "goes together"
    )


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made for made in (irradiance, depth, published, heat, absorption, opsins, pairs)
}


_PLACE = re.compile(r"<!-- table: (\w+) -->\n((?:(?!<!--).*\n)*)<!-- end -->")


def shown(text: str) -> dict[str, str]:
    """The tables that stand in a page, by name."""
    return {name: table.rstrip("\n") for name, table in _PLACE.findall(text)}


def filled(text: str) -> str:
    """The page with every table as it is now."""
    return _PLACE.sub(lambda match: f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->", text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
