"""Connections to SQLite that send each statement to their thread once.

A connection of aiosqlite is a thread. SQLAlchemy makes a cursor, executes, fetches and closes it: four trips to that
thread and back, each of which costs more than a small statement. Here all of it is one trip.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Self

import aiosqlite

_ITER_CHUNK_SIZE = 64
"""aiosqlite's own default; nothing here fetches in chunks."""


def connect(database: str, **options: Any) -> aiosqlite.Connection:
    """What `aiosqlite.connect` gives, with cursors that need one trip. Its thread does not keep the process alive."""
    connection = _Connection(lambda: sqlite3.connect(database, **options), _ITER_CHUNK_SIZE)
    connection._thread.daemon = True  # as SQLAlchemy does with the connections that it makes itself
    return connection


class _Connection(aiosqlite.Connection):
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
