"""A conversation's title, made from its first words."""

import re

MAX_HEURISTIC_TITLE_LENGTH = 60

_CODE_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_MARKUP = re.compile(r"^[#>*\-\s]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")
_WHITE_SPACE = re.compile(r"\s+")
_LOOKED_AT = 2000


def title_from(text: str) -> str | None:
    """The first sentence of a message without code and markup, cut at a word; None where nothing is left."""
    prose = _CODE_FENCE.sub(" ", text[:_LOOKED_AT])
    for line in prose.splitlines():
        words = _WHITE_SPACE.sub(" ", _MARKUP.sub("", line)).strip()
        if words:
            return _cut(_SENTENCE_END.split(words, maxsplit=1)[0])
    return None


def _cut(sentence: str) -> str:
    if len(sentence) <= MAX_HEURISTIC_TITLE_LENGTH:
        return sentence
    head = sentence[: MAX_HEURISTIC_TITLE_LENGTH - 1]
    whole_words = head.rpartition(" ")[0]
    return f"{(whole_words or head).rstrip(' ,;:')}…"
