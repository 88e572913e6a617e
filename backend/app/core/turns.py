"""Taking turns within one process, where waiting in the database would cost everybody a connection."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """One holder at a time for each key, in the order of asking; different keys know nothing of each other.

    This saves resources and protects nothing: other processes have their own turns, so a lock in the database must
    still be there.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        """How many keys are held or waited for."""
        return len(self._locks)

    @asynccontextmanager
    async def take(self, key: Hashable) -> AsyncIterator[None]:
        """Run the block when all who asked before have ended theirs."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield
