"""Following replies: those generated here from their tapes, those of other processes by one poller for all of them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from uuid import UUID

from app.chat.responses.repository import EventRepository, ResponseRepository
from app.chat.responses.tapes import Tape
from app.chat.responses.types import Event
from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.tasks import end_task
from app.db.engine import Database

HEARTBEAT_SECONDS = 15.0
_POLL_SECONDS = 0.2
_LOOK_UP_SECONDS = 0.5
_EVENTS_A_POLL = 1000

logger = get_logger("chat.replies")

StopRequested = Callable[[bool], None]
"""Called when a reply shall stop, with whether it still exists."""


class Hub:
    """Whoever follows a reply gets its events from here, wherever it is generated.

    One poller for the process looks five times a second, by one statement, how far the followed replies of other
    processes are and whether a reply that is generated here was cancelled elsewhere; a second statement reads the new
    events of all of them. It runs only while there is something to look at.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._own: dict[UUID, Tape] = {}
        self._stops: dict[UUID, StopRequested] = {}
        self._watched: dict[UUID, Tape] = {}
        self._followers: dict[UUID, int] = {}
        self._is_closed = False
        self._polling: asyncio.Task[None] | None = None

    def register(self, tape: Tape, on_stop: StopRequested) -> None:
        """Announce a reply that is generated here; `on_stop` is called when it is cancelled or deleted elsewhere."""
        self._own[tape.response_id] = tape
        self._stops[tape.response_id] = on_stop
        self._poll_from_now_on()

    def unregister(self, tape: Tape) -> None:
        """Forget a reply that was generated here.

        Who follows one that was lost to another process reads on in the database.
        """
        self._own.pop(tape.response_id, None)
        self._stops.pop(tape.response_id, None)
        if not tape.is_over and self._followers.get(tape.response_id):
            self._watched[tape.response_id] = tape
            self._poll_from_now_on()

    async def follow(
        self, response_id: UUID, after: int, *, is_draining: Callable[[], bool]
    ) -> AsyncGenerator[Event | None, None]:
        """The events of a running reply behind `after`, until its last; None each 15 s in which nothing happens.

        It also ends when the process drains: the client comes back with the last `seq` it has seen, to another one.
        """
        tape = self._open(response_id)
        try:
            silent_since = self._clock.monotonic()
            while not (is_draining() or self._is_closed):
                for event in tape.after(after):
                    yield event
                    after, silent_since = event.seq, self._clock.monotonic()
                if tape.is_over and tape.last_seq <= after:
                    return
                if self._clock.monotonic() - silent_since >= HEARTBEAT_SECONDS:
                    yield None
                    silent_since = self._clock.monotonic()
                await tape.wait(after, _LOOK_UP_SECONDS)
        finally:
            self._close(response_id)

    async def wait_for_end(self, response_id: UUID, seconds: float, *, is_draining: Callable[[], bool]) -> None:
        """Return when a running reply is over, or after some seconds."""
        events = self.follow(response_id, 0, is_draining=is_draining)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), aclosing(events):
                async for _ in events:
                    pass

    async def close(self) -> None:
        """Let every follower go, and stop looking."""
        self._is_closed = True
        for tape in (*self._own.values(), *self._watched.values()):
            tape.close()
        await end_task(self._polling)

    def _open(self, response_id: UUID) -> Tape:
        self._followers[response_id] = self._followers.get(response_id, 0) + 1
        tape = self._own.get(response_id) or self._watched.get(response_id)
        if tape is None:
            tape = self._watched[response_id] = Tape(response_id)
            self._poll_from_now_on()
        return tape

    def _close(self, response_id: UUID) -> None:
        self._followers[response_id] -= 1
        if not self._followers[response_id]:
            del self._followers[response_id]
            self._watched.pop(response_id, None)

    def _poll_from_now_on(self) -> None:
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll_on(), name="reply-poller")

    async def _poll_on(self) -> None:
        while (self._own or self._watched) and not self._is_closed:
            try:
                await self._poll()
            except Exception as error:  # the database may be away: the next round makes it good
                logger.warning("replies not looked at", error=f"{type(error).__name__}: {error}"[:500])
            await asyncio.sleep(_POLL_SECONDS)

    async def _poll(self) -> None:
        own, watched = dict(self._own), dict(self._watched)
        async with self._database.read_session() as session:
            standings = await ResponseRepository(session, self._clock).standings({*own, *watched})
            behind = {
                id_: tape.last_seq
                for id_, tape in watched.items()
                if id_ in standings and standings[id_][0] > tape.last_seq
            }
            news = await EventRepository(session).after_each(behind, _EVENTS_A_POLL) if behind else {}
        self._tell_own(own, standings)
        for id_, tape in watched.items():
            if id_ in news:
                tape.append(news[id_])
            elif id_ not in standings:
                tape.close()

    def _tell_own(self, own: Mapping[UUID, Tape], standings: Mapping[UUID, tuple[int, bool]]) -> None:
        for id_ in own:
            _, is_cancelled = standings.get(id_, (0, True))
            if is_cancelled and id_ in self._stops:
                self._stops[id_](id_ in standings)
