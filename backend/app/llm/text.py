"""Text of models: made safe to store, and counted where the provider does not."""

import re

from app.llm.types import ModelRequest, Usage

_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_REPLACEMENT = "\ufffd"
_BYTES_A_TOKEN = 4  # of English in the vocabularies of today; other languages and code have 2 to 8
_TOKENS_A_MESSAGE = 4  # what separates messages, and the role
_MOST_TOKENS_A_MESSAGE = 8  # the same where a format is wordy, and the beginning of the reply
MOST_BYTES_A_TOKEN = 16
"""More than the tokens of any reply have on average: those of Hindi and Russian, the longest of today, have about 8."""


class TextCleaner:
    """Makes the deltas of one reply storable: no control characters, no lone surrogates.

    Some providers cut between the two halves of a surrogate pair; the first one waits here for the second.
    """

    def __init__(self) -> None:
        self._half = ""

    def feed(self, text: str) -> str:
        """What can be given out after this delta; it may be empty."""
        if not self._half and not _UNSAFE.search(text):
            return text
        text = self._half + text
        self._half = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
        joined = text[: len(text) - len(self._half)].encode("utf-16-le", "surrogatepass")
        return _CONTROLS.sub("", joined.decode("utf-16-le", "replace"))

    def flush(self) -> str:
        """What stands for a half that has remained alone."""
        half, self._half = self._half, ""
        return _REPLACEMENT if half else ""


def estimate_tokens(length_bytes: int) -> int:
    """About how many tokens so many bytes of UTF-8 are."""
    return -(-length_bytes // _BYTES_A_TOKEN)


def estimate_prompt(request: ModelRequest) -> int:
    """About how many tokens a request has, where its provider does not tell."""
    return sum(estimate_tokens(len(one.content.encode())) + _TOKENS_A_MESSAGE for one in request.messages)


def most_prompt_tokens(request: ModelRequest) -> int:
    """How many tokens a request has at most, in any vocabulary of bytes: each token is one byte at least."""
    return sum(len(one.content.encode()) + _MOST_TOKENS_A_MESSAGE for one in request.messages)


def estimate_completion(reply_bytes: int, max_tokens: int | None) -> int:
    """About how many tokens a reply has: never more than its model was told to stop at."""
    tokens = estimate_tokens(reply_bytes)
    return tokens if max_tokens is None else min(tokens, max_tokens)


def estimate_usage(request: ModelRequest, reply_bytes: int) -> Usage:
    """The usage of a reply whose provider told none, or that was interrupted or cancelled."""
    prompt, completion = estimate_prompt(request), estimate_completion(reply_bytes, request.params.max_tokens)
    return Usage(prompt=prompt, completion=completion, total=prompt + completion)
