"""BM25 as the textbook has it, over all documents one by one."""

import math
from collections.abc import Sequence

Text = Sequence[str]


def bm25(words: Sequence[str], texts: Sequence[Text], *, k1: float = 1.2, b: float = 0.75) -> list[float]:
    """The score of each text, the sum of its words' idf * f * (k1 + 1) / (f + k1 * (1 - b + b * length / average))."""
    average = sum(len(text) for text in texts) / len(texts)
    scores = []
    for text in texts:
        score = 0.0
        for word in words:
            containing = sum(word in other for other in texts)
            idf = math.log(1 + (len(texts) - containing + 0.5) / (containing + 0.5))
            frequency = text.count(word)
            score += idf * frequency * (k1 + 1) / (frequency + k1 * (1 - b + b * len(text) / average))
        scores.append(score)
    return scores
