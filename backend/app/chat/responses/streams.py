"""Answers that are made after the request's transaction: streams of events, and replies that are waited for."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from app.auth.guests.types import Owner
from app.chat.responses import sse
from app.chat.responses.components import ReplyComponents
from app.chat.responses.schemas import ResponseRead
from app.chat.responses.types import Event
from app.chat.responses.views import ReplyReader, ReplyView


class EventStream(StreamingResponse):
    """A reply's events, one after the other as the client takes them."""

    def __init__(self, events: AsyncGenerator[Event | None, None], headers: Mapping[str, str]) -> None:
        self._chunks = _encoded(events)
        super().__init__(self._chunks, media_type=sse.MEDIA_TYPE, headers={**sse.HEADERS, **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the last event, or until the client is gone."""
        async with aclosing(self._chunks):
            await super().__call__(scope, receive, send)


class AwaitedReply(Response):
    """A reply as JSON once it is over, or as it is after some seconds."""

    def __init__(
        self, request: Request, owner: Owner, response_id: UUID, *, seconds: float, headers: Mapping[str, str]
    ) -> None:
        super().__init__()
        self._request = request
        self._owner = owner
        self._response_id = response_id
        self._seconds = seconds
        self._extra = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, read the reply, and answer."""
        replies: ReplyComponents = self._request.app.state.merit.replies
        if self._seconds:
            is_draining = drain_of(self._request)
            await replies.hub.wait_for_end(self._response_id, self._seconds, is_draining=is_draining)
        async with replies.parts.database.read_session() as session:
            view = await ReplyReader(session, replies.parts).view(self._owner, self._response_id)
        await json_answer(view, self._extra)(scope, receive, send)


def json_answer(view: ReplyView, headers: Mapping[str, str]) -> Response:
    """A reply as JSON, with 202 and where to ask again while it is not over."""
    location = {} if view.is_over else {"Location": f"/api/v1/responses/{view.response.id}"}
    body = ResponseRead.model_validate(view).model_dump_json()
    return Response(body, 200 if view.is_over else 202, {**headers, **location}, media_type="application/json")


def drain_of(request: Request) -> Callable[[], bool]:
    """Whether the server that took a request is on its way out."""
    drain = request.scope.get("state", {}).get("drain")
    return lambda: drain is not None and drain.is_draining


async def _encoded(events: AsyncGenerator[Event | None, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for event in events:
            yield sse.HEARTBEAT if event is None else sse.encode(event)
