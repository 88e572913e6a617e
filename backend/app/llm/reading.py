"""Reading the chunks of a stream of chat completions. The SDK checks none of their values, so that is done here."""

from collections.abc import Iterator
from typing import Any

from app.core.providers import MAX_MODEL_NAME_LENGTH
from app.core.text import clean_header
from app.llm.errors import ProviderError
from app.llm.text import MOST_BYTES_A_TOKEN, TextCleaner
from app.llm.types import Fault, Finish, ReasoningDelta, TextDelta, Usage, UsageSource

_MAX_REASON_LENGTH = 32
_MAX_TOKENS = 10**9


class ChunkReader:
    """What the chunks of one reply say. Text beyond `max_bytes` of UTF-8, reasoning included, is an error.

    Beyond what `max_tokens` tokens can be it is cut instead: not every provider heeds them. `has_begun` is whether any
    came yet, `is_full` whether it was cut.
    """

    def __init__(self, provider: str, model: str, max_bytes: int, max_tokens: int | None = None) -> None:
        most = max_bytes if max_tokens is None else max_tokens * MOST_BYTES_A_TOKEN
        self._provider = provider
        self._model = model
        self._room = min(max_bytes, most)
        self._is_cut_by_tokens = most < max_bytes
        self._cleaners = {TextDelta: TextCleaner(), ReasoningDelta: TextCleaner()}
        self._reason: str | None = None
        self._is_empty = True
        self.has_begun = False
        self.is_full = False

    def read(self, chunk: Any) -> Iterator[TextDelta | ReasoningDelta | Usage]:
        """What one chunk tells.

        Raises:
            ProviderError: the reply is too long; all that has room was given out before.
        """
        self._is_empty = False
        self._model = clean_header(_text(chunk, "model"), MAX_MODEL_NAME_LENGTH) or self._model
        choices = getattr(chunk, "choices", None)
        for choice in choices if isinstance(choices, list) else []:
            if getattr(choice, "index", 0) != 0:
                continue
            delta = getattr(choice, "delta", None)
            yield from self._cut(ReasoningDelta, _text(delta, "reasoning_content") or _text(delta, "reasoning"))
            yield from self._cut(TextDelta, _text(delta, "content") or _text(delta, "refusal"))
            reason = clean_header(_text(choice, "finish_reason"), _MAX_REASON_LENGTH)
            self._reason = reason or self._reason
        if (usage := read_usage(getattr(chunk, "usage", None))) is not None:
            yield usage

    def finish(self) -> Iterator[TextDelta | Finish]:
        """How the reply ended, now that no chunk comes any more.

        Raises:
            ProviderError: it did not end: the stream was cut, or was none.
        """
        if rest := self._cleaners[TextDelta].flush():
            yield TextDelta(rest)
        if self._is_empty:
            raise ProviderError(Fault.MALFORMED, "The answer is no stream of chunks.")
        if self.is_full:
            self._reason = "length"
        if self._reason is None:
            raise ProviderError(Fault.CONNECTION, "The stream ended before the reply did.")
        yield Finish(self._reason, self._provider, self._model)

    def _cut(self, kind: type[TextDelta] | type[ReasoningDelta], text: str) -> Iterator[TextDelta | ReasoningDelta]:
        """The delta that this text is, or as much of it as there is room for."""
        clean = self._cleaners[kind].feed(text) if text and not self.is_full else ""
        size = len(clean) if clean.isascii() else len(clean.encode())
        if size > self._room:
            if kept := clean.encode()[: self._room].decode(errors="ignore"):
                yield kind(kept)
            if not self._is_cut_by_tokens:
                raise ProviderError(Fault.TOO_LONG, "The reply is longer than replies may be.")
            self.is_full = True
            return
        self._room -= size
        if clean:
            self.has_begun = True
            yield kind(clean)


def read_usage(usage: Any) -> Usage | None:
    """The provider's count, or None where it tells none, or one that cannot be."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if prompt is None or completion is None or not prompt + completion:
        return None
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        prompt=prompt,
        completion=completion,
        total=prompt + completion,
        cached=min(_count(details, "cached_tokens") or 0, prompt),
        cache_write=min(_count(details, "cache_write_tokens") or 0, prompt),
        reasoning=min(_count(getattr(usage, "completion_tokens_details", None), "reasoning_tokens") or 0, completion),
        source=UsageSource.PROVIDER,
    )


def _text(thing: Any, name: str) -> str:
    value = getattr(thing, name, None)
    return value if isinstance(value, str) else ""


def _count(thing: Any, name: str) -> int | None:
    value = getattr(thing, name, None)
    return value if type(value) is int and 0 <= value <= _MAX_TOKENS else None
