"""The stretch of a text that shows why it was found."""

import re
from collections import Counter
from collections.abc import Collection, Container, Sequence

from app.search.analysis import tokens
from app.search.types import Language, Segment

SNIPPET_LENGTH = 240
"""Characters of a snippet, at most, without the dots where it was cut."""

_MAX_MATCHES = 200  # of which the best stretch is chosen
_LEAD = 40  # characters before the first match
_ELLIPSIS = "…"
_SPACES = re.compile(r"\s+")

_Match = tuple[int, int, str]


def highlight(text: str, terms: Collection[str], language: Language) -> list[Segment]:
    """The whole of a short text, with what was searched for marked."""
    return _segments(text, _matches(text, terms, language), 0, len(text))


def snippet(text: str, terms: Collection[str], language: Language, places: Container[int]) -> list[Segment]:
    """The stretch with the most different words that were searched for, on one line.

    `places` are the positions at which the index has these words: to look for them in the whole of a long text would
    cost as much as to index it again.
    """
    matches = _matches(text, terms, language, places)
    begin = _begin(text, matches[_best(matches)][0]) if matches else 0
    end = min(len(text), begin + SNIPPET_LENGTH)
    if end < len(text):
        end = next((match.start() for match in _SPACES.finditer(text, end - _LEAD, end)), end)
    return _segments(text, matches, begin, end)


def _matches(
    text: str, terms: Collection[str], language: Language, places: Container[int] | None = None
) -> list[_Match]:
    """Where words stand that were searched for, the first ones."""
    found: list[_Match] = []
    for token in tokens(text, language, places=places):
        if token.term in terms:
            found.append((token.start, token.end, token.term))
            if len(found) == _MAX_MATCHES:
                break
    return found


def _best(matches: Sequence[_Match]) -> int:
    """The match with the most different words in the stretch that it leads; the first of equals."""
    best, most, behind = 0, 0, 0
    within: Counter[str] = Counter()
    for number, (start, _, term) in enumerate(matches):
        while behind < len(matches) and matches[behind][0] - start < SNIPPET_LENGTH - 2 * _LEAD:
            within[matches[behind][2]] += 1
            behind += 1
        if len(within) > most:
            best, most = number, len(within)
        within[term] -= 1
        if not within[term]:
            del within[term]
    return best


def _begin(text: str, first: int) -> int:
    """Where a snippet begins that leads up to its first match, at a word where there are spaces."""
    if first <= _LEAD:
        return 0
    return next((match.end() for match in _SPACES.finditer(text, first - _LEAD, first)), first - _LEAD)


def _segments(text: str, matches: Sequence[_Match], begin: int, end: int) -> list[Segment]:
    """The text from `begin` to `end`, cut where matches begin and end; those that overlap are one."""
    found: list[Segment] = []
    position = begin
    reach = begin
    within = [(max(begin, min(start, end)), max(begin, min(stop, end))) for start, stop, _ in sorted(matches)]
    for start, stop in [*within, (end, end)]:
        if start > reach or start == end:
            found += [Segment(text[position:reach], is_match=True), Segment(text[reach:start], is_match=False)]
            position = start
        reach = max(reach, stop)
    cut = [Segment(_ELLIPSIS, is_match=False)]
    shown = [Segment(_SPACES.sub(" ", one.text), one.is_match) for one in found if one.text]
    return [*(cut if begin else []), *shown, *(cut if end < len(text) else [])]
