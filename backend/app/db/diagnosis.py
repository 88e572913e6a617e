"""What an operator wants to know of the database server."""

import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.clock import Clock
from app.db.engine import Database

_PINGS = 5
_VERSION = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version", "mysql": "SELECT version()"}
# Both as seconds since 1970, so that no driver's idea of time zones comes between.
_TIME = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT UNIX_TIMESTAMP(SYSDATE(6))",
}


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server's version, the median time of a round trip, and how far its clock is ahead of ours, in seconds.

    An embedded database has no clock of its own: there the last is None.
    """

    version: str
    round_trip_seconds: float
    clock_offset_seconds: float | None


async def examine(database: Database, clock: Clock) -> ServerFacts:
    """Ask the database about itself.

    Raises:
        DBAPIError, OSError, TimeoutError: it cannot be reached.
    """
    backend = database.url.backend
    async with database.reader.connect() as connection:
        version = str(await connection.scalar(text(_VERSION[backend])))
        times = []
        for _ in range(_PINGS):
            started = time.perf_counter()
            await connection.execute(text("SELECT 1"))
            times.append(time.perf_counter() - started)
        offset = await _clock_offset(connection, backend, clock)
    return ServerFacts(version, statistics.median(times), offset)


async def _clock_offset(connection: AsyncConnection, backend: str, clock: Clock) -> float | None:
    if backend not in _TIME:
        return None
    before = clock.now()
    theirs = datetime.fromtimestamp(float(await connection.scalar(text(_TIME[backend])) or 0), UTC)
    return (theirs - before - (clock.now() - before) / 2).total_seconds()
