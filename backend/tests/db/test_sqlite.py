"""Statements that go to the thread of a SQLite connection once."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import sqlite
from app.db.url import database_url
from tests.support import make_settings

INSERT = text("INSERT INTO notes (id, word) VALUES (:id, :word)")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A reading lane on a database of its own, with one connection and a table `notes`."""
    settings = make_settings(f"sqlite:///{tmp_path / 'notes.db'}", tmp_path)
    engine = sqlite.make_engine(database_url(settings), settings, 1, pool_timeout=1, begin=None)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE notes (id INTEGER PRIMARY KEY, word TEXT NOT NULL)"))
    yield engine
    await engine.dispose()


async def test_a_statement_is_one_trip(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    trips = 0
    ask: Any = sqlite._Connection._execute

    async def counted(*arguments: Any) -> Any:
        nonlocal trips
        trips += 1
        return await ask(*arguments)

    async with engine.connect() as connection:
        monkeypatch.setattr(sqlite._Connection, "_execute", counted)
        await connection.execute(INSERT, {"id": 1, "word": "one"})
        assert trips == 1
        assert (await connection.execute(text("SELECT word FROM notes"))).scalars().all() == ["one"]
        assert trips == 2


async def test_what_came_of_a_statement_is_told(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        many = [{"id": number, "word": f"word {number}"} for number in range(5)]
        assert (await connection.execute(INSERT, many)).rowcount == 5
        changed = await connection.execute(text("UPDATE notes SET word = 'x' WHERE id > :id"), {"id": 2})
        assert changed.rowcount == 2
        found = await connection.execute(
            text("SELECT id, word FROM notes WHERE id IN :ids").bindparams(bindparam("ids", [0, 4], expanding=True))
        )
        assert list(found.keys()) == ["id", "word"]
        assert found.all() == [(0, "word 0"), (4, "x")]
        assert (await connection.execute(text("INSERT INTO notes (word) VALUES ('last')"))).lastrowid == 5
        assert (await connection.execute(text("SELECT 1 WHERE 0"))).all() == []
        returned = await connection.execute(text("DELETE FROM notes WHERE id < 2 RETURNING id"))
        assert returned.scalars().all() == [0, 1]


async def test_a_refused_statement_leaves_the_connection_usable(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(INSERT, {"id": 1, "word": "one"})
        with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: notes\.id"):
            await connection.execute(INSERT, {"id": 1, "word": "two"})
        assert await connection.scalar(text("SELECT count(*) FROM notes")) == 1


async def test_a_statement_does_not_hold_the_loop(engine: AsyncEngine) -> None:
    slow = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT max(i) FROM n")
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    async with engine.connect() as connection:
        assert await connection.scalar(slow) == 300_000
    turning.cancel()
    assert turns > 10


async def test_its_thread_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    connection = sqlite.connect(str(tmp_path / "x.db"))
    assert connection._thread.daemon
    async with connection:
        assert isinstance(connection._conn, sqlite3.Connection)


async def test_a_connection_that_nobody_waits_for_any_more_ends_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the loop was closed before its thread had answered, the thread would end with an error."""
    opening, opened, open_it = threading.Event(), threading.Event(), sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opening.set()
        assert opened.wait(5)
        made: sqlite3.Connection = open_it(*arguments, **options)
        return made

    monkeypatch.setattr(sqlite3, "connect", connect)
    connection = sqlite.connect(str(tmp_path / "x.db"))

    async def wait() -> None:
        await connection

    waiting = asyncio.create_task(wait())
    assert await asyncio.to_thread(opening.wait, 5)
    waiting.cancel()
    await asyncio.sleep(0)  # it hears of it before it hears of the connection
    opened.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not connection._thread.is_alive()
