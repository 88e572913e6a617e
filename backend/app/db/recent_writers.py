"""Who has just written, known to all workers of a host, so that their next read goes to the primary."""

import mmap
import struct
from pathlib import Path
from uuid import UUID

from app.core.clock import Clock

_SLOTS = 65_536
_SECONDS = struct.Struct("<d")


class RecentWriters:
    """A memory-mapped table of the times of last writes.

    Callers share slots by hash: a collision sends a caller to the primary without need, never the other way round.
    """

    def __init__(self, path: Path, clock: Clock, *, lag_seconds: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.truncate(_SLOTS * _SECONDS.size)
            self._table = mmap.mmap(file.fileno(), _SLOTS * _SECONDS.size)
        self._clock = clock
        self._lag_seconds = lag_seconds

    def note(self, caller: UUID) -> None:
        """Remember that the caller has written now."""
        _SECONDS.pack_into(self._table, self._offset(caller), self._clock.now().timestamp())

    def has_written(self, caller: UUID) -> bool:
        """Whether the caller's last write may not have reached the replica yet."""
        (written_at,) = _SECONDS.unpack_from(self._table, self._offset(caller))
        return bool(self._clock.now().timestamp() - written_at < self._lag_seconds)

    def close(self) -> None:
        """Release the mapping."""
        self._table.close()

    @staticmethod
    def _offset(caller: UUID) -> int:
        return (caller.int % _SLOTS) * _SECONDS.size
