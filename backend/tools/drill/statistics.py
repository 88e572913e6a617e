"""Whether two samples may come from one source."""

import math
from collections.abc import Sequence

_TERMS = 100


def kolmogorov_smirnov(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov test: the largest distance between the distributions, and its p-value.

    The p-value is Stephens' approximation, good from about 20 values a sample (Numerical Recipes, section 14.3).
    """
    left, right = sorted(first), sorted(second)
    i = j = 0
    distance = 0.0
    while i < len(left) and j < len(right):
        value = min(left[i], right[j])
        while i < len(left) and left[i] == value:
            i += 1
        while j < len(right) and right[j] == value:
            j += 1
        distance = max(distance, abs(i / len(left) - j / len(right)))
    root = math.sqrt(len(left) * len(right) / (len(left) + len(right)))
    return distance, _tail((root + 0.12 + 0.11 / root) * distance)


def _tail(x: float) -> float:
    """The probability that Kolmogorov's distribution exceeds `x`."""
    if x < 0.2:  # the series below converges slowly there; the value is 1 to twelve digits
        return 1.0
    total = math.fsum((1 if k % 2 else -1) * math.exp(-2 * (k * x) ** 2) for k in range(1, _TERMS))
    return min(1.0, max(0.0, 2 * total))
