"""Deadlines for requests, at the price of two dictionary operations a request."""

import asyncio
import math
import time

TICK_SECONDS = 0.05
NEVER = math.inf


class Deadline:
    """A moment on the monotonic clock at which the task that made this is cancelled; move it by assigning `when`."""

    __slots__ = ("is_expired", "task", "when")

    def __init__(self, when: float) -> None:
        self.when = when
        self.task = asyncio.current_task()
        self.is_expired = False

    def expire(self) -> None:
        """Cancel the task."""
        self.is_expired = True
        if self.task is not None:
            self.task.cancel()


class DeadlineWatch:
    """Looks `1 / TICK_SECONDS` times a second whether a deadline has passed, while there are any.

    A timer of the event loop for each request, as in `asyncio.timeout`, costs as much as the rest of the middleware.
    """

    def __init__(self) -> None:
        self._watched: set[Deadline] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, deadline: Deadline) -> None:
        """Watch a deadline until `discard`."""
        self._watched.add(deadline)
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.get_running_loop()
            self._loop.call_later(TICK_SECONDS, self._tick, self._loop)

    def discard(self, deadline: Deadline) -> None:
        """Forget a deadline."""
        self._watched.discard(deadline)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for deadline in [deadline for deadline in self._watched if deadline.when <= now]:
            self._watched.discard(deadline)
            deadline.expire()
        if self._watched:
            loop.call_later(TICK_SECONDS, self._tick, loop)
        else:
            self._loop = None
