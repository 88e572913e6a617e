"""The two ways of a reply through the gateway: passed on and forgotten, or generated and kept like any other."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import anyio

from app.auth.guests.types import Owner
from app.chat.gateway.components import GatewayComponents
from app.chat.gateway.errors import ReplyFailedError
from app.chat.gateway.types import SpeechEvent
from app.chat.responses.types import Event, EventKind, UsageSource
from app.chat.usage.service import UsageService
from app.chat.usage.types import SettledUsage, TokenCounts
from app.core.errors import AppError
from app.core.logging import get_logger
from app.llm import types as llm
from app.llm.errors import ModelNotFoundError, ModelRefusedError
from app.llm.text import estimate_usage

_ENDS = frozenset({EventKind.COMPLETED, EventKind.INCOMPLETE, EventKind.CANCELLED, EventKind.FAILED})

logger = get_logger("chat.gateway")


class _Count:
    """What a reply has used so far, whenever it ends."""

    def __init__(self, request: llm.ModelRequest) -> None:
        self._request = request
        self._usage: llm.Usage | None = None
        self._text_bytes = self._thought_bytes = 0
        self._is_called = False
        self.provider = ""
        self.model = request.model

    def note(self, event: llm.ModelEvent) -> None:
        """Take note of what a model does."""
        match event:
            case llm.AttemptStarted() | llm.Finish():
                self.provider, self.model = event.provider, event.model
                self._is_called = True
            case llm.AttemptFailed():
                self._is_called, self._thought_bytes = False, 0
            case llm.TextDelta():
                self._text_bytes += len(event.text.encode())
            case llm.ReasoningDelta():  # whoever hangs up before the text has used it all the same
                self._thought_bytes += len(event.text.encode())
            case llm.Usage():
                self._usage = event

    @property
    def usage(self) -> llm.Usage | None:
        """The tokens; None where no provider has said anything, or could have."""
        if self._usage is None and (self._is_called or self._text_bytes):
            return estimate_usage(self._request, self._text_bytes + self._thought_bytes)
        return self._usage


@dataclass(frozen=True, slots=True)
class DirectSpeech:
    """A reply that nothing is kept of but what it used. Whoever hangs up ends it."""

    gateway: GatewayComponents
    owner: Owner
    response_id: UUID
    request: llm.ModelRequest
    asked_at: datetime

    @property
    def id(self) -> str:
        """What the caller may name it by."""
        return f"chatcmpl-{self.response_id.hex}"

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return self.request.model

    @property
    def metadata(self) -> None:
        """It is kept nowhere."""

    async def events(self) -> AsyncGenerator[SpeechEvent, None]:
        """The reply. What was reserved for it is settled when this is closed.

        Raises:
            TooManyRepliesError, RepliesBusyError: too many are under way.
            ModelNotFoundError, ModelRefusedError, AllProvidersFailedError: see `Models.stream`.
        """
        count = _Count(self.request)
        try:
            with self.gateway.places.taken(self.owner):
                async with aclosing(self.gateway.replies.models.stream(self.request)) as events:
                    async for event in events:
                        count.note(event)
                        if isinstance(event, SpeechEvent):
                            yield event
        finally:
            with anyio.CancelScope(shield=True):
                await self._settle(count)

    async def _settle(self, count: _Count) -> None:
        parts = self.gateway.replies.parts
        try:
            async with parts.database.session() as session:
                service = UsageService(session, parts)
                if count.usage is None:
                    await service.release(self.response_id)
                else:
                    await service.settle(self._settled(count, count.usage))
                await session.commit()  # commit: outside any request
        except Exception as error:  # the reservation ends by itself
            logger.warning("reply not settled", error=f"{type(error).__name__}: {error}"[:500])

    def _settled(self, count: _Count, usage: llm.Usage) -> SettledUsage:
        return SettledUsage(
            response_id=self.response_id,
            owner=self.owner,
            conversation_id=None,
            model=count.model,
            provider=count.provider,
            tokens=TokenCounts(
                prompt=usage.prompt,
                completion=usage.completion,
                cached=usage.cached,
                cache_write=usage.cache_write,
                reasoning=usage.reasoning,
            ),
            source=UsageSource(usage.source.value),
            at=self.asked_at,
        )


@dataclass(frozen=True, slots=True)
class StoredSpeech:
    """A reply that is generated and kept like any other of a conversation, whoever listens."""

    response_id: UUID
    conversation_id: UUID
    model: str
    follow: Callable[[], AsyncGenerator[Event | None, None]]

    @property
    def id(self) -> str:
        """What the caller may name it by."""
        return f"chatcmpl-{self.response_id.hex}"

    @property
    def metadata(self) -> dict[str, str]:
        """Where it is kept."""
        return {"conversation_id": str(self.conversation_id), "response_id": str(self.response_id)}

    async def events(self) -> AsyncGenerator[SpeechEvent, None]:
        """The reply as it is stored.

        Raises:
            ReplyFailedError, ModelRefusedError: nothing of it came, or its end does not come here.
        """
        has_text = False
        async with aclosing(self.follow()) as events:
            async for event in events:
                if event is None:
                    continue
                if event.kind is EventKind.DELTA:
                    has_text = True
                    yield llm.TextDelta(event.delta)
                elif event.kind is EventKind.USAGE:
                    yield _usage(event.payload)
                elif event.kind in _ENDS:
                    yield self._finish(event, has_text=has_text)
                    return
        raise ReplyFailedError

    def _finish(self, event: Event, *, has_text: bool) -> llm.Finish:
        told = event.payload
        if told["error_code"] and not has_text:
            raise _failure(told["error_code"], told["error_detail"])
        is_broken = bool(told["error_code"]) or event.kind is EventKind.CANCELLED
        reason = llm.INTERRUPTED if is_broken else told["finish_reason"] or "stop"
        return llm.Finish(reason, told["provider"] or "", told["model_used"] or self.model)


def _usage(told: Any) -> llm.Usage:
    return llm.Usage(
        prompt=told["tokens_prompt"] or 0,
        completion=told["tokens_completion"] or 0,
        total=told["tokens_total"] or 0,
        cached=told["tokens_cached"] or 0,
        cache_write=told.get("tokens_cache_write") or 0,  # events of earlier releases do not tell it
        reasoning=told["tokens_reasoning"] or 0,
        source=llm.UsageSource(told["usage_source"]),
    )


def _failure(code: str, detail: str | None) -> AppError:
    """The refusal that a stored failure stands for."""
    kinds = {ModelRefusedError.code: ModelRefusedError, ModelNotFoundError.code: ModelNotFoundError}
    return kinds.get(code, ReplyFailedError)(detail)
