"""What a transient looks like, and which weights on past values find its onset. Set-up only, nothing per reading."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ANY_LEVEL = 1e4  # variance of a level that nothing is known of, in noise variances: its weight is nil
_TOLD_APART = 2.0  # readings of a rise, from which a transient can be told from one wild reading
_SLOWER_RISES = (2, 3, 4, 6)  # times as long as that of what is looked for
_SLOWER_DECAYS = (1, 3)
_APART = 0.9  # of a decay; a rise as long as it has no shape that could be computed
_SLOWER_SINCE_S = np.linspace(0.03, 0.3, 36)  # how long ago slower events began


def peak_s(rise_s: float, decay_s: float) -> float:
    """From onset to peak."""
    return float(np.log(decay_s / rise_s) / (1 / rise_s - 1 / decay_s))


def transient(since_s: npt.NDArray[np.floating[Any]], rise_s: float, decay_s: float) -> Floats:
    """exp(-t / decay) - exp(-t / rise), scaled to a peak of 1; 0 before the onset.

    Args:
        since_s: seconds since the onset, of any shape.
        rise_s: time constant, shorter than the decay.
        decay_s: time constant.
    """
    at = np.maximum(np.append(np.ravel(since_s), peak_s(rise_s, decay_s)), 0.0)
    shape = np.exp(-at / decay_s) - np.exp(-at / rise_s)
    return np.asarray((shape[:-1] / shape[-1]).reshape(np.shape(since_s)))


def believable(leap: float, rise_s: float, rate_hz: float) -> float:
    """How far one reading may count from what was expected: `leap`, and more where a rise is less than two readings.

    There a transient may be as high in one reading as an artefact of one reading is, and to cut both costs delay.
    """
    return leap * max(1.0, _TOLD_APART / (rise_s * rate_hz))


def onset_weights(rate_hz: float, taps: int, rise_s: float, decay_s: float, age_s: float, slower: float) -> Floats:
    """Weights on the last values, newest first, for the largest ratio of a transient to all that is none.

    w ~ C^-1 s with s the transient as it stands `age_s` after its onset, and C the covariance of what it must be told
    from: white noise, any level, and events that rise two to six times as slowly and began 30 to 300 ms ago (the
    matched filter; Kay 1998, Fundamentals of Statistical Signal Processing II, 4.3). Of unit norm, so white noise of
    SD 1 gives SD 1, and of sum 0, so a level gives nothing.

    Args:
        rate_hz: values a second.
        taps: how many.
        rise_s: time constant of the rise.
        decay_s: time constant of the decay.
        age_s: how long after the onset the transient is matched.
        slower: root-mean-square size of slower events, in SD of the noise of one value; 0: there are none.
    """
    ago = np.arange(taps) / rate_hz
    events = np.array(
        [
            transient(since - ago, longer * rise_s, slowly * decay_s)
            for longer in _SLOWER_RISES
            for slowly in _SLOWER_DECAYS
            if longer * rise_s < _APART * slowly * decay_s
            for since in _SLOWER_SINCE_S
        ]
        or [np.zeros(taps)]
    )
    covariance = np.eye(taps) + _ANY_LEVEL + slower**2 * events.T @ events / len(events)
    weights = np.linalg.solve(covariance, transient(age_s - ago, rise_s, decay_s))
    weights -= weights.mean()
    return np.asarray(weights / np.sqrt(weights @ weights))
