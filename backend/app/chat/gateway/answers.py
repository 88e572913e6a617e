"""Completions on the wire."""

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import anyio
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.chat.gateway.errors import ReplyInterruptedError, UnknownModelError
from app.chat.gateway.types import Speech, SpeechEvent
from app.chat.responses import sse
from app.core.errors import AppError, InvalidInputError, ServiceUnavailableError
from app.core.problems import PROBLEM_MEDIA_TYPE
from app.db.errors import to_app_error
from app.llm.errors import ModelNotFoundError
from app.llm.openai_format import CompletionHead, error_body
from app.llm.types import INTERRUPTED, Finish, TextDelta, Usage

_KEPT = {"x-should-retry": "false"}
"""OpenAI's clients obey it (`_should_retry` of their `_base_client.py`); else they repeat 408, 409, 429 and 5xx."""
_DONE = b"data: [DONE]\n\n"


class CompletionAnswer(Response):
    """A reply as one completion, or chunk by chunk.

    It waits for the model before it begins, so that a failure has a status of its own; when the caller hangs up, it
    ends at once. `created` is in seconds since 1970.
    """

    def __init__(
        self,
        request: Request,
        speech: Speech,
        *,
        created: int,
        is_stream: bool,
        wants_usage: bool,
        longest_seconds: float,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__()
        self._request = request
        self._speech = speech
        self._created = created
        self._is_stream = is_stream
        self._wants_usage = wants_usage
        self._longest_seconds = longest_seconds
        self._extra = {"Cache-Control": "no-store", **headers}
        self._has_begun = False
        # What is kept with its failure would be kept again, and the model be asked again.
        self._refusal_headers = {} if speech.metadata is None else _KEPT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, however long the model takes within the limit of replies."""
        if "merit.deadline" in scope:
            scope["merit.deadline"].when = math.inf

        async def begun(message: Message) -> None:
            self._has_begun = True
            await send(message)

        async with anyio.create_task_group() as group:
            group.start_soon(_until_gone, receive, group.cancel_scope)
            try:
                with anyio.fail_after(self._longest_seconds):
                    await self._answer(scope, receive, begun)
            except TimeoutError:
                await self._fail(ServiceUnavailableError("The reply took too long."), scope, receive, send)
            except ModelNotFoundError:  # of which only its provider knew
                await self._fail(UnknownModelError(), scope, receive, send)
            except AppError as error:
                await self._fail(error, scope, receive, send)
            except Exception as error:
                refusal = to_app_error(error) if self._has_begun or self._refusal_headers else None
                if refusal is None:  # what has not begun is answered as everywhere
                    raise
                await self._fail(refusal, scope, receive, send)
            group.cancel_scope.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._speech.events()) as events:
            if self._is_stream:
                await self._stream(events, send)
            else:
                content = orjson.dumps(await self._whole(events))
                await Response(content, 200, self._extra, "application/json")(scope, receive, send)

    async def _whole(self, events: AsyncGenerator[SpeechEvent, None]) -> dict[str, Any]:
        texts: list[str] = []
        usage, finish = Usage(0, 0, 0), Finish(INTERRUPTED, "", "")
        async for event in events:
            match event:
                case TextDelta():
                    texts.append(event.text)
                case Usage():
                    usage = event
                case Finish():
                    finish = event
        if finish.reason == INTERRUPTED:
            raise ReplyInterruptedError
        return self._head(finish.model).completion("".join(texts), finish.reason, usage)

    async def _stream(self, events: AsyncGenerator[SpeechEvent, None], send: Send) -> None:
        head = self._head(self._speech.model)
        usage: Usage | None = None
        async for event in events:
            if not self._has_begun:
                headers = {**sse.HEADERS, **self._extra}
                start = Response(None, 200, headers, sse.MEDIA_TYPE)
                del start.headers["content-length"]
                await send({"type": "http.response.start", "status": 200, "headers": start.raw_headers})
                await _send_event(send, head.chunk({"role": "assistant", "content": ""}))
            match event:
                case TextDelta():
                    await _send_event(send, head.chunk({"content": event.text}))
                case Usage():
                    usage = event
                case Finish(reason=reason):
                    if reason == INTERRUPTED:
                        raise ReplyInterruptedError
                    await _send_event(send, head.chunk({}, reason))
        if self._wants_usage and usage is not None:
            await _send_event(send, head.usage_chunk(usage))
        await send({"type": "http.response.body", "body": _DONE})

    async def _fail(self, error: AppError, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse; what has begun ends with the event by which OpenAI's streams tell of a failure."""
        if not self._has_begun:
            refusal = render_gateway_error(error, self._request)
            refusal.headers.update(self._refusal_headers)
            await refusal(scope, receive, send)
        else:
            await _send_event(send, {"error": _error_of(error)})
            await send({"type": "http.response.body", "body": b""})

    def _head(self, model: str) -> CompletionHead:
        return CompletionHead(self._speech.id, self._created, model, self._speech.metadata)


def render_gateway_error(error: AppError, request: Request) -> Response:
    """A refusal as a problem document (RFC 9457) that has OpenAI's `error` member too."""
    document = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status_code,
        **({} if error.detail is None else {"detail": error.detail}),
        "code": error.code,
        "request_id": request.scope.get("merit.request_id"),
        **error.extra,
        "error": _error_of(error),
    }
    headers = {"Cache-Control": "no-store", **error.headers}
    return Response(orjson.dumps(document, default=str), error.status_code, headers, PROBLEM_MEDIA_TYPE)


def _error_of(error: AppError) -> dict[str, Any]:
    faults = error.extra.get("errors") if isinstance(error, InvalidInputError) else None
    if not faults:
        return error_body(error.status_code, error.code, error.detail or error.title)
    place = ".".join(str(step) for step in faults[0]["loc"][1:])
    return error_body(error.status_code, error.code, f"{place}: {faults[0]['msg']}", place or None)


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _send_event(send: Send, data: dict[str, Any]) -> None:
    body = b"data: %b\n\n" % orjson.dumps(data)
    await send({"type": "http.response.body", "body": body, "more_body": True})
