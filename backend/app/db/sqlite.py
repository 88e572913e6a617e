"""The engines of a SQLite database, whose connections send each statement to their thread once.

A connection of aiosqlite is a thread. SQLAlchemy makes a cursor, executes, fetches and closes it: four trips to that
thread and back, each of which costs more than a small statement. Here all of it is one trip, so that rows are never
streamed (`AsyncConnection.stream` fails): SQLAlchemy fetches them all at once anyway.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Self

import aiosqlite
import orjson
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.settings import Settings
from app.db.types import dump_json
from app.db.url import DatabaseUrl

_ITER_CHUNK_SIZE = 64
"""aiosqlite's own default; nothing here fetches in chunks."""
_PRAGMAS = ("foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000")
# SQLite before these may lose committed WAL writes when two connections checkpoint at once (sqlite.org/wal.html).
_WAL_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))


def make_engine(
    url: DatabaseUrl, settings: Settings, pool_size: int, *, pool_timeout: float, begin: str | None
) -> AsyncEngine:
    """Make a lane of so many connections, whose transactions start with `begin`; None makes a lane without any."""
    engine = create_async_engine(
        url.asynchronous,
        echo=settings.db_echo,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        json_serializer=dump_json,
        json_deserializer=orjson.loads,
        connect_args={"isolation_level": None, "timeout": 10.0, "async_creator_fn": connect},
        skip_autocommit_rollback=begin is None,  # there is no transaction to end
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _set_pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    if begin is not None:

        @event.listens_for(engine.sync_engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql(begin)

    return engine


def is_wal_safe(version: tuple[int, ...]) -> bool:
    """Whether this SQLite keeps what it has committed."""
    same_line = [fixed for fixed in _WAL_FIXED if fixed[:2] == version[:2]]
    return version >= (same_line[0] if same_line else max(_WAL_FIXED))


def connect(database: str, **options: Any) -> aiosqlite.Connection:
    """What `aiosqlite.connect` gives, with cursors that need one trip. Its thread does not keep the process alive."""
    connection = _Connection(lambda: sqlite3.connect(database, **options), _ITER_CHUNK_SIZE)
    connection._thread.daemon = True  # as SQLAlchemy does with the connections that it makes itself
    return connection


class _Connection(aiosqlite.Connection):
    async def _connect(self) -> Self:
        try:
            return await super()._connect()  # type: ignore[return-value] # of aiosqlite
        except BaseException:
            # Its thread was told to end, and answers to this loop: closed by then, that would be an error there.
            await asyncio.to_thread(self._thread.join)
            raise

    def cursor(self) -> "_Cursor":  # type: ignore[override] # what SQLAlchemy needs of one
        """A cursor that is not yet in the thread."""
        return _Cursor(self)

    async def in_thread(self, function: Callable[[sqlite3.Connection], Any]) -> Any:
        """Call a function with the connection, in its thread."""
        return await self._execute(function, self._conn)  # type: ignore[no-untyped-call] # of aiosqlite


class _Cursor:
    """A statement that was run, read to its end and closed in one trip, and what came of it."""

    arraysize = 1

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Self:
        """Run one statement."""
        return await self._run(lambda cursor: cursor.execute(sql, parameters))

    async def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> Self:
        """Run one statement with each of many parameters."""
        return await self._run(lambda cursor: cursor.executemany(sql, parameters))

    async def _run(self, execute: Callable[[sqlite3.Cursor], Any]) -> Self:
        def run(connection: sqlite3.Connection) -> tuple[Any, list[Any], int, int | None]:
            cursor = connection.cursor()
            try:
                execute(cursor)
                rows = cursor.fetchall() if cursor.description else []
                return cursor.description, rows, cursor.rowcount, cursor.lastrowid
            finally:
                cursor.close()

        self.description, self._rows, self.rowcount, self.lastrowid = await self._connection.in_thread(run)
        return self

    async def fetchall(self) -> list[Any]:
        """The rows of the statement."""
        return self._rows

    async def close(self) -> None:
        """Nothing: it was closed in the thread."""
