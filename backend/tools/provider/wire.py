"""The wire format of OpenAI's chat completions, from the provider's side."""

import json
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from tools.provider.faults import Faults

_WILD = {
    "prompt_tokens": -5,
    "completion_tokens": 10**18,
    "total_tokens": "many",
    "prompt_tokens_details": [],
    "completion_tokens_details": {"reasoning_tokens": 1.5},
}


def pieces(faults: Faults, body: dict[str, Any]) -> Iterator[str]:
    """The text of the answer, a word each; joined, it is the whole text."""
    if faults.empty:
        return
    if faults.huge:
        yield "x" * faults.huge
        return
    if faults.endless:
        yield from (f"word-{number} ".ljust(faults.pad, ".") for number in count(1))
    text = faults.text or f"You said: {_last_words(body)}"
    if faults.words:
        text = " ".join(f"word-{number}" for number in range(1, faults.words + 1))
    first, *others = text.split(" ")
    yield from (word.ljust(faults.pad, ".") for word in [first, *(f" {word}" for word in others)])


def chunk(identifier: str, model: str, delta: dict[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
    """One `chat.completion.chunk`; without a delta it has no choices."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": identifier,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": [] if delta is None else [choice],
        "usage": None,
    }


def completion(identifier: str, model: str, text: str, faults: Faults, usage: dict[str, Any] | None) -> dict[str, Any]:
    """One whole `chat.completion`."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": faults.finish,
    }
    answer = {
        "id": identifier,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
    }
    return answer if usage is None else {**answer, "usage": usage}


def usage_of(faults: Faults, body: dict[str, Any], text: str) -> dict[str, Any] | None:
    """What the provider says it counted: words."""
    prompt = sum(len(_text_of(message).split()) for message in body["messages"])
    answer = len(text.split())
    told: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": answer + faults.reasoning,
        "total_tokens": prompt + answer + faults.reasoning,
        "prompt_tokens_details": {"cached_tokens": prompt // 2, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": faults.reasoning, "audio_tokens": 0},
    }
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return {"": told, "none": None, "zero": zero, "wild": _WILD}[faults.usage]


def error(status: int, message: str = "") -> dict[str, Any]:
    """A refusal in OpenAI's words."""
    code = {429: "rate_limit_exceeded", 401: "invalid_api_key", 404: "model_not_found"}.get(status)
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message or f"told to answer {status}", "type": kind, "param": None, "code": code}}


def event(data: dict[str, Any] | str, *, pings: bool = False) -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    newline = "\r\n" if pings else "\n"
    return f"{f': ping{newline}{newline}' if pings else ''}data: {text}{newline}{newline}".encode()


def _last_words(body: dict[str, Any]) -> str:
    asked = [_text_of(message) for message in body["messages"] if message.get("role") == "user"]
    return asked[-1] if asked else "nothing"


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""
