"""Reading replies: as they are now, and their events once they have ended."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.repository import MessageRepository
from app.chat.responses.ending import final_payload_of, usage_payload_of
from app.chat.responses.errors import EventsGoneError, ResponseNotFoundError
from app.chat.responses.models import Response, ResponseAttempt
from app.chat.responses.repository import EVENTS_A_PAGE, AttemptRepository, EventRepository, ResponseRepository
from app.chat.responses.types import FINAL_KINDS, Event, EventKind
from app.chat.types import UNFINISHED
from app.db.engine import Session


@dataclass(frozen=True, slots=True)
class ReplyView:
    """A reply with what other tables tell of it; the columns of its row are attributes of this too."""

    response: Response
    parent_id: UUID | None
    text: str
    attempts: Sequence[ResponseAttempt]

    @property
    def usage(self) -> Response:
        """What has the columns of usage."""
        return self.response

    @property
    def is_over(self) -> bool:
        """Whether its status is final."""
        return self.response.status not in UNFINISHED

    def __getattr__(self, name: str) -> Any:
        return getattr(self.response, name)


class ReplyReader:
    """The replies of one owner, as they are stored."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._replies = ResponseRepository(session, parts.clock)
        self._attempts = AttemptRepository(session, parts.clock)
        self._messages = MessageRepository(session, parts.clock)
        self._events = EventRepository(session)

    async def view(self, owner: Owner, response_id: UUID) -> ReplyView:
        """A reply as it is now; while it runs, `text` is what is stored of it.

        Raises:
            ResponseNotFoundError: none of the owner's, or its conversation is gone.
        """
        response = await self._replies.owned_by(owner).get(response_id)
        message = None if response is None else await self._messages.get_of(owner, response.message_id)
        if response is None or message is None:
            raise ResponseNotFoundError
        text = await self._events.text(response_id) if response.status in UNFINISHED else message.content
        attempts = await self._attempts.list_(
            ResponseAttempt.response_id == response_id, order_by=(ResponseAttempt.number,)
        )
        return ReplyView(response, message.parent_id, text, attempts)

    async def replayable(self, view: ReplyView, after: int) -> "Replay":
        """The events of a reply that is over, behind `after`.

        Raises:
            EventsGoneError: they were deleted, and what the caller has of the text cannot be told any more.
        """
        last_seq = view.response.last_event_seq
        first = await self._events.after(view.response.id, after, 1) if after < last_seq else []
        if first or after >= last_seq:
            return Replay(view.response.id, after, last_seq, ())
        if after:
            raise EventsGoneError("Read the message instead, or follow the reply from its beginning.")
        return Replay(view.response.id, after, last_seq, remade(view))


@dataclass(frozen=True, slots=True)
class Replay:
    """The events of a reply that is over: those in the database behind `after`, or `remade` ones."""

    response_id: UUID
    after: int
    last_seq: int
    remade: Sequence[Event]

    async def events(self, parts: ChatComponents) -> AsyncGenerator[Event | None, None]:
        """All of them, page by page, each read for itself: no connection is held while the client reads."""
        for event in self.remade:
            yield event
        after = self.last_seq if self.remade else self.after
        while after < self.last_seq:
            async with parts.database.read_session() as session:
                page = await EventRepository(session).after(self.response_id, after, EVENTS_A_PAGE)
            if not page:
                return
            for event in page:
                yield event
            after = page[-1].seq


def created_event(response_id: UUID, conversation_id: UUID, message_id: UUID, model: str) -> Event:
    """The first event of a reply."""
    payload = {
        "response_id": str(response_id),
        "conversation_id": str(conversation_id),
        "message_id": str(message_id),
        "model_requested": model,
    }
    return Event(1, EventKind.CREATED, payload)


def remade(view: ReplyView) -> list[Event]:
    """The events of a reply whose own were deleted: the whole text is one delta. `seq` rises, with gaps."""
    row = view.response
    events = [created_event(row.id, row.conversation_id, row.message_id, row.model_requested)]
    if view.text:
        events.append(Event(2, EventKind.DELTA, {"delta": view.text}))
    if row.tokens_total is not None:
        events.append(Event(row.last_event_seq - 1, EventKind.USAGE, usage_payload_of(row)))
    return [*events, Event(row.last_event_seq, FINAL_KINDS[row.status], final_payload_of(row))]
