"""The last transaction of a reply: its text, its status, its events, its attempts and what it cost, all or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.messages import MessageWriter
from app.chat.repository import ConversationRepository
from app.chat.responses.models import MAX_ERROR_LENGTH, Response
from app.chat.responses.repository import AttemptRepository, EventRepository, ResponseRepository
from app.chat.responses.types import FINAL_KINDS, Attempt, Event, EventKind, UsageSource
from app.chat.types import MessageStatus
from app.chat.usage.service import UsageService
from app.chat.usage.types import SettledUsage, TokenCounts
from app.core.text import clean_header
from app.db.engine import Session

_COUNTS = (
    "tokens_prompt",
    "tokens_completion",
    "tokens_total",
    "tokens_cached",
    "tokens_cache_write",
    "tokens_reasoning",
)
_OUTCOME = ("finish_reason", "error_code", "error_detail", "model_used", "provider")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ended: its final status, and what is known of its making.

    `tokens` is None where no model was called, so that nothing was used.
    """

    status: MessageStatus
    finish_reason: str | None = None
    error_code: str | None = None
    error_detail: str | None = None
    model_used: str | None = None
    provider: str | None = None
    tokens: TokenCounts | None = None
    usage_source: UsageSource = UsageSource.ESTIMATED
    ttft_ms: int | None = None
    duration_ms: int | None = None
    attempts: Sequence[Attempt] = field(default=())


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is generated: what its rows say and what never changes."""

    response_id: UUID
    message_id: UUID
    conversation_id: UUID
    owner: Owner
    model_requested: str
    created_at: datetime

    @classmethod
    def of(cls, response: Response) -> "Reply":
        """The reply of a row."""
        return cls(
            response_id=response.id,
            message_id=response.message_id,
            conversation_id=response.conversation_id,
            owner=Owner(user_id=response.user_id, guest_id=response.guest_id),
            model_requested=response.model_requested,
            created_at=response.created_at,
        )


class ReplyEnder:
    """Ends replies within the caller's transaction."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._clock = parts.clock
        self._conversations = ConversationRepository(session, parts.clock)
        self._replies = ResponseRepository(session, parts.clock)
        self._attempts = AttemptRepository(session, parts.clock)
        self._events = EventRepository(session)
        self._messages = MessageWriter(session, parts.clock)
        self._usage = UsageService(session, parts)

    async def end(
        self, reply: Reply, ending: Ending, *, lease_owner: str, text: str, last_seq: int, rest: Event | None = None
    ) -> list[Event] | None:
        """Store how a reply ended; `rest` is what of its text is not stored yet. Returns the events that were added.

        None, and nothing stored, where `lease_owner` does not hold it any more: ended by another, or deleted.
        It must be the first in its transaction, because of the order of locks (`ConversationRepository`).
        """
        at = self._clock.now()  # when there was so much of the text
        conversation = await self._conversations.hold_with_owner(reply.conversation_id)
        last_seq += (rest is not None) + (ending.tokens is not None) + 1
        if not await self._replies.end(reply.response_id, lease_owner, self._values(ending, last_seq)):
            return None
        row = await self._replies.get(reply.response_id)
        if row is None or conversation is None:  # pragma: no cover # its row is locked
            return None
        events = [] if rest is None else [rest]
        if ending.tokens is not None:
            events.append(Event(last_seq - 1, EventKind.USAGE, usage_payload_of(row)))
        events.append(Event(last_seq, FINAL_KINDS[row.status], final_payload_of(row)))
        await self._messages.finish(conversation, reply.message_id, status=ending.status, content=text)
        await self._events.add([(reply.response_id, event) for event in events], at)
        await self._attempts.save([(reply.response_id, attempt) for attempt in ending.attempts])
        await self.settle(Reply.of(row), ending)  # a guest's may be an account's by now
        return events

    async def settle(self, reply: Reply, ending: Ending) -> None:
        """Let quotas and costs know; to repeat it changes nothing.

        It comes last in a transaction, because all replies of an owner want its locks.
        """
        if ending.tokens is None:
            await self._usage.release(reply.response_id)
            return
        cost = await self._usage.settle(
            SettledUsage(
                response_id=reply.response_id,
                owner=reply.owner,
                conversation_id=reply.conversation_id,
                model=ending.model_used or reply.model_requested,
                provider=ending.provider or "",
                tokens=ending.tokens,
                source=ending.usage_source,
                at=reply.created_at,
            )
        )
        values: dict[Any, Any] = {Response.cost_usd: cost.usd}
        if cost.sheet is not None:
            values[Response.price_sheet] = cost.sheet
        await self._replies.update(reply.response_id, values)

    def _values(self, ending: Ending, last_seq: int) -> dict[Any, Any]:
        values: dict[Any, Any] = {
            Response.status: ending.status,
            Response.finish_reason: ending.finish_reason,
            Response.error_code: ending.error_code,
            Response.error_detail: short(ending.error_detail),
            Response.model_used: ending.model_used,
            Response.provider: ending.provider,
            Response.ttft_ms: ending.ttft_ms,
            Response.completion_time_ms: ending.duration_ms,
            Response.completed_at: self._clock.now(),
            Response.last_event_seq: last_seq,
        }
        tokens = ending.tokens
        if tokens is None:
            return values | {Response.tokens_prompt: None}
        return values | {
            Response.tokens_prompt: tokens.prompt,
            Response.tokens_completion: tokens.completion,
            Response.tokens_total: tokens.total,
            Response.tokens_cached: tokens.cached,
            Response.tokens_cache_write: tokens.cache_write,
            Response.tokens_reasoning: tokens.reasoning,
            Response.usage_source: ending.usage_source,
        }


def usage_payload_of(row: Response) -> dict[str, Any]:
    """What the event of usage tells of a reply that is over."""
    source = None if row.usage_source is None else row.usage_source.value
    return {**{name: getattr(row, name) for name in _COUNTS}, "usage_source": source}


def final_payload_of(row: Response) -> dict[str, Any]:
    """What the last event of a reply tells."""
    return {"status": row.status.value, **{name: getattr(row, name) for name in _OUTCOME}}


def short(detail: str | None) -> str | None:
    """A detail as it can be stored."""
    return None if detail is None else clean_header(detail, MAX_ERROR_LENGTH)
