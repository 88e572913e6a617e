"""How a text becomes words that can be looked up: the same for what is written and for what is searched."""

import re
import struct
import unicodedata
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from app.search.models import MAX_POSITIONS, MAX_TERM_LENGTH
from app.search.types import MAX_BODY_LENGTH, MAX_TITLE_LENGTH, Document, Language

MAX_DOCUMENT_TERMS = 1000
"""Different words of one document that can be found; reading ends there."""

_LAST_POSITION = 2**16 - 1  # each is kept in two bytes
_MAX_FREQUENCY = 2**15 - 1  # of the column
_TITLE_GAP = 8  # no phrase spans title and body
_MAX_STEMMED_LENGTH = 32  # longer ones are no words, and stemming costs by the length
_REMEMBERED_WORDS = 50_000

# Scripts written without spaces: Thai and Lao, Myanmar, Khmer, kana, Han, Hangul (whose words carry their particles).
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# Signs that belong to the letter before them, but that `\w` does not match.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0903\u093a-\u094f"
    "\u0980-\u0983\u09bc-\u09cd\u0a01-\u0a03\u0a3c-\u0a51\u0a81-\u0a83\u0abc-\u0acd\u0b82\u0bbe-\u0bcd\u0c00-\u0c04"
    "\u0c3e-\u0c56\u0d00-\u0d03\u0d3b-\u0d4d"
)
_LETTER = rf"[^\W{_UNSPACED}]"
_WORD = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*")
_HUMP = re.compile(r"_|[a-z0-9][A-Z]|[A-Z][A-Z][a-z]")
_PART = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z]|[_\d]|$)|[A-Z]?[^A-Z_]+|[A-Z]+")
_LATIN = re.compile("[a-z\u00df-\u024f\u1e00-\u1eff]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_ENDINGS = (
    *("able", "ably", "al", "ally", "ance", "ation", "c", "cal", "cation", "e", "ed", "edly", "er", "es", "ful", "ial"),
    *("ible", "ic", "ing", "ingly", "ion", "ional", "ions", "ious", "ism", "ist", "ity", "ive", "ively", "ize", "less"),
    *("ly", "ment", "ness", "ous", "s", "tion", "tional", "ual", "ure", "y"),
)


class Token(NamedTuple):
    """A word of a text: what it is looked up by, which word of the text it is, and where it stands."""

    term: str
    position: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Occurrences:
    """How often a document has a word, title words twice, and where: the words before it, two bytes each."""

    frequency: int
    positions: bytes


@dataclass(frozen=True, slots=True)
class Analysis:
    """A document's words, and how many it has altogether."""

    terms: dict[str, Occurrences]
    length: int


@lru_cache(_REMEMBERED_WORDS)
def term_of(word: str, language: Language) -> str:
    """The form in which one word is looked up: folded (NFKC, no case), its stem, without accents on Latin letters."""
    term = word.lower() if word.isascii() else "".join(_fold(word).split())
    if len(term) <= _MAX_STEMMED_LENGTH and term.isalpha():
        term = _stemmer(language).stemWord(term)
    if not term.isascii() and _LATIN.fullmatch(term):
        term = _ACCENTS.sub("", unicodedata.normalize("NFKD", term))
    return term[:MAX_TERM_LENGTH]


@cache
def _stemmer(language: Language) -> Any:
    import snowballstemmer  # noqa: PLC0415 - its thirty languages are a fiftieth of a start

    return snowballstemmer.stemmer(language.value)


def beginnings(prefix: str, language: Language) -> tuple[str, list[str]]:
    """What words in the index begin with that begin with `prefix`, and those whose stems are shorter than it.

    The latter are guessed by common endings: `authenticat` also stands for `authent`, the stem of `authentication`.
    """
    folded = "".join(_fold(prefix[:MAX_TERM_LENGTH]).split())
    stems = {term_of(prefix[:MAX_TERM_LENGTH] + ending, language) for ending in _ENDINGS}
    return folded, sorted(stem for stem in stems if not stem.startswith(folded))


def tokens(
    text: str, language: Language, *, is_query: bool = False, places: Container[int] | None = None
) -> Iterator[Token]:
    """The words of a text in their order.

    A name such as `getUserName` or `user_name` is one word, and in a text each of its parts is one too. Scripts without
    spaces give each pair of neighbouring characters, and in a text the last character too. Whoever searches asks for
    the whole name, and for pairs.

    With `places`, words with stems are left out but for those at these positions: to find a stem is what costs.
    """
    position = 0
    for match in _WORD.finditer(text):
        word = match[0]
        start, end = match.span()
        if match.lastgroup:
            yield from _pairs(word, position, start, is_query=is_query)
            position += len(word)
        elif (word.islower() and "_" not in word) or _HUMP.search(word) is None:
            if places is None or position in places:
                yield Token(term_of(word[:MAX_TERM_LENGTH], language), position, start, end)
            position += 1
        else:
            parts = list(_PART.finditer(word))
            if parts and (places is None or position in places):  # without parts, nothing but underscores
                whole = word.replace("_", "")[:MAX_TERM_LENGTH]
                yield Token(term_of(whole, language), position, start, end)
            if not is_query and len(parts) > 1:
                for number, part in enumerate(parts, start=position):
                    if places is None or number in places:
                        term = term_of(part[0][:MAX_TERM_LENGTH], language)
                        yield Token(term, number, start + part.start(), start + part.end())
            position += len(parts)


def analyse(document: Document) -> Analysis:
    """The words of a document as they are kept in the index."""
    places: dict[str, list[int]] = {}
    in_title = _read(document.title[:MAX_TITLE_LENGTH], document.language, 0, places)
    weights = {term: len(found) for term, found in places.items()}
    begin = _behind(in_title)
    end = _read(document.body[:MAX_BODY_LENGTH], document.language, begin, places)
    terms = {
        term: Occurrences(min(len(found) + weights.get(term, 0), _MAX_FREQUENCY), _pack(found))
        for term, found in places.items()
    }
    return Analysis(terms, in_title + end - begin)


def body_begin(title: str, language: Language) -> int:
    """The position of the first word of a document's body."""
    last = max((token.position for token in tokens(title[:MAX_TITLE_LENGTH], language)), default=-1)
    return _behind(last + 1)


def unpack(positions: bytes) -> tuple[int, ...]:
    """The places that `Occurrences.positions` holds."""
    return struct.unpack(f">{len(positions) // 2}H", positions)


def _behind(title_length: int) -> int:
    return title_length + _TITLE_GAP if title_length else 0


def _pack(positions: list[int]) -> bytes:
    kept = positions[:MAX_POSITIONS]
    return struct.pack(f">{len(kept)}H", *kept)


def _read(text: str, language: Language, begin: int, places: dict[str, list[int]]) -> int:
    """Add the words of a text to `places`; the position behind the last of them."""
    end = begin
    for token in tokens(text, language):
        position = begin + token.position
        if position > _LAST_POSITION or (token.term not in places and len(places) == MAX_DOCUMENT_TERMS):
            break
        places.setdefault(token.term, []).append(position)
        end = position + 1
    return end


def _pairs(run: str, position: int, start: int, *, is_query: bool) -> Iterator[Token]:
    folded = _fold(run)
    is_exact = len(folded) == len(run)  # half-width kana may become fewer; then all of them are the place
    count = len(folded) - 1 if is_query and len(folded) > 1 else len(folded)
    for number in range(count):
        span = (start + number, start + min(number + 2, len(run))) if is_exact else (start, start + len(run))
        yield Token(folded[number : number + 2], position + number, *span)


def _fold(text: str) -> str:
    """NFKC and casefold, once more because folding can undo the normal form."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
