"""Autoregressive noise: its model from a stream, value by value, and what of a value the model does not foretell.

    x[t] - mean = sum(coefficients[i] (x[t - 1 - i] - mean)) + innovation[t]

Coefficients are those of Yule and Walker, from autocovariances about the mean that are all divided by the number of
values, solved by Levinson's and Durbin's recursion (Durbin 1960; Brockwell and Davis 1991, 5.2 and 8.2). So divided
they are positive definite, and the model is stable, whatever the values were. White noise stays white in it, at the
cost of `order` values in the variance: its SD grows by order / (2 count).

How to use the kernels, with `past` and `sums` zeroed records of PAST and SUMS within a part's memory:

    gather(sums, past, order, x)        while the model is to be learned, and before `push`
    push(past, order, x)                for every value
    forget(past, sums)                  where the stream is interrupted: no product reaches across
    sd = solve(sums, order, coefficients)
    innovation(past, coefficients, order, mean, x)      before `push`

`fit` does the same with a whole array, by the same kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop.model import kernel

MOST = 64  # the highest order

PAST = np.dtype([("count", "i8"), ("at", "i8"), ("ring", "f8", (MOST,))], align=True)
SUMS = np.dtype(
    [
        ("count", "i8"),  # values gathered
        ("run", "i8"),  # ... since the last interruption, none left out, counted up to the order
        ("origin", "f8"),  # the first value: sums are taken about it, so that a high level costs no digits
        ("sum", "f8"),
        ("product", "f8", (MOST + 1,)),  # of two values, by the number of steps between them
        ("earlier", "f8", (MOST + 1,)),  # sum of the earlier ones of those pairs
        ("later", "f8", (MOST + 1,)),
        ("pairs", "f8", (MOST + 1,)),
    ],
    align=True,
)

Floats = npt.NDArray[np.float64]


@kernel
def before(past: Any, order: int, steps: int) -> float:
    """The value so many steps ago; 1 is the last one pushed."""
    at = past.at - steps
    return past.ring[at if at >= 0 else at + order]  # type: ignore[no-any-return]


@kernel
def push(past: Any, order: int, x: float) -> None:
    """Keep a value; the oldest of `order` goes."""
    past.ring[past.at] = x
    past.at = 0 if past.at + 1 == order else past.at + 1
    past.count = min(past.count + 1, order)


@kernel
def forget(past: Any, sums: Any) -> None:
    """The stream was interrupted: the next value follows none of those before. What was summed up stays."""
    past.count = 0
    past.at = 0
    sums.run = 0


@kernel
def skip(sums: Any) -> None:
    """A value is not to be learned from: it is no half of any pair."""
    sums.run = 0


@kernel
def clear(sums: Any) -> None:
    """As if nothing had been gathered."""
    sums.count = 0
    sums.run = 0
    sums.sum = 0.0
    sums.product[:] = 0.0
    sums.earlier[:] = 0.0
    sums.later[:] = 0.0
    sums.pairs[:] = 0.0


@kernel
def gather(sums: Any, past: Any, order: int, x: float) -> None:
    """Add a value, and its products with those before it, to the sums. `past` must not hold it yet."""
    if sums.count == 0:
        sums.origin = x
    new = x - sums.origin
    sums.count += 1
    sums.sum += new
    run = min(sums.run, past.count)
    for steps in range(run + 1):
        old = new if steps == 0 else before(past, order, steps) - sums.origin
        sums.product[steps] += old * new
        sums.earlier[steps] += old
        sums.later[steps] += new
        sums.pairs[steps] += 1.0
    sums.run = min(run + 1, order)


@kernel
def mean_of(sums: Any) -> float:
    """Mean of the gathered values; nan of none."""
    return sums.origin + sums.sum / sums.count  # type: ignore[no-any-return]


@kernel
def covariance(sums: Any, steps: int) -> float:
    """Autocovariance about the mean at a distance of so many values, divided by the number of all values."""
    mean = sums.sum / sums.count
    about = mean * (sums.earlier[steps] + sums.later[steps]) - sums.pairs[steps] * mean * mean
    return (sums.product[steps] - about) / sums.count  # type: ignore[no-any-return]


@kernel
def solve(sums: Any, order: int, coefficients: Any) -> float:
    """Levinson and Durbin: the model of what was gathered.

    Args:
        sums: a record of SUMS.
        order: of the model, at most MOST.
        coefficients: at least `order` floats, written to; that of the last value first.

    Returns:
        SD of the innovations in units of the values; nan where there is no model: all values equal, too few of them,
        or a reflection of 1 or more, which only rounding can give.
    """
    variance = covariance(sums, 0)
    smallest = 1e-14 * sums.product[0] / sums.count  # below this nothing but rounding is left
    before_it = np.empty(MOST)
    for at in range(order):
        if not variance > smallest:
            return np.nan
        left = covariance(sums, at + 1)
        for i in range(at):
            before_it[i] = coefficients[i]
            left -= coefficients[i] * covariance(sums, at - i)
        reflection = left / variance
        if not abs(reflection) < 1.0:
            return np.nan
        coefficients[at] = reflection
        for i in range(at):
            coefficients[i] = before_it[i] - reflection * before_it[at - 1 - i]
        variance *= 1.0 - reflection * reflection
    return np.sqrt(variance) if variance > smallest else np.nan


@kernel
def innovation(past: Any, coefficients: Any, order: int, mean: float, x: float) -> float:
    """What of a value its past does not foretell, in its units; nan until the past holds `order` values."""
    if past.count < order:
        return np.nan
    left = x - mean
    for i in range(order):
        left -= coefficients[i] * (before(past, order, i + 1) - mean)
    return left


@kernel
def _gather_all(sums: Any, past: Any, order: int, values: Any) -> None:
    for x in values:
        if np.isnan(x):
            forget(past, sums)
        else:
            gather(sums, past, order, x)
            push(past, order, x)


@kernel
def _whiten_all(past: Any, sums: Any, coefficients: Any, mean: float, values: Any, out: Any) -> None:
    order = len(coefficients)
    for at in range(len(values)):
        x = values[at]
        out[at] = innovation(past, coefficients, order, mean, x)
        if np.isnan(x):
            forget(past, sums)
        else:
            push(past, order, x)


def fit(x: Floats, order: int) -> tuple[Floats, float]:
    """The model of a whole array, by the very kernels that learn it from a stream.

    Args:
        x: values; nan splits them into runs, and no product reaches across.
        order: 1 to MOST.

    Returns:
        Coefficients, that of the last value first, and the SD of the innovations in units of x.

    Raises:
        ValueError: there is no such order, too few values, or no noise in them.
    """
    if not 1 <= order <= MOST:
        raise ValueError(f"an autoregressive model has order 1 to {MOST} (got {order})")
    known = int(np.count_nonzero(~np.isnan(x)))
    if known <= 2 * order:
        raise ValueError(f"order {order} needs more than {2 * order} values (got {known}); take a longer recording")
    sums, past, coefficients = np.zeros(1, SUMS)[0], np.zeros(1, PAST)[0], np.zeros(order)
    _gather_all(sums, past, order, np.ascontiguousarray(x, dtype=np.float64))
    sd = float(solve(sums, order, coefficients))
    if not np.isfinite(sd):
        raise ValueError("the values have no noise to model; all of them are equal, or each foretells the next")
    return coefficients, sd


def innovations(x: Floats, coefficients: Floats, mean: float = 0.0) -> Floats:
    """What of each value of an array its past does not foretell, in units of x.

    Args:
        x: values; nan splits them into runs.
        coefficients: that of the last value first, at most MOST.
        mean: of x.

    Returns:
        As long as x; nan for the first len(coefficients) values of each run.
    """
    out = np.empty(len(x))
    past, sums = np.zeros(1, PAST)[0], np.zeros(1, SUMS)[0]
    values = np.ascontiguousarray(x, dtype=np.float64)
    _whiten_all(past, sums, np.ascontiguousarray(coefficients, dtype=np.float64), mean, values, out)
    return out
