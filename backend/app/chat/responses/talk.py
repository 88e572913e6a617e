"""Listening to a model: what it says goes into the draft, what is known of the call into the tally."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from app.chat.responses.ending import Ending
from app.chat.responses.types import MAX_PROVIDER_LENGTH, Attempt, AttemptStatus, ReplyErrorCode, UsageSource
from app.chat.responses.writer import Draft, DraftWriter
from app.chat.types import MAX_MODEL_LENGTH, MessageStatus
from app.chat.usage.types import TokenCounts
from app.core.clock import Clock
from app.core.errors import AppError
from app.core.logging import get_logger
from app.core.text import clean_header
from app.llm.text import estimate_usage
from app.llm.types import (
    AttemptFailed,
    AttemptStarted,
    Finish,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    Usage,
)

_WHOLE = frozenset({"stop", "tool_calls", "function_call"})

logger = get_logger("chat.replies")


class ChatModels(Protocol):
    """The models, as far as replies need them."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """What a model answers; closing it closes the call."""


class Tally:
    """What is known of a reply's making at any moment, also when it is stopped in the midst of it."""

    def __init__(self, clock: Clock, request: ModelRequest, draft: Draft) -> None:
        self._clock = clock
        self._request = request
        self._draft = draft
        self._began = clock.monotonic()
        self._given_length = draft.length
        self._ttft_ms: int | None = None
        self._reasoning_bytes = 0
        self._usage: Usage | None = None
        self._attempts: dict[int, Attempt] = {}
        self._finish: Finish | None = None

    def note(self, event: ModelEvent) -> None:
        """Take note of what a model does."""
        match event:
            case AttemptStarted(number=number, provider=provider, model=model):
                running = Attempt(number, provider, model, AttemptStatus.RUNNING, None, self._clock.now(), None)
                self._attempts[number] = running
            case AttemptFailed(number=number, fault=fault, detail=detail):
                self._end_attempt(number, AttemptStatus.FAILED, f"{fault}: {detail}")
                self._reasoning_bytes = 0  # only the attempt that answers is paid for
            case TextDelta() if self._ttft_ms is None:
                self._ttft_ms = self._elapsed_ms()
            case ReasoningDelta(text=text):
                self._reasoning_bytes += len(text.encode())
            case Usage():
                self._usage = event
            case Finish():
                self._finish = event

    def finished(self) -> Ending:
        """How the reply ended by the model's word: `interrupted` and `length` leave something to continue."""
        finish = self._finish
        if finish is None:
            return self.broken(ReplyErrorCode.INTERNAL)
        if finish.fault is not None:
            return self.broken(finish.fault.value, "The model's provider failed in the midst of the reply.")
        is_whole = finish.reason in _WHOLE
        return self.ending(MessageStatus.COMPLETE if is_whole else MessageStatus.INCOMPLETE)

    def broken(self, code: str, detail: str | None = None) -> Ending:
        """The reply's end by a failure: what has come of it is kept, and may be continued."""
        return self.ending(MessageStatus.INCOMPLETE if self._has_text else MessageStatus.FAILED, code, detail)

    def ending(self, status: MessageStatus, code: str | None = None, detail: str | None = None) -> Ending:
        """The reply's end with this status."""
        usage, (provider, model) = self._usage or self._estimate(), self._answered()
        self._end_attempts(status)
        return Ending(
            status=status,
            finish_reason=None if self._finish is None else self._finish.reason,
            error_code=code,
            error_detail=detail,
            model_used=model and clean_header(model, MAX_MODEL_LENGTH),
            provider=provider and clean_header(provider, MAX_PROVIDER_LENGTH),
            tokens=None if usage is None else _counts(usage),
            usage_source=UsageSource.ESTIMATED if usage is None else UsageSource(usage.source.value),
            ttft_ms=self._ttft_ms,
            duration_ms=self._elapsed_ms(),
            attempts=list(self._attempts.values()),
        )

    def attempt(self, number: int) -> Attempt:
        """What is known of a call that has begun."""
        return self._attempts[number]

    @property
    def _has_text(self) -> bool:
        return self._draft.length > self._given_length

    @property
    def _running(self) -> list[Attempt]:
        """The calls that are under way; one at most."""
        return [attempt for attempt in self._attempts.values() if attempt.status is AttemptStatus.RUNNING]

    def _answered(self) -> tuple[str | None, str | None]:
        """The provider and the model that have answered, or were about to."""
        if self._finish is not None:
            return self._finish.provider, self._finish.model
        for attempt in self._running:
            return attempt.provider, attempt.model
        return None, None

    def _end_attempts(self, status: MessageStatus) -> None:
        fault = None if self._finish is None else self._finish.fault
        for number in [attempt.number for attempt in self._running]:
            if fault is not None or status is MessageStatus.FAILED:
                self._end_attempt(number, AttemptStatus.FAILED, fault and fault.value)
            elif self._finish is not None:
                self._end_attempt(number, AttemptStatus.COMPLETE, None)
            else:
                self._end_attempt(number, AttemptStatus.CANCELLED, None)

    def _end_attempt(self, number: int, status: AttemptStatus, error: str | None) -> None:
        ended_at = self._clock.now()
        self._attempts[number] = replace(self._attempts[number], status=status, error=error, ended_at=ended_at)

    def _estimate(self) -> Usage | None:
        """What a call that told nothing has used; nothing where every call failed before it said anything.

        Reasoning is paid for like text.
        """
        if not (self._has_text or self._running or self._finish):
            return None
        said = self._draft.text[self._given_length :].encode()
        return estimate_usage(self._request, len(said) + self._reasoning_bytes)

    def _elapsed_ms(self) -> int:
        return round((self._clock.monotonic() - self._began) * 1000)


async def listen(models: ChatModels, request: ModelRequest, tally: Tally, draft: Draft, writer: DraftWriter) -> Ending:
    """Let a model answer until it has ended, one way or another. Cancelled, it closes the call."""
    try:
        async with aclosing(models.stream(request)) as events:
            async for event in events:
                tally.note(event)
                match event:
                    case TextDelta(text=text):
                        await writer.add(draft, text)
                    case AttemptStarted(number=number) | AttemptFailed(number=number):
                        writer.note_call(draft, tally.attempt(number))
    except AppError as error:
        return tally.broken(error.code, error.detail or error.title)
    except Exception:
        logger.exception("a reply failed")
        return tally.broken(ReplyErrorCode.INTERNAL)
    return tally.finished()


def _counts(usage: Usage) -> TokenCounts:
    return TokenCounts(
        prompt=usage.prompt,
        completion=usage.completion,
        cached=usage.cached,
        cache_write=usage.cache_write,
        reasoning=usage.reasoning,
    )
