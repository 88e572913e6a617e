"""The engines: what is set on each connection, who may write, and what happens when connections die or run out."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import uvloop
from sqlalchemy import Table, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.auth.models import User
from app.auth.repository import UserRepository
from app.core.errors import ServiceUnavailableError
from app.db import engine as engine_module
from app.db.engine import Database, asyncpg_connect
from app.db.errors import to_app_error
from app.db.failpoints import Failpoints
from app.main import Services
from tests.conftest import AppFactory, client_of
from tests.db.rows import row_of
from tests.support import API, PASSWORD, Account, make_settings

MakeDatabase = Callable[..., Database]
USERS: Table = User.__table__


@pytest.fixture
async def make_database(database_url: str, tmp_path: Path) -> AsyncIterator[MakeDatabase]:
    """Opens the test database with other settings; closed after the test."""
    opened: list[Database] = []

    def make(**overrides: Any) -> Database:
        opened.append(Database(make_settings(database_url, tmp_path, **overrides), Failpoints()))
        return opened[-1]

    yield make
    for database in opened:
        await database.close()


async def value(database: Database, query: str) -> Any:
    async with database.reader.connect() as connection:
        return await connection.scalar(text(query))


async def backend_id(connection: Any) -> int:
    """The server's own number of a connection."""
    query = "pg_backend_pid()" if connection.dialect.name == "postgresql" else "connection_id()"
    return int(await connection.scalar(text(f"SELECT {query}")))


def kill_statement(database: Database, backend: int) -> str:
    """The statement that ends a connection from the server's side."""
    return f"SELECT pg_terminate_backend({backend})" if database.url.backend == "postgresql" else f"KILL {backend}"


async def test_every_connection_is_tuned(make_database: MakeDatabase) -> None:
    """The pragmas and timeouts of the reliability rules are really in force."""
    database = make_database(request_timeout_seconds=7.0, db_command_timeout=2.5)
    match database.url.backend:
        case "sqlite":
            expected = {"foreign_keys": 1, "journal_mode": "wal", "synchronous": 2, "busy_timeout": 10000}
            for engine in (database.writer, database.reader):
                async with engine.connect() as connection:
                    for pragma, setting in expected.items():
                        assert await connection.scalar(text(f"PRAGMA {pragma}")) == setting
        case "postgresql":
            assert await value(database, "SHOW statement_timeout") == "2500ms"
            assert await value(database, "SHOW idle_in_transaction_session_timeout") == "7s"
            assert await value(database, "SHOW application_name") == "merit"
        case _:
            assert await value(database, "SELECT @@time_zone") == "+00:00"
            assert await value(database, "SELECT @@innodb_lock_wait_timeout") == 2
            assert await value(database, "SELECT @@character_set_client") == "utf8mb4"
            async with database.session() as session:
                variables = "SHOW VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')"
                assert {row[1] for row in await session.execute(text(variables))} == {"READ-COMMITTED"}


async def test_a_read_ends_no_transaction(make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none in the reading lane; to end it would be a round trip, or a turn of SQLite's thread."""
    database = make_database()
    if database.url.backend == "postgresql":
        pytest.skip("asyncpg sends nothing where there is no transaction")
    async with database.reader.connect() as connection:
        adapter: Any = type((await connection.get_raw_connection()).dbapi_connection)
    rollbacks = create_autospec(adapter.rollback, side_effect=adapter.rollback)
    monkeypatch.setattr(adapter, "rollback", rollbacks)
    assert await value(database, "SELECT 1") == 1
    await database.read_session().rows(select(USERS.c.id))
    assert rollbacks.call_count == 0
    async with database.session() as session:
        await session.rows(select(USERS.c.id))
    assert rollbacks.call_count > 0, "in the writing lane there is one"


async def test_200_parallel_updates_lose_none(services: Services, account: Account) -> None:
    """Lost updates happen everywhere with read-modify-write: 200 atomic ones in parallel leave 200."""

    async def raise_version() -> None:
        async with services.database.session() as session:
            users = UserRepository(session, services.clock)
            assert await users.update_where(
                User.email == account.email, values={User.auth_version: User.auth_version + 1}
            )
            await session.commit()

    before = await _user(services, account)
    await asyncio.gather(*(raise_version() for _ in range(200)))
    after = await _user(services, account)
    assert (after.auth_version, after.row_version) == (before.auth_version + 200, before.row_version + 200)


async def test_sqlite_has_one_writer_who_holds_the_lock_from_the_start(
    make_database: MakeDatabase, account: Account
) -> None:
    """`BEGIN IMMEDIATE` behind one connection: a unit of work that only reads at first can still write later."""
    database = make_database()
    if database.url.backend != "sqlite":
        async with database.session() as first, database.session() as second:  # servers have many writers
            assert await first.scalar(text("SELECT 1")) == await second.scalar(text("SELECT 1")) == 1
        return
    stranger = sqlite3.connect(database.url.synchronous.database or "", timeout=0, isolation_level=None)
    async with database.session() as session:
        await session.execute(text("SELECT count(*) FROM users"))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            stranger.execute("BEGIN IMMEDIATE")
        second = database.session()
        waiting = asyncio.create_task(second.execute(text("SELECT count(*) FROM users")))
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        assert not done
        async with database.reader.connect() as reading:  # readers do not wait for the writer
            assert await reading.scalar(text("SELECT count(*) FROM users")) == 1
        await session.rollback()
        await waiting
        await second.close()
    stranger.execute("BEGIN IMMEDIATE")
    stranger.close()


async def test_an_exhausted_pool_answers_503(make_app: AppFactory) -> None:
    """Promise 2: nobody waits longer for a connection than the settings allow, and is told when to come back."""
    limits = {"db_pool_size": 1, "db_max_overflow": 0, "db_pool_timeout": 0.2, "request_timeout_seconds": 1.0}
    async with make_app(**limits) as app, client_of(app) as client:
        database: Database = app.state.merit.database
        async with database.session() as holder:
            await holder.execute(text("SELECT 1"))
            answer = await client.post(f"{API}/auth/register", json={"email": "a@example.com", "password": PASSWORD})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["content-type"] == "application/problem+json"
            async with database.session() as second:
                with pytest.raises(PoolTimeoutError) as caught:
                    await second.execute(text("SELECT 1"))
            assert isinstance(to_app_error(caught.value), ServiceUnavailableError)
        answer = await client.post(f"{API}/auth/register", json={"email": "a@example.com", "password": PASSWORD})
        assert answer.status_code == 201


@pytest.mark.parametrize("rest_seconds", [0.0, 1000.0])
async def test_a_connection_that_died_while_idle_is_replaced(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch, rest_seconds: float
) -> None:
    """The next use of a killed connection works, whether the death was noticed by itself or only by the ping."""
    database = make_database(db_pool_size=1, db_max_overflow=0)
    if database.url.backend == "sqlite":
        assert await value(database, "SELECT 1") == 1
        return
    monkeypatch.setattr(engine_module, "_PING_AFTER_IDLE_SECONDS", rest_seconds)
    async with database.writer.connect() as connection:
        first = await backend_id(connection)
    async with make_database().reader.connect() as other:
        await other.execute(text(kill_statement(database, first)))
    if rest_seconds and database.url.backend == "mysql":
        # Its driver notices nothing by itself: a connection used a moment ago is not asked, and the failure is a 503.
        with pytest.raises(DBAPIError) as caught:
            async with database.writer.connect() as connection:
                await connection.execute(text("SELECT 1"))
        assert isinstance(to_app_error(caught.value), ServiceUnavailableError)
    else:
        await _until_noticed(database)
    async with database.writer.connect() as connection:
        second = await backend_id(connection)
        assert second != first
    async with database.writer.connect() as connection:
        assert await backend_id(connection) == second  # pinged, alive and kept


async def _until_noticed(database: Database) -> None:
    """Let the event loop read the server's goodbye; what the ping finds needs no wait."""
    if database.url.backend == "postgresql":
        await asyncio.sleep(0.05)


async def test_a_connection_that_dies_in_use_is_a_503(make_database: MakeDatabase) -> None:
    """A lost connection is a passing failure, and the next unit of work has a new one."""
    database = make_database(db_pool_size=1, db_max_overflow=0)
    if database.url.backend == "sqlite":
        return
    async with database.session() as session:
        await session.execute(text("SELECT 1"))
        backend = await backend_id(await session.connection())
        async with make_database().reader.connect() as other:
            await other.execute(text(kill_statement(database, backend)))
        with pytest.raises(DBAPIError) as caught:
            await session.execute(text("SELECT 1"))
        assert isinstance(to_app_error(caught.value), ServiceUnavailableError)
    assert await value(database, "SELECT 1") == 1


async def test_a_statement_that_takes_too_long_is_stopped(make_database: MakeDatabase) -> None:
    """Command timeouts: the statement ends, the caller gets 503, and the connection can be used again."""
    database = make_database(db_command_timeout=1.0, db_pool_size=1, db_max_overflow=0)
    sleep = {"postgresql": "SELECT pg_sleep(20)", "mysql": "SELECT count(*) FROM users WHERE sleep(20) = 0"}
    if database.url.backend == "sqlite":
        return
    async with database.session() as session:
        await session.execute(insert(User), [row_of(USERS, 0)])
        with pytest.raises((DBAPIError, TimeoutError)) as caught:
            await session.execute(text(sleep[database.url.backend]))
        assert isinstance(to_app_error(caught.value), ServiceUnavailableError)
    assert await value(database, "SELECT 1") == 1


async def test_a_database_that_is_away_is_said_so_in_time(
    make_database: MakeDatabase, tmp_path: Path, unused_tcp_port: int
) -> None:
    """`check` gives up after its budget, and an address where nobody listens is an error at once."""
    database = make_database(db_pool_size=1, db_max_overflow=0, db_pool_timeout=5.0)
    await database.check()
    if database.url.backend != "sqlite":
        async with database.reader.connect():
            with pytest.raises(TimeoutError):
                await database.check(seconds=0.05)
        away = database.url.synchronous.set(host="127.0.0.1", port=unused_tcp_port)
        closed = Database(make_settings(away.render_as_string(hide_password=False), tmp_path), Failpoints())
        with pytest.raises((DBAPIError, OSError)) as caught:
            await closed.check()
        assert isinstance(to_app_error(caught.value), ServiceUnavailableError)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_hangs_up_at_once_is_a_503(scheme: str, tmp_path: Path) -> None:
    """On the event loop of production, as a proxy without its database behaves."""

    async def connect() -> None:
        def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        database = Database(make_settings(f"{scheme}://u@127.0.0.1:{port}/d", tmp_path), Failpoints())
        with pytest.raises(Exception, match=r"(?s).*") as caught:
            await database.check(5.0)
        assert isinstance(to_app_error(caught.value), ServiceUnavailableError)
        await database.close()
        server.close()

    with ThreadPoolExecutor(1) as thread:  # this thread has a loop of its own already
        thread.submit(uvloop.run, connect()).result(30)


async def test_the_listener_has_a_connection_outside_the_pool(database_url: str, tmp_path: Path) -> None:
    """The revocation feed's own connection goes to the same place with the same credentials."""
    settings = make_settings(database_url, tmp_path)
    database = Database(settings, Failpoints())
    if database.url.backend == "postgresql":
        connection = await asyncpg_connect(database.url, settings)
        assert await connection.fetchval("SELECT current_database()") == database.url.synchronous.database
        assert await connection.fetchval("SHOW application_name") == "merit listener"
        await connection.close()
    await database.close()


def test_the_fingerprint_is_of_the_place_and_not_of_the_password(tmp_path: Path) -> None:
    """Workers of one database share run-time files by it."""
    names = {
        url: Database(make_settings(url, tmp_path), Failpoints()).fingerprint
        for url in ("postgresql://u:one@h/d", "postgres://u:two@h/d", "postgresql://u:one@h/e")
    }
    first, second, other = names.values()
    assert first == second != other


@pytest.mark.parametrize(
    ("version", "is_safe"),
    [((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True), ((3, 50, 6), False), ((3, 50, 7), True),
     ((3, 51, 2), False), ((3, 51, 3), True), ((3, 52, 0), True), ((3, 46, 9), False)],
)  # fmt: skip
def test_operators_hear_of_an_sqlite_that_may_lose_writes(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], is_safe: bool
) -> None:
    """SQLite before 3.44.6, 3.50.7 and 3.51.3 can lose committed WAL writes; readiness says so."""
    database = make_database()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    assert bool(database.warnings()) is (database.url.backend == "sqlite" and not is_safe)


def test_operators_hear_of_workers_that_share_one_file(make_database: MakeDatabase) -> None:
    database = make_database(workers=2)
    assert any("2 workers" in warning for warning in database.warnings()) is (database.url.backend == "sqlite")


async def _user(services: Services, account: Account) -> User:
    async with services.database.read_session() as session:
        user = await UserRepository(session, services.clock).get_by(User.email_normalized, account.email.lower())
    assert user is not None
    return user
