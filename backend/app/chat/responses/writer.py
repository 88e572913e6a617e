"""Stores what the models of all running replies of a process say, together and several times a second."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.chat.responses.repository import (
    AttemptRepository,
    EventRepository,
    ReplyMessageRepository,
    ResponseRepository,
)
from app.chat.responses.tapes import Tape
from app.chat.responses.types import Attempt, Event, EventKind
from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.tasks import end_task
from app.db.engine import Database, Session

_REST_SECONDS = 0.15
_SHORT_REST_SECONDS = 0.05
_FULL_LENGTH = 1024
_MOST_PENDING_LENGTH = 65_536
_RENEWALS_PER_LEASE = 3

logger = get_logger("chat.replies")


class Draft:
    """The text of one reply as it comes in: what is stored, which is on the tape, and what still waits for that.

    `on_lost` is called when the reply turns out to be no longer this process's to write: overtaken, ended or deleted.
    """

    def __init__(self, response_id: UUID, message_id: UUID, tape: Tape, on_lost: Callable[[], None]) -> None:
        self.response_id = response_id
        self.message_id = message_id
        self.tape = tape
        self.is_begun = False
        self.is_lost = False
        self.length = 0
        self.pending_length = 0
        self._pending: list[str] = []
        self._calls: dict[int, Attempt] = {}
        self._on_lost = on_lost

    @property
    def text(self) -> str:
        """All of it."""
        return "".join([*(event.delta for event in self.tape.after(0)), *self._pending])

    def add(self, text: str) -> None:
        """Append text; it is stored in the writer's next round."""
        self._pending.append(text)
        self.length += len(text)
        self.pending_length += len(text)

    def next_delta(self) -> Event | None:
        """The pending text as the event that is to be stored next."""
        delta = "".join(self._pending)
        return Event(self.tape.last_seq + 1, EventKind.DELTA, {"delta": delta}) if delta else None

    def note_call(self, attempt: Attempt) -> None:
        """Have it stored that a call has begun or failed."""
        self._calls[attempt.number] = attempt

    def entry(self) -> "Entry":
        """What is to be stored next."""
        return Entry(self, self.next_delta(), list(self._calls.values()))

    def note_stored(self, entry: "Entry") -> None:
        """Take note that an entry was stored; what was added meanwhile remains."""
        self._calls = {n: attempt for n, attempt in self._calls.items() if attempt not in entry.calls}
        if entry.event is None:
            return
        rest = "".join(self._pending)[len(entry.event.delta) :]
        self._pending = [rest] if rest else []
        self.pending_length = len(rest)
        self.is_begun = True
        self.tape.append([entry.event])

    def lose(self) -> None:
        """Take note that nothing can be stored any more."""
        if not self.is_lost:
            self.is_lost = True
            self._on_lost()


@dataclass(frozen=True, slots=True)
class Entry:
    """What one round stores of a draft: the text that was pending, and the calls that have begun or failed."""

    draft: Draft
    event: Event | None
    calls: Sequence[Attempt]

    @property
    def id(self) -> UUID:
        """The reply."""
        return self.draft.response_id


class DraftWriter:
    """Stores the drafts of a process: one transaction a round for all of them, 150 ms after the last.

    A reply's own transaction for each of its deltas would keep a hundred replies' worth of connections busy. A draft
    that is written quickly is stored sooner, and its model has to wait while much of it is unstored.
    """

    def __init__(self, database: Database, clock: Clock, lease_owner: str, lease: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._lease_owner = lease_owner
        self._lease = lease
        self._drafts: dict[UUID, Draft] = {}
        self._held: set[UUID] = set()
        self._round = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._hurried = asyncio.Event()
        self._stored = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write."""
        self._tasks = [
            asyncio.create_task(self._write_on(), name="reply-writer"),
            asyncio.create_task(self._renew_on(), name="reply-leases"),
        ]

    async def close(self) -> None:
        """Stop writing; every draft has been detached before."""
        for task in self._tasks:
            await end_task(task)

    def attach(self, draft: Draft) -> None:
        """Store what is added to this draft from now on, and hold its lease until `release`."""
        self._drafts[draft.response_id] = draft
        self._held.add(draft.response_id)

    async def detach(self, draft: Draft) -> None:
        """Leave what is pending to the caller; nothing of this draft is being written when this returns."""
        async with self._round:
            self._drafts.pop(draft.response_id, None)

    def release(self, draft: Draft) -> None:
        """Hold the lease no longer."""
        self._held.discard(draft.response_id)

    async def add(self, draft: Draft, text: str) -> None:
        """Append text to a draft, and wait where too much of it is unstored."""
        draft.add(text)
        self._wanted.set()
        if draft.pending_length >= _FULL_LENGTH:
            self._hurried.set()
        while draft.pending_length >= _MOST_PENDING_LENGTH and not draft.is_lost:
            await self._stored.wait()

    def note_call(self, draft: Draft, attempt: Attempt) -> None:
        """Have it stored that a call has begun or failed, so that it is known whatever becomes of this process."""
        draft.note_call(attempt)
        self._wanted.set()

    async def _write_on(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._hurried.clear()
            has_text = True
            try:
                has_text = await self._write()
            except Exception as error:  # the database may be away: the text is kept, and the fence decides later
                logger.warning("reply text not stored yet", error=f"{type(error).__name__}: {error}"[:500])
                self._wanted.set()
            await asyncio.sleep(_SHORT_REST_SECONDS)
            if not has_text:  # that calls were noted must not keep their first words waiting
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_REST_SECONDS - _SHORT_REST_SECONDS):
                    await self._hurried.wait()

    async def _write(self) -> bool:
        """One round; whether it stored text.

        Followers see an event when it is committed, so that whoever resumes finds all that he saw.
        """
        async with self._round:
            at = self._clock.now()  # of the text; the database may keep it waiting
            entries = [entry for draft in self._drafts.values() if (entry := draft.entry()).event or entry.calls]
            if not entries:
                return False
            held = await self._store(entries, at)
            for entry in entries:
                if entry.id in held:
                    entry.draft.note_stored(entry)
                else:
                    self._drafts.pop(entry.id, None)
                    entry.draft.lose()
        stored, self._stored = self._stored, asyncio.Event()
        stored.set()
        return any(entry.event for entry in entries)

    async def _store(self, entries: Sequence[Entry], at: datetime) -> frozenset[UUID]:
        async with self._database.session() as session:
            begun = [entry.draft.message_id for entry in entries if entry.event and not entry.draft.is_begun]
            if begun:  # before their replies, as when an owner goes; one that was overtaken is no longer queued
                await ReplyMessageRepository(session, self._clock).mark_streaming(begun)
            held = await self._fence(session, entries)
            kept = [entry for entry in entries if entry.id in held]
            if events := [(entry.id, entry.event) for entry in kept if entry.event]:
                await EventRepository(session).add(events, at)
            calls = [(entry.id, attempt) for entry in kept for attempt in entry.calls]
            await AttemptRepository(session, self._clock).save(calls)
            await session.commit()  # commit: outside any request
        return held

    async def _fence(self, session: Session, entries: Sequence[Entry]) -> frozenset[UUID]:
        """Change the rows of the replies that are still ours, which locks them; their ids."""
        replies = ResponseRepository(session, self._clock)
        held: frozenset[UUID] = frozenset()
        if spoken := [entry.id for entry in entries if entry.event]:
            held |= await replies.advance(spoken, self._lease_owner, self._lease)
        called: dict[tuple[str, str], list[UUID]] = defaultdict(list)
        for entry in entries:
            for attempt in entry.calls[-1:]:
                called[attempt.provider, attempt.model].append(entry.id)
        for (provider, model), ids in called.items():
            held |= await replies.note_call(ids, self._lease_owner, provider, model)
        return held

    async def _renew_on(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / _RENEWALS_PER_LEASE)
            if not self._held:
                continue
            try:
                async with self._database.session() as session:
                    await ResponseRepository(session, self._clock).renew(
                        list(self._held), self._lease_owner, self._lease
                    )
                    await session.commit()  # commit: outside any request
            except Exception as error:  # the next time may come before they run out
                logger.warning("reply leases not renewed", error=f"{type(error).__name__}: {error}"[:500])
