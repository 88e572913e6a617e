"""The SQL of replies: their rows, their attempts and their events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, and_, bindparam, case, delete, insert, or_, select

from app.auth.guests.ownership import OwnerRepository
from app.chat.models import Conversation, Message
from app.chat.repository import Columns, MessageRepository, lives
from app.chat.responses.models import MAX_ERROR_LENGTH, Response, ResponseAttempt, ResponseEvent
from app.chat.responses.types import (
    MAX_PROMPT_LENGTH,
    MAX_PROMPT_MESSAGES,
    Attempt,
    AttemptStatus,
    Event,
    EventKind,
    PromptMessage,
)
from app.chat.types import UNFINISHED, MessageStatus
from app.core.ids import new_id
from app.core.text import clean_header
from app.db.engine import Session
from app.db.query import PreparedSelect
from app.db.repository import BaseRepository, Values
from app.db.upsert import insert_or_replace

EVENTS_A_PAGE = 200
_CALL = ("response_id", "number")
_OUTCOME = ("status", "error", "ended_at")
_CLOCKS_DIFFER_BY = timedelta(minutes=1)
_STEPS_AT_ONCE = 50
_PROMPT_COLUMNS: Columns = tuple(Message.__table__.c[item.name] for item in fields(PromptMessage))

_EVENTS_AFTER = PreparedSelect(
    ResponseEvent,
    select(*ResponseEvent.__table__.c)
    .where(
        ResponseEvent.response_id == bindparam("response_id", type_=ResponseEvent.response_id.type),
        ResponseEvent.seq > bindparam("after", type_=Integer()),
    )
    .order_by(ResponseEvent.seq)
    .limit(bindparam("page_size", type_=Integer())),
)


class ResponseRepository(OwnerRepository[Response]):
    """The rows of replies. Whoever generates one may change it only as long as the lease is theirs and it runs."""

    model = Response

    async def advance(self, ids: Collection[UUID], lease_owner: str, lease: timedelta) -> frozenset[UUID]:
        """Count one more event on each of these replies, and prolong their leases; those that are still the owner's.

        Their rows stay locked until the commit, so that nobody ends such a reply between this and its event.
        """
        values: Values = {
            Response.status: MessageStatus.STREAMING,
            Response.last_event_seq: Response.last_event_seq + 1,
            Response.lease_expires_at: self.clock.now() + lease,
        }
        return await self._change_held(ids, lease_owner, values)

    async def note_call(self, ids: Collection[UUID], lease_owner: str, provider: str, model: str) -> frozenset[UUID]:
        """Note whom these replies are asked of now; those that are still the owner's, whose rows stay locked."""
        return await self._change_held(ids, lease_owner, {Response.provider: provider, Response.model_used: model})

    async def renew(self, ids: Collection[UUID], lease_owner: str, lease: timedelta) -> None:
        """Prolong the leases of these replies, as far as they are still the owner's."""
        values: Values = {Response.lease_expires_at: self.clock.now() + lease}
        await self.update_where(*_is_held(ids, lease_owner), values=values)

    async def end(self, response_id: UUID, lease_owner: str, values: Values) -> bool:
        """End a reply, whose row stays locked until the commit. False where it is no longer the owner's to end."""
        ended = {Response.lease_owner: None, Response.lease_expires_at: None, **values}
        return bool(await self.update_where(*_is_held([response_id], lease_owner), values=ended))

    async def seize(self, response_id: UUID, lease_owner: str) -> Response | None:
        """Take a reply over whose lease has run out; None where its owner or somebody else was quicker."""
        is_expired = (Response.id == response_id, *self._expired())
        is_seized = await self.update_where(*is_expired, values={Response.lease_owner: lease_owner})
        return await self.get(response_id) if is_seized else None

    async def list_expired(self, limit: int) -> list[UUID]:
        """The running replies whose leases have run out, the longest expired first."""
        statement = select(Response.id).where(*self._expired()).order_by(Response.lease_expires_at).limit(limit)
        return [row.id for row in await self.session.rows(statement)]

    async def request_cancel(self, response_id: UUID) -> bool:
        """Ask whoever generates the reply to stop. False where it is asked already, over, or not there."""
        is_running = (Response.status.in_(UNFINISHED), Response.cancel_requested_at.is_(None))
        values: Values = {Response.cancel_requested_at: self.clock.now()}
        return bool(await self.update_where(Response.id == response_id, *is_running, values=values))

    async def standings(self, ids: Collection[UUID]) -> Mapping[UUID, tuple[int, bool]]:
        """For each of these replies that exists: the number of its events, and whether it is to be cancelled.

        That is also one in a conversation that has expired: its rows go when it has ended.
        """
        is_wanted = and_(Response.cancel_requested_at.is_(None), lives(self.clock.now()))
        columns: tuple[Any, ...] = (Response.id, Response.last_event_seq, case((is_wanted, 0), else_=1).label("stop"))
        statement = (
            select(*columns).join(Conversation, Conversation.id == Response.conversation_id).where(Response.id.in_(ids))
        )
        return {row.id: (row.last_event_seq, bool(row.stop)) for row in await self.session.rows(statement)}

    async def hand_over(self, guest_id: UUID, user_id: UUID) -> None:
        """Make a guest's replies an account's."""
        values: Values = {Response.guest_id: None, Response.user_id: user_id}
        await self.update_where(Response.guest_id == guest_id, values=values)

    async def list_prunable(self, before: datetime, limit: int) -> list[UUID]:
        """Replies that ended before a moment and still have events, the oldest first.

        Ids grow with time: the first event there is belongs to the oldest reply that has any, and of those that
        ended before it was stored none is looked at again. Hosts' clocks may differ by a little.
        """
        first = select(ResponseEvent.created_at).order_by(ResponseEvent.response_id, ResponseEvent.seq).limit(1)
        oldest = await self.session.scalar(first)
        if oldest is None:
            return []
        has_events = select(ResponseEvent.seq).where(ResponseEvent.response_id == Response.id).exists()
        where = (Response.completed_at >= oldest - _CLOCKS_DIFFER_BY, Response.completed_at < before, has_events)
        statement = select(Response.id).where(*where).order_by(Response.completed_at, Response.id).limit(limit)
        return [row.id for row in await self.session.rows(statement)]

    async def _change_held(self, ids: Collection[UUID], lease_owner: str, values: Values) -> frozenset[UUID]:
        is_held = _is_held(ids, lease_owner)
        if await self.update_where(*is_held, values=values) == len(ids):
            return frozenset(ids)
        return frozenset(row.id for row in await self.session.rows(select(Response.id).where(*is_held)))

    def _expired(self) -> tuple[Any, Any]:
        return Response.status.in_(UNFINISHED), Response.lease_expires_at < self.clock.now()


class ReplyMessageRepository(MessageRepository):
    """The messages that replies become."""

    async def prompt_path(self, conversation_id: UUID, leaf_id: UUID) -> list[PromptMessage]:
        """What of the way to a leaf a model can be shown, and little more: some steps at a time, texts are long."""
        found: list[PromptMessage] = []
        next_id: UUID | None = leaf_id
        length = 0
        while next_id is not None and length < MAX_PROMPT_LENGTH and len(found) < MAX_PROMPT_MESSAGES:
            rows = await self._climb(conversation_id, next_id, _STEPS_AT_ONCE, _PROMPT_COLUMNS)
            steps = [PromptMessage(**row._mapping) for row in rows]
            found = [*steps, *found]
            length += sum(len(message.content) for message in steps)
            next_id = steps[0].parent_id if steps else None
        return found[-MAX_PROMPT_MESSAGES:]

    async def mark_streaming(self, message_ids: Collection[UUID]) -> None:
        """Say that the first text of these replies is there."""
        is_queued = (Message.id.in_(message_ids), Message.status == MessageStatus.QUEUED)
        await self.update_where(*is_queued, values={Message.status: MessageStatus.STREAMING})


class AttemptRepository(BaseRepository[ResponseAttempt]):
    """The calls of providers."""

    model = ResponseAttempt

    async def save(self, attempts: Collection[tuple[UUID, Attempt]]) -> None:
        """Store calls of several replies, or of those that are stored how they ended."""
        rows = [
            {
                "id": new_id(),
                "response_id": id_,
                "number": attempt.number,
                "provider": attempt.provider,
                "model": attempt.model,
                "status": attempt.status,
                "error": None if attempt.error is None else clean_header(attempt.error, MAX_ERROR_LENGTH),
                "started_at": attempt.started_at,
                "ended_at": attempt.ended_at,
            }
            for id_, attempt in attempts
        ]
        if rows:
            await self.session.change(insert_or_replace(self.session, ResponseAttempt, _CALL, _OUTCOME), rows)

    async def running(self, response_id: UUID) -> list[Attempt]:
        """The calls for a reply of which nobody has said that they ended."""
        is_running = (ResponseAttempt.response_id == response_id, ResponseAttempt.status == AttemptStatus.RUNNING)
        return [
            Attempt(row.number, row.provider, row.model, row.status, row.error, row.started_at, row.ended_at)
            for row in await self.list_(*is_running)
        ]


class EventRepository:
    """The events of replies, which have no id of their own."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, events: Collection[tuple[UUID, Event]], at: datetime) -> None:
        """Store events of several replies."""
        rows = [
            {"response_id": id_, "seq": event.seq, "kind": event.kind, "payload": event.payload, "created_at": at}
            for id_, event in events
        ]
        connection = await self._session.connection()
        await connection.execute(insert(ResponseEvent.__table__), rows)

    async def after(self, response_id: UUID, seq: int, limit: int = EVENTS_A_PAGE) -> list[Event]:
        """The next events of a reply."""
        values = {"response_id": response_id, "after": seq, "page_size": limit}
        return [_event(row) for row in await self._session.fetch(_EVENTS_AFTER, values)]

    async def after_each(self, positions: Mapping[UUID, int], limit: int) -> Mapping[UUID, Sequence[Event]]:
        """What follows the position of each reply, by one statement that returns at most `limit` events."""
        is_behind = or_(
            *(and_(ResponseEvent.response_id == id_, ResponseEvent.seq > seq) for id_, seq in positions.items())
        )
        order = (ResponseEvent.response_id, ResponseEvent.seq)
        statement = select(*ResponseEvent.__table__.c).where(is_behind).order_by(*order).limit(limit)
        found: dict[UUID, list[Event]] = {}
        for row in await self._session.rows(statement):
            found.setdefault(row.response_id, []).append(_event(row))
        return found

    async def text(self, response_id: UUID) -> str:
        """The text of a reply as its events tell it."""
        is_delta = (ResponseEvent.response_id == response_id, ResponseEvent.kind == EventKind.DELTA)
        statement = select(ResponseEvent.payload).where(*is_delta).order_by(ResponseEvent.seq)
        return "".join(row.payload["delta"] for row in await self._session.rows(statement))

    async def delete_of(self, response_ids: Collection[UUID]) -> None:
        """Delete all events of these replies."""
        connection = await self._session.connection()
        await connection.execute(delete(ResponseEvent.__table__).where(ResponseEvent.response_id.in_(response_ids)))


def _is_held(ids: Collection[UUID], lease_owner: str) -> tuple[Any, ...]:
    """The fence: nothing is written by whom somebody else has overtaken, nor about a reply that has ended."""
    return Response.id.in_(ids), Response.lease_owner == lease_owner, Response.status.in_(UNFINISHED)


def _event(row: Any) -> Event:
    return Event(seq=row.seq, kind=row.kind, payload=row.payload)
