"""From a request for a reply to its answer, in the form that the caller wants."""

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from app.auth.guests.types import Owner
from app.chat.responses.components import ReplyComponents
from app.chat.responses.schemas import ReplyOptions
from app.chat.responses.service import ReplyService, Wish
from app.chat.responses.streams import AwaitedReply, EventStream, drain_of, json_answer
from app.chat.responses.views import ReplyReader
from app.chat.usage.service import UsageService, rate_limit_headers
from app.core.ids import new_id
from app.db.engine import Session
from app.idempotency.dependencies import REPLAYED_HEADER, Once

_PART_OF_TIMEOUT = 0.6
"""How much of a request's time is spent on waiting for a reply, so that the answer itself comes in time."""
_CANCEL_SECONDS = 2.0


class ReplyDesk:
    """Answers requests about replies of one owner."""

    def __init__(self, request: Request, session: Session, owner: Owner) -> None:
        self._request = request
        self._owner = owner
        self._replies: ReplyComponents = request.app.state.merit.replies
        self._reader = ReplyReader(session, self._replies.parts)
        self._usage = UsageService(session, self._replies.parts)
        self.service = ReplyService(session, self._replies, owner)

    async def ask(self, options: ReplyOptions, once: Once, ask: Callable[[Wish], Awaitable[None]]) -> Response:
        """Have `ask` ask for a reply, once for one `Idempotency-Key`, and answer with it in the form of the options."""
        named = await once.name(self._owner.id, options, new_id())
        if named.is_new:
            await ask(Wish(named.id, options.model, options.params))
            headers = rate_limit_headers(await self._usage.quota(self._owner), self._replies.parts.clock.now())
            if options.stream:
                return self._follow(named.id, 0, headers)
            return self._await(named.id, headers, is_in_background=options.background)
        headers = {REPLAYED_HEADER: "true"}
        if options.stream:
            return await self.stream(named.id, 0, headers)
        view = await self._reader.view(self._owner, named.id)
        if view.is_over:
            return json_answer(view, headers)
        return self._await(named.id, headers, is_in_background=options.background)

    async def read(self, response_id: UUID) -> Response:
        """A reply as JSON, as it is now: 200 in any state."""
        view = await self._reader.view(self._owner, response_id)
        answer = json_answer(view, {})
        answer.status_code = 200
        return answer

    async def stream(self, response_id: UUID, after: int, headers: Mapping[str, str] | None = None) -> Response:
        """The events of a reply behind `after`: those that are stored, then those that come.

        Raises:
            ResponseNotFoundError: none of the owner's.
            EventsGoneError: see `ReplyReader.replayable`.
        """
        view = await self._reader.view(self._owner, response_id)
        if not view.is_over:
            return self._follow(response_id, after, headers or {})
        replay = await self._reader.replayable(view, after)
        return EventStream(replay.events(self._replies.parts), headers or {})

    async def cancel(self, response_id: UUID) -> Response:
        """Have a reply stopped, and answer when it is, which takes a moment where another process generates it."""
        view = await self.service.cancel(response_id)
        if view.is_over:
            return json_answer(view, {})
        return AwaitedReply(self._request, self._owner, response_id, seconds=_CANCEL_SECONDS, headers={})

    def _follow(self, response_id: UUID, after: int, headers: Mapping[str, str]) -> Response:
        events = self._replies.hub.follow(response_id, after, is_draining=drain_of(self._request))
        return EventStream(events, headers)

    def _await(self, response_id: UUID, headers: Mapping[str, str], *, is_in_background: bool) -> Response:
        timeout = self._replies.parts.settings.request_timeout_seconds
        seconds = 0.0 if is_in_background else timeout * _PART_OF_TIMEOUT
        return AwaitedReply(self._request, self._owner, response_id, seconds=seconds, headers=headers)
