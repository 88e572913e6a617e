"""Generates replies: tasks of this process, under leases, that no client's connection can end."""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.responses.ending import Ending, Reply, ReplyEnder
from app.chat.responses.errors import RepliesBusyError, TooManyRepliesError
from app.chat.responses.hub import Hub
from app.chat.responses.talk import ChatModels, Tally, listen
from app.chat.responses.tapes import Tape
from app.chat.responses.types import Event, ReplyErrorCode
from app.chat.responses.writer import Draft, DraftWriter
from app.chat.types import MessageStatus
from app.core.logging import get_logger
from app.llm.types import ModelRequest

_STOP_PATIENCE_SECONDS = 2.0
_AGAIN_SECONDS = 0.25
_ENDED_AT_ONCE = 2
_RESERVED_SECONDS = 10.0

logger = get_logger("chat.replies")


class _Stop(Enum):
    """Why a reply is stopped before its model has ended."""

    CANCELLED = "cancelled"
    LOST = "lost"
    SHUTDOWN = "shutdown"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Order:
    """A reply to generate, once its rows are committed. `events` are those that were stored with them."""

    reply: Reply
    request: ModelRequest
    events: tuple[Event, ...]


class _Run:
    """One reply that is being generated."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.tape = Tape(order.reply.response_id)
        self.tape.append(order.events)
        self.draft = Draft(order.reply.response_id, order.reply.message_id, self.tape, lambda: self.stop(_Stop.LOST))
        self.stopped: _Stop | None = None
        self.halt: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stop(self, why: _Stop) -> None:
        """Stop the model; the first reason counts, but that the reply is lost overrules all."""
        if self.stopped is None or why is _Stop.LOST:
            self.stopped = why
        if not self.halt.done():
            self.halt.set_result(None)


class ReplyEngine:
    """The replies that this process generates.

    Each is a task of its own, so that nothing is lost when a client hangs up. No connection of the pool is held while a
    model talks: the writer stores the text of all of them, and each one's end is a transaction of its own.
    """

    def __init__(self, parts: ChatComponents, models: ChatModels, hub: Hub) -> None:
        self.hub = hub
        self.lease_owner = f"{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(8)}"
        self.lease = timedelta(seconds=parts.settings.reply_lease_seconds)
        self._database = parts.database
        self._parts = parts
        self._clock = parts.clock
        self._models = models
        self._settings = parts.settings
        self._writer = DraftWriter(parts.database, parts.clock, self.lease_owner, self.lease)
        self._runs: dict[UUID, _Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reserved: dict[UUID, tuple[Owner, float]] = {}
        self._ending = asyncio.Semaphore(_ENDED_AT_ONCE)
        self._is_closing = False

    @property
    def generating(self) -> Collection[UUID]:
        """The replies that this process is generating now."""
        return self._runs.keys()

    def start_up(self) -> None:
        """Begin to write what models say."""
        self._writer.start()

    def reserve(self, response_id: UUID, owner: Owner) -> None:
        """Keep a place for a reply whose rows are about to be committed; a place that is not taken is free again soon.

        Raises:
            TooManyRepliesError: the owner has as many replies under way here as one may have.
            RepliesBusyError: this process writes as many as it may, or is stopping.
        """
        now = self._clock.monotonic()
        self._reserved = {id_: place for id_, place in self._reserved.items() if place[1] > now}
        owners = [run.order.reply.owner for run in self._runs.values()]
        owners += [reserved for reserved, _ in self._reserved.values()]
        if self._is_closing or len(owners) >= self._settings.max_replies:
            raise RepliesBusyError(retry_after_seconds=2)
        if owners.count(owner) >= self._settings.max_replies_per_owner:
            raise TooManyRepliesError
        self._reserved[response_id] = (owner, now + _RESERVED_SECONDS)

    async def start(self, order: Order) -> None:
        """Generate a reply whose rows are committed, in the background."""
        response_id = order.reply.response_id
        self._reserved.pop(response_id, None)
        run = self._runs[response_id] = _Run(order)
        self._writer.attach(run.draft)
        self.hub.register(run.tape, self._stopper(run))
        task = asyncio.create_task(self._conduct(run), name="reply")
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    async def cancel(self, response_id: UUID) -> None:
        """Stop a reply that is generated here; one of another process is found there by its hub."""
        if run := self._runs.get(response_id):
            run.stop(_Stop.CANCELLED)

    async def close(self, patience_seconds: float) -> None:
        """Take nothing more, let what is under way end for a while, and store the rest as incomplete."""
        self._is_closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_seconds)
        for run in self._runs.values():
            run.stop(_Stop.SHUTDOWN)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.lease.total_seconds())
        for task in self._tasks:
            task.cancel()
        await self._writer.close()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("reply left to the reaper", error=f"{type(error).__name__}: {error}"[:500], exc_info=error)

    def _stopper(self, run: _Run) -> Callable[[bool], None]:
        return lambda exists: run.stop(_Stop.CANCELLED if exists else _Stop.LOST)

    async def _conduct(self, run: _Run) -> None:
        tally = Tally(self._clock, run.order.request, run.draft)
        try:
            ending = await self._listen(run, tally)
            await self._writer.detach(run.draft)
            if run.stopped is _Stop.LOST or not await self._end(run, ending):
                await self._settle(run, ending)
        finally:
            self._writer.release(run.draft)
            self._runs.pop(run.order.reply.response_id, None)
            self.hub.unregister(run.tape)

    async def _listen(self, run: _Run, tally: Tally) -> Ending:
        """Let the model talk until it has ended, is stopped, or has talked for too long."""
        talk = listen(self._models, run.order.request, tally, run.draft, self._writer)
        talking = asyncio.create_task(talk, name="reply-talk")
        longest = self._settings.reply_timeout_seconds
        try:
            either: list[asyncio.Future[Any]] = [talking, run.halt]
            await asyncio.wait(either, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
        finally:
            talking_is_over = talking.done()
            talking.cancel()
        if talking_is_over and run.stopped is None:
            return await talking
        run.stop(_Stop.TIMEOUT)
        # One that does not obey is left behind: its text is written no more.
        await asyncio.wait([talking], timeout=_STOP_PATIENCE_SECONDS)
        match run.stopped:
            case _Stop.CANCELLED:
                return tally.ending(MessageStatus.CANCELLED)
            case _Stop.TIMEOUT:
                return tally.broken(ReplyErrorCode.TOO_SLOW)
            case _:
                return tally.ending(MessageStatus.INCOMPLETE, ReplyErrorCode.SHUTDOWN)

    async def _end(self, run: _Run, ending: Ending) -> bool:
        """Store the end, again and again while the database is away; after a while somebody's reaper will do it.

        False where the reply is no longer ours to end.
        """
        deadline = self._clock.monotonic() + 2 * self.lease.total_seconds()
        while True:
            try:
                async with self._ending:
                    events = await self._store(run, ending)
            except Exception as error:
                if self._clock.monotonic() >= deadline:
                    logger.exception("reply's end not stored", response=str(run.order.reply.response_id))
                    return True
                logger.warning("reply's end not stored yet", error=f"{type(error).__name__}: {error}"[:500])
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                run.tape.append(events or ())
                return events is not None

    async def _settle(self, run: _Run, ending: Ending) -> None:
        """Count what a reply has used that was overtaken or deleted meanwhile; nothing else of it is written."""
        reply = run.order.reply
        try:
            async with self._database.session() as session:
                await ReplyEnder(session, self._parts).settle(reply, ending)
                await session.commit()  # commit: outside any request
        except Exception as error:  # its owner may be gone too, and with him all that is counted
            logger.warning("lost reply not settled", error=f"{type(error).__name__}: {error}"[:500])

    async def _store(self, run: _Run, ending: Ending) -> list[Event] | None:
        reply, draft = run.order.reply, run.draft
        async with self._database.session() as session:
            events = await ReplyEnder(session, self._parts).end(
                reply,
                ending,
                lease_owner=self.lease_owner,
                text=draft.text,
                last_seq=run.tape.last_seq,
                rest=draft.next_delta(),
            )
            await session.commit()  # commit: outside any request
        return events
