"""The events of running replies in this process's memory, from which all that follow a reply are served."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from uuid import UUID

from app.chat.responses.types import Event


class Tape:
    """The stored events of one reply, from the first on: all of them and nothing that is not committed.

    Followers hold a position on it and no queue of their own, so that a slow one costs nothing. Its size is bounded
    by the longest reply.
    """

    def __init__(self, response_id: UUID) -> None:
        self.response_id = response_id
        self.is_over = False
        self._events: list[Event] = []
        self._changed = asyncio.Event()

    @property
    def last_seq(self) -> int:
        """The number of events on it, which is the `seq` of the last."""
        return len(self._events)

    def append(self, events: Iterable[Event]) -> None:
        """Add the next events, and wake who waits for them. What is on it already is passed over."""
        for event in events:
            if event.seq == self.last_seq + 1:
                self._events.append(event)
                self.is_over = self.is_over or event.is_final
        self._wake()

    def close(self) -> None:
        """Nothing more will come, with or without a last event."""
        self.is_over = True
        self._wake()

    def after(self, seq: int) -> Sequence[Event]:
        """What follows the event `seq`."""
        return self._events[seq:]

    async def wait(self, seq: int, seconds: float) -> None:
        """Return when there is more than the event `seq`, when it is over, or after some seconds."""
        if self.last_seq > seq or self.is_over:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
