"""Replies and refusals in the words of OpenAI's chat completions, for clients that were made for those."""

from dataclasses import dataclass
from typing import Any

from app.llm.types import Usage

REASONS = frozenset({"stop", "length", "content_filter", "tool_calls", "function_call"})
"""The ends that such clients know."""


@dataclass(frozen=True, slots=True)
class CompletionHead:
    """What every part of one completion repeats; `created` is in seconds since 1970."""

    id: str
    created: int
    model: str
    metadata: dict[str, str] | None = None

    def completion(self, text: str, reason: str, usage: Usage) -> dict[str, Any]:
        """A whole `chat.completion`."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": known_reason(reason)}
        return {**self._members("chat.completion"), "choices": [choice], "usage": usage_of(usage)}

    def chunk(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        """One `chat.completion.chunk`."""
        finish = None if reason is None else known_reason(reason)
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._members("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, usage: Usage) -> dict[str, Any]:
        """The chunk without choices that tells what was used."""
        return {**self._members("chat.completion.chunk"), "choices": [], "usage": usage_of(usage)}

    def _members(self, kind: str) -> dict[str, Any]:
        members = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return members if self.metadata is None else {**members, "metadata": self.metadata}


def usage_of(usage: Usage) -> dict[str, Any]:
    """Tokens as OpenAI names them; `source` says besides who counted."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "source": usage.source.value,
    }


def known_reason(reason: str) -> str:
    """The end of a reply in a word that clients know."""
    return reason if reason in REASONS else "stop"


def error_body(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """The `error` member of a refusal."""
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    return {"message": message, "type": kind, "param": param, "code": code}
