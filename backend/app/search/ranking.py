"""BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, formula 3.15).

The inverse document frequency is the one that never becomes negative, ln(1 + (N - n + 0.5) / (n + 0.5)).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

K1 = 1.2
B = 0.75
SCORE_UNIT = 1_000_000
"""Databases add up scores as whole millionths, whose sum is the same in any order."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many documents there are, how long they are on average, and the smallest id of those counted."""

    documents: int
    average_length: float
    since: int


@dataclass(frozen=True, slots=True)
class Weights:
    """What the formula needs besides a document's own figures.

    A word of weight w that a document of l words has f times is worth w·f / (f + `base` + `slope`·l).
    """

    words: tuple[float, ...]
    base: float
    slope: float


def weigh(statistics: Statistics, frequencies: Sequence[int]) -> Weights:
    """The weights of words that are in so many documents each."""
    count = statistics.documents
    return Weights(
        words=tuple(
            round(SCORE_UNIT * (K1 + 1) * log(1 + (count - min(found, count) + 0.5) / (min(found, count) + 0.5)), 3)
            for found in frequencies
        ),
        base=K1 * (1 - B),
        slope=K1 * B / max(statistics.average_length, 1.0),
    )
