"""The light budget as a value, and as lines for a terminal. It reckons nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

_WIDE = 88  # of the joined limits


class Opened(NamedTuple):
    """What one photometry light does to the opsin at the fibre's tip; None is unknown."""

    nm: float
    mw_per_mm2: float | None
    part: tuple[float, float] | None


@dataclass(frozen=True)
class Budget:
    """What a session could give at worst; None is unknown.

    Attributes:
        protocol: its name.
        condition: its opaque arm code.
        rig: its name.
        tip_mw: power at the fibre's tip while lit.
        level: of the source, 0 to 1.
        tip_mw_per_mm2: irradiance there.
        target_mw_per_mm2: irradiance at the target by two models, the lower first.
        depth_mm: of the target.
        opsin: its name; "none" is a control animal without one.
        needed_mw_per_mm2: irradiance wanted, or that opens half of the opsin, lowest and highest named.
        needed_source: where that is from.
        reached_mm: depth at which that is met, least and most by both models.
        photometry: what the light that measures does to the opsin.
        lit_s: light of one train.
        span_s: from its first light to its last.
        trains_per_minute: most trains in any 60 s.
        short_duty: largest part lit of any 60 s.
        long_duty: largest part lit of any 10 min.
        mean_mw: over the busiest 10 min.
        heating_kelvin: highest warming at the tip by the conservative two-pole model.
        adiabatic_kelvin: at the tip at the end of a pulse if no heat could leave: an upper bound.
        conducted_kelvin: 0.25 mm from the tip at the end of a pulse, all light taken up at a point.
        conducted_mean_kelvin: the same for the mean power, after long.
        energy_per_train_mj: of one train.
        session_trains: most trains of the whole session.
        session_on_s: most light of the whole session.
        session_energy_mj: most energy of the whole session.
        blocks: of the session, in words.
        calibration: of the power, in words.
        limits: those in force, in words.
        notes: what to know of the features.
        warnings: what to think about.
        refusals: why this will not run; empty if it will.
    """

    protocol: str
    condition: str
    rig: str | None
    tip_mw: float | None
    level: float | None
    tip_mw_per_mm2: float | None
    target_mw_per_mm2: tuple[float, float] | None
    depth_mm: float | None
    opsin: str | None
    needed_mw_per_mm2: tuple[float, float] | None
    needed_source: str | None
    reached_mm: tuple[float, float] | None
    photometry: tuple[Opened, ...]
    lit_s: float
    span_s: float
    trains_per_minute: int
    short_duty: float
    long_duty: float
    mean_mw: float | None
    heating_kelvin: float | None
    adiabatic_kelvin: float | None
    conducted_kelvin: float | None
    conducted_mean_kelvin: float | None
    energy_per_train_mj: float | None
    session_trains: int
    session_on_s: float
    session_energy_mj: float | None
    blocks: tuple[str, ...]
    calibration: str | None
    limits: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    refusals: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return plain | {"photometry": [one._asdict() for one in self.photometry]}


def lines(found: Budget) -> list[str]:
    """The budget as aligned text for a terminal, one screen high."""
    rows = [(name, text) for name, text in _rows(found) if text]
    width = max(len(name) for name, _ in rows)
    head = f"{found.protocol} (condition {found.condition}) on {found.rig or 'no rig'}"
    return [head, *(f"  {name:<{width}}  {text}" for name, text in rows)]


def _rows(found: Budget) -> Iterator[tuple[str, str]]:
    yield (
        "one train",
        f"{found.lit_s:g} s of light within {found.span_s:g} s, {_energy(found.energy_per_train_mj)}",
    )
    yield "at the tip", _at_tip(found)
    yield "at the target", _at_target(found)
    yield from _of_opsin(found)
    yield from _column("warming", [_warming(found), *_other_warming(found)])
    yield "at worst", _worst(found)
    yield "whole session", _session(found)
    yield from _column("blocks", _joined(found.blocks, ", then "))
    yield "calibration", found.calibration or ""
    yield from _column("limits in force", _joined(found.limits, "; "))
    yield from _column("note", found.notes)
    yield from _column("warning", found.warnings)
    yield from (("REFUSED", said) for said in found.refusals)
    if not found.refusals:
        yield "verdict", "nothing would be refused"


def _column(title: str, said: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A title beside the first of several lines."""
    yield from zip((title, *[""] * (len(said) - 1)), said, strict=False)


def _joined(said: Sequence[str], between: str) -> list[str]:
    """Short texts side by side, as many as a line holds."""
    rows: list[str] = []
    for one in said:
        if rows and len(rows[-1]) + len(between) + len(one) <= _WIDE:
            rows[-1] += between + one
        else:
            rows.append(one)
    return rows


def _at_tip(found: Budget) -> str:
    if found.tip_mw is None:
        return "unknown power and irradiance"
    level = "" if found.level is None else f" (level {found.level * 100:.3g} %)"
    return f"{found.tip_mw:.3g} mW{level}, {_irradiance(found.tip_mw_per_mm2)}"


def _irradiance(value: float | None) -> str:
    return "unknown irradiance" if value is None else f"{value:.3g} mW/mm2"


def _at_target(found: Budget) -> str:
    if found.target_mw_per_mm2 is None:
        return "unknown irradiance"
    return f"{span(found.target_mw_per_mm2)} mW/mm2, {found.depth_mm:g} mm deep (two models)"


def _of_opsin(found: Budget) -> Iterator[tuple[str, str]]:
    if found.opsin is None:
        return
    yield "opsin", _reached(found)
    seen = [f"{one.nm:g} nm {_irradiance(one.mw_per_mm2)}{_part(one.part)}" for one in found.photometry]
    yield "photometry light", ", ".join(seen)


def _reached(found: Budget) -> str:
    if found.opsin == "none":
        return "none: a control animal"
    if found.needed_mw_per_mm2 is None:
        return f"{found.opsin}; what irradiance it needs of this light is not known"
    needs = f"{found.opsin}; needs {span(found.needed_mw_per_mm2)} mW/mm2 ({found.needed_source})"
    return needs if found.reached_mm is None else f"{needs}; met to a depth of {span(found.reached_mm)} mm"


def _part(part: tuple[float, float] | None) -> str:
    return "" if part is None else f" (opens {span((100 * part[0], 100 * part[1]))} %)"


def _warming(found: Budget) -> str:
    if found.heating_kelvin is None:
        return "unknown"
    return f"{found.heating_kelvin:.3g} K at worst (two poles, conservative: this one counts)"


def _other_warming(found: Budget) -> Iterator[str]:
    bounds = []
    if found.adiabatic_kelvin is not None:
        bounds.append(f"{found.adiabatic_kelvin:.2g} K at the tip if no heat left")
    if found.conducted_kelvin is not None:
        bounds.append(f"{found.conducted_kelvin:.2g} K 0.25 mm away if all light became heat")
    if bounds:
        yield f"bounds for one pulse: {', '.join(bounds)}"
    if found.conducted_mean_kelvin is not None:
        yield f"bound for the mean power: {found.conducted_mean_kelvin:.2g} K 0.25 mm away"


def _worst(found: Budget) -> str:
    lit = f"lit {share(found.short_duty)} of 60 s, {share(found.long_duty)} of 10 min"
    mean = "" if found.mean_mw is None else f" ({found.mean_mw:.3g} mW)"
    return f"{found.trains_per_minute} trains in 60 s; {lit}{mean}"


def _session(found: Budget) -> str:
    energy = "" if found.session_energy_mj is None else f", {found.session_energy_mj:.4g} mJ"
    return f"at most {found.session_trains} trains, {found.session_on_s:.4g} s of light{energy}"


def share(part: float) -> str:
    """A part as percent."""
    return f"{part * 100:.3g} %"


def span(values: tuple[float, float]) -> str:
    """Two values as "3.9 to 4.8"; one if they are the same to the digits shown."""
    low, high = (f"{value:.2g}" for value in values)
    return low if low == high else f"{low} to {high}"


def _energy(value: float | None) -> str:
    return "unknown energy" if value is None else f"{value:.3g} mJ"
