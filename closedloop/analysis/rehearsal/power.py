"""Studies made of rehearsed animals, and how many of them show a difference between two arms (Welch's t test).

Each virtual animal was rehearsed in every arm. A simulated study draws, with replacement, so many animals for one arm
and as many others for the other arm. With no effect both arms draw from one pool, so about 5 % of studies differ at
p < .05: that is shown, too, and is the check of the method. What the pool itself does not know (it is one sample of
virtual animals) is not in these numbers; rehearse more animals for smoother ones.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

STUDIES = 2000
SIZES = (4, 6, 8, 10, 12, 16, 20)  # animals per arm
P = 0.05

Floats = npt.NDArray[np.float64]


class Power(NamedTuple):
    """Of one contrast at one size.

    Attributes:
        animals: per arm.
        share: of the simulated studies with p < .05.
        low: of its 95 % interval (Clopper-Pearson), for so many simulated studies.
        high: of the same.
        studies: simulated.
    """

    animals: int
    share: float
    low: float
    high: float
    studies: int


def power(one: Floats, other: Floats, seed: int, sizes: tuple[int, ...] = SIZES, studies: int = STUDIES) -> list[Power]:
    """The share of studies that tell two arms apart, for each number of animals per arm.

    Args:
        one: outcome of each rehearsed animal in one arm; nan where it is unknown.
        other: the same animals in the other arm.
        seed: of the simulated studies.
        sizes: animals per arm.
        studies: how many are simulated for each size.
    """
    random = np.random.default_rng([seed, 3])
    one, other = one[np.isfinite(one)], other[np.isfinite(other)]
    return [_at(one, other, size, studies, random) for size in sizes] if len(one) and len(other) else []


def _at(one: Floats, other: Floats, size: int, studies: int, random: np.random.Generator) -> Power:
    first = one[random.integers(0, len(one), (studies, size))]
    second = other[random.integers(0, len(other), (studies, size))]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a study of one animal over and over has no spread: no result
        p = stats.ttest_ind(first, second, axis=1, equal_var=False).pvalue
    shown = int(np.count_nonzero(p < P))
    interval = stats.binomtest(shown, studies).proportion_ci()
    return Power(size, shown / studies, float(interval.low), float(interval.high), studies)
