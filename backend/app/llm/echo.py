"""The model that needs no provider: it repeats and counts."""

import asyncio
from collections.abc import AsyncGenerator

from app.core.providers import BUILT_IN_PROVIDER
from app.llm.text import estimate_usage
from app.llm.types import Finish, ModelRequest, ProviderEvent, TextDelta

ECHO_MODEL = f"{BUILT_IN_PROVIDER}/echo"


class EchoProvider:
    """Answers with what it was told, a word at a time, and says that it does no more than that.

    It stops at `max_tokens` words, as models do, and waits `delay_seconds` before each.
    """

    name = BUILT_IN_PROVIDER

    def __init__(self, *, max_reply_bytes: int, delay_seconds: float = 0) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._delay_seconds = delay_seconds

    async def stream(self, model: str, request: ModelRequest) -> AsyncGenerator[ProviderEvent, None]:
        """The reply to a request."""
        said = next((one.content for one in reversed(request.messages) if one.role == "user"), "")
        messages = sum(one.role != "system" for one in request.messages)
        head = f"{ECHO_MODEL} repeats and counts: {len(said.split())} words in message {messages}.\n\n"
        text = (head + said).encode()[: self._max_reply_bytes].decode(errors="ignore")
        words = text.split(" ")
        kept = words[: request.params.max_tokens]
        size = 0
        for number, word in enumerate(kept):
            await asyncio.sleep(self._delay_seconds)
            delta = word if number == 0 else f" {word}"
            size += len(delta.encode())
            if delta:
                yield TextDelta(delta)
        yield estimate_usage(request, size)
        is_cut = len(kept) < len(words) or len(text) < len(head + said)
        yield Finish("length" if is_cut else "stop", self.name, model)

    async def close(self) -> None:
        """There is nothing to close."""
