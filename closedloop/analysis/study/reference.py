"""What an animal was like without drug: by its anchor or, without one, by its own baseline sessions.

Rates and heights are compared as logarithms. What the reference's own sessions differ by beyond chance widens every
interval (`Spread`); few sessions show poorly how much that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from closedloop.analysis.activity import Activity, Trace
from closedloop.analysis.estimates import Floats, students
from closedloop.anchor import Anchor


class Measured(NamedTuple):
    """A session and its events."""

    traced: Trace
    found: Activity


@dataclass(frozen=True)
class Reference:
    """What an animal was like without drug: its anchor, or its own baseline sessions.

    Attributes:
        counts: events in each of its sessions.
        minutes: clean sample time of each.
        logs: mean ln(peak height) of each session that has peaks.
        peaks: how many heights each of those is the mean of.
        log_sd: SD of ln(peak height).
        levels: mean level of each session, ln units; empty if they cannot be compared.
        anchor: None where there is none, and no verdict on level.
    """

    counts: tuple[int, ...]
    minutes: tuple[float, ...]
    logs: tuple[float, ...]
    peaks: tuple[int, ...]
    log_sd: float
    levels: tuple[float, ...]
    anchor: Anchor | None

    def rate(self) -> tuple[float, Spread]:
        """Mean of ln(events a minute), and how far one more session may lie from it."""
        counts = np.maximum(self.counts, 0.5)  # of no event the logarithm has no end
        return float(np.log(sum(counts) / sum(self.minutes))), Spread.of(np.log(counts / self.minutes), 1 / counts)

    def gain(self) -> tuple[float, Spread]:
        """Mean of ln(peak height), and how far one more session may lie from it."""
        logs, peaks = np.array(self.logs), np.array(self.peaks, float)
        return float(np.average(logs, weights=peaks)), Spread.of(logs, self.log_sd**2 / peaks)


class Spread(NamedTuple):
    """How sessions that are alike scatter.

    Attributes:
        chance: variance of their common mean by counting alone.
        between: variance from session to session beyond that, by the method of moments; 0 if there is none.
        sessions: how many they are.
    """

    chance: float
    between: float
    sessions: int

    @classmethod
    def of(cls, values: Floats, variances: Floats) -> Spread:
        """From the sessions' numbers, and the variance that chance gives each."""
        chance = 1 / float(np.sum(1 / variances))
        found = float(np.var(values, ddof=1) - np.mean(variances)) if len(values) > 1 else 0.0
        return cls(chance, max(0.0, found), len(values))

    def half_width(self, chance: float, sessions: int) -> float:
        """Half of the 95 % interval of the difference between the common mean and that of more sessions.

        Variances add up; what is known from few sessions lowers the degrees of freedom (Satterthwaite 1946, Biometrics
        Bulletin 2:110).

        Args:
            chance: variance of those sessions' mean by counting alone.
            sessions: how many those are.
        """
        between = self.between * (1 / sessions + 1 / self.sessions)
        total = self.chance + chance + between
        freedom = (self.sessions - 1) * (total / between) ** 2 if between > 0 else np.inf
        return students(freedom) * float(np.sqrt(total))


def anchored(anchor: Anchor) -> Reference:
    """By the animal's anchor."""
    minutes = tuple(session.minutes for session in anchor.sessions)
    events, level = anchor.events, anchor.level
    counts = tuple(round(rate * m) for rate, m in zip(events.rates, minutes, strict=True))
    levels = level.sessions if level else ()
    return Reference(counts, minutes, events.log_means, events.log_counts, events.log_sd or 0.0, levels, anchor)


def by_baseline(phases: Sequence[Sequence[Measured]]) -> Reference | None:
    """By its own baseline sessions; None if there are none."""
    sessions = [session for phase in phases for session in phase]
    if not sessions:
        return None
    logs = [np.log(one.found.peaks) for one in sessions if len(one.found.peaks)]
    together = np.concatenate(logs) if logs else np.zeros(0)
    means = [one.traced.course.mean for one in sessions if one.traced.course]
    return Reference(
        counts=tuple(one.found.count for one in sessions),
        minutes=tuple(one.found.minutes for one in sessions),
        logs=tuple(float(np.mean(one)) for one in logs),
        peaks=tuple(len(one) for one in logs),
        log_sd=float(np.std(together, ddof=1)) if len(together) > 1 else 0.0,
        levels=tuple(means) if _alike(sessions) else (),
        anchor=None,
    )


def _alike(sessions: Sequence[Measured]) -> bool:
    first = sessions[0].traced.photometry
    others = [one.traced.photometry for one in sessions]
    return all(first is None or one is None or not first.mismatches(one) for one in others)
