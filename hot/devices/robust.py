"""Robust location and spread of latency samples."""

import numpy as np
from numpy.typing import ArrayLike

_MAD_TO_SIGMA = 1.4826  # of a normal distribution


def robust_median(samples: ArrayLike) -> float:
    """The median of the samples.

    >>> robust_median([1.0, 2.0, 900.0])
    2.0
    """
    return float(np.median(np.asarray(samples, dtype=float)))


def robust_spread(samples: ArrayLike) -> float:
    """1.4826 x median absolute deviation / median: the relative standard deviation of normal noise.

    >>> round(robust_spread([9.0, 10.0, 11.0, 500.0, 10.0]), 3)
    0.148
    """
    values = np.asarray(samples, dtype=float)
    middle = np.median(values)
    return float(_MAD_TO_SIGMA * np.median(np.abs(values - middle)) / middle) if middle > 0 else 0.0


def midmean(samples: ArrayLike) -> float:
    """The mean of the middle half of the samples: as robust as needed, finer than a median.

    The profiler counts whole microseconds; a mean over several runs sees the fractions.

    >>> midmean([1.0, 2.0, 3.0, 900.0])
    2.5
    """
    values = np.sort(np.asarray(samples, dtype=float))
    cut = len(values) // 4
    return float(values[cut : len(values) - cut].mean())
