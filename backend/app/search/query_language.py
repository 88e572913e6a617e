"""What people type to search: `words "in this order" -without begin*`. Every text is a query; none is a mistake."""

import re
from dataclasses import dataclass

from app.search.analysis import Token, tokens
from app.search.types import Language

MAX_QUERY_LENGTH = 500
MAX_WORDS = 16
"""Different words that are looked up; what follows is left out."""

MAX_PREFIXES = 2
MAX_EXCLUDED = 8
MIN_PREFIX_LENGTH = 2

_ITEM = re.compile(r'(?P<minus>(?<!\S)-(?=[^\s-]))?(?:"(?P<quoted>[^"]*)(?:"|$)|(?P<plain>[^\s"]+))')

Phrase = tuple[tuple[str, int], ...]
"""Words and their distances from the first one."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a document must have and must not have.

    `words` has those of the phrases too. `is_strict` is set where something was quoted: a document with some of the
    words is then no answer.
    """

    words: tuple[str, ...]
    prefixes: tuple[str, ...]
    phrases: tuple[Phrase, ...]
    excluded: tuple[str, ...]
    excluded_phrases: tuple[Phrase, ...]
    is_strict: bool

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look for."""
        return not self.words and not self.prefixes


class _Parser:
    def __init__(self, language: Language) -> None:
        self._language = language
        self._words: dict[str, None] = {}
        self._prefixes: dict[str, None] = {}
        self._phrases: dict[Phrase, None] = {}
        self._excluded: dict[str, None] = {}
        self._excluded_phrases: dict[Phrase, None] = {}
        self._is_strict = False

    def parse(self, text: str) -> Query:
        for item in _ITEM.finditer(text[:MAX_QUERY_LENGTH]):
            self._take(item)
        return Query(
            tuple(self._words),
            tuple(self._prefixes),
            tuple(self._phrases),
            tuple(self._excluded),
            tuple(self._excluded_phrases),
            self._is_strict,
        )

    def _take(self, item: re.Match[str]) -> None:
        is_quoted = item["quoted"] is not None
        text = item["quoted"] if is_quoted else item["plain"]
        found = list(tokens(text, self._language, is_query=True))
        if not found:
            return
        if item["minus"]:
            self._exclude(found)
        elif len(found) == 1 and not is_quoted and _is_prefix(text, found[0]):
            if len(self._prefixes) < MAX_PREFIXES:
                self._prefixes[text[found[0].start : found[0].end]] = None
        else:
            self._require(found, is_quoted=is_quoted)

    def _require(self, found: list[Token], *, is_quoted: bool) -> None:
        known = [token for token in found if self._has_room_for(token.term)]
        self._is_strict |= is_quoted
        if len(known) > 1:
            self._phrases[_phrase(known)] = None

    def _has_room_for(self, word: str) -> bool:
        if word not in self._words and len(self._words) < MAX_WORDS:
            self._words[word] = None
        return word in self._words

    def _exclude(self, found: list[Token]) -> None:
        if len(self._excluded) + sum(map(len, self._excluded_phrases)) + len(found) > MAX_EXCLUDED:
            return
        if len(found) == 1:
            self._excluded[found[0].term] = None
        else:
            self._excluded_phrases[_phrase(found)] = None


def parse(text: str, language: Language) -> Query:
    """The query that a text is, at most `MAX_QUERY_LENGTH` characters of it.

    Words are looked for in any order, all of them. Words in quotes, and parts of a word such as `user@example.com`,
    stand side by side. A minus excludes a word or a phrase. An asterisk stands for the rest of a word of at least
    two characters; a single character of a script without spaces needs none.
    """
    return _Parser(language).parse(text)


def _is_prefix(text: str, token: Token) -> bool:
    length = token.end - token.start
    is_character = length == 1 and len(token.term) == 1 and not token.term.isascii()
    return is_character or (text.endswith("*") and token.end == len(text.rstrip("*")) and length >= MIN_PREFIX_LENGTH)


def _phrase(found: list[Token]) -> Phrase:
    return tuple((token.term, token.position - found[0].position) for token in found)
