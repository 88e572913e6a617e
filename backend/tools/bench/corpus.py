"""Made-up messages and queries, the same in each run.

Messages have 5 to 300 words of 30,000, distributed as in speech (Zipf's law).
"""

import random
from collections.abc import Callable, Iterator
from itertools import accumulate

WORDS = 30_000
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "il", "or", "um")]


class Corpus:
    """The words, what is said with them, and what is searched for."""

    def __init__(self) -> None:
        self._random = random.Random(7)  # noqa: S311 - not for secrets
        seen: dict[str, None] = {}
        while len(seen) < WORDS:
            seen["".join(self._random.choices(_SYLLABLES, k=self._random.randint(1, 4)))] = None
        self.words = list(seen)
        self._weights = list(accumulate(1 / (rank + 2) for rank in range(WORDS)))

    def messages(self) -> Iterator[str]:
        """Messages without end."""
        while True:
            length = min(300, max(5, round(self._random.lognormvariate(3.7, 0.9))))
            yield " ".join(self._random.choices(self.words, cum_weights=self._weights, k=length))

    def pick(self, first: int, last: int) -> str:
        """A word with a rank in this range."""
        return self.words[self._random.randint(first, last)]

    def queries(self, each: int) -> dict[str, list[str]]:
        """Queries by their kind, so many of each."""
        kinds: dict[str, Callable[[], str]] = {
            "one rare word": lambda: self.pick(10_000, 29_999),
            "one word of 1 % of the messages": lambda: self.pick(400, 1_000),
            "one of the most common words": lambda: self.pick(0, 9),
            "two words": lambda: f"{self.pick(50, 1_000)} {self.pick(1_000, 10_000)}",
            "three common words": lambda: " ".join({self.pick(0, 30) for _ in range(3)}),
            "five words, hardly ever together": lambda: " ".join(self.pick(20, 20_000) for _ in range(5)),
            "a phrase of two common words": lambda: f'"{self.pick(0, 10)} {self.pick(0, 10)}"',
            "a word without another": lambda: f"{self.pick(50, 500)} -{self.pick(0, 10)}",
            "a beginning": lambda: f"{self.pick(0, 500)[:3]}*",
        }
        return {kind: [make() for _ in range(each)] for kind, make in kinds.items()}
