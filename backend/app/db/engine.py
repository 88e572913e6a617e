"""The engines of one database, tuned as `docs/reliability.md` tells."""

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
from sqlalchemy import ColumnElement, Engine, Executable, Row, Select, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import ORMExecuteState
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.util.concurrency import greenlet_spawn

from app.core.settings import DatabasePooler, Settings
from app.db import sqlite
from app.db.failpoints import Failpoints
from app.db.query import ModelT, PreparedSelect
from app.db.types import dump_json
from app.db.url import DatabaseUrl, database_url, mysql_login, replica_url, tls_context

_PING_AFTER_IDLE_SECONDS = 1.0
_POOL_RECYCLE_SECONDS = 1800
_SQLITE_READERS = 4
_NOT_KEPT: dict[str, Any] = {"compiled_cache": None}
LISTENER_NAME = "merit listener"
"""The `application_name` of connections that wait for notices."""

Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]
BeforeCommit = Callable[["Session", list[Any]], Awaitable[None]]
AfterCommit = Callable[[], Awaitable[None]]


class Session(AsyncSession):
    """An AsyncSession that reads snapshots, and runs what must precede its commit, or follow it before the answer."""

    def __init__(self, *args: Any, failpoints: Failpoints, **kwargs: Any) -> None:
        super().__init__(*args, expire_on_commit=False, autoflush=False, **kwargs)
        self._failpoints = failpoints
        self._before_commit: dict[BeforeCommit, list[Any]] = {}
        self._after_commit: list[AfterCommit] = []

    @property
    def dialect_name(self) -> str:
        """sqlite, postgresql or mysql."""
        return self.get_bind().dialect.name

    def before_commit(self, action: BeforeCommit, item: Any) -> None:
        """Run `action(session, items)` as the last work of the present transaction; a rollback forgets it.

        An action runs once, with the items of all calls in their order. Where it fails, nothing is committed.
        """
        self._before_commit.setdefault(action, []).append(item)

    def after_commit(self, action: AfterCommit) -> None:
        """Run `action` once the present transaction is committed; a rollback forgets it."""
        self._after_commit.append(action)

    async def commit(self) -> None:
        """Run the `before_commit` actions, commit, then run the `after_commit` actions."""
        try:
            while self._before_commit:
                first = next(iter(self._before_commit))
                await first(self, self._before_commit.pop(first))
        except BaseException:
            await self.rollback()  # commit: nothing stands by half
            raise
        if self.in_transaction():  # failpoints stand around real commits only
            self._failpoints.hit("before_commit")
            await super().commit()  # commit: this is the method itself
            self._failpoints.hit("after_commit")
        actions, self._after_commit = self._after_commit, []
        async with AsyncExitStack() as stack:  # runs them all, though one should fail
            for action in reversed(actions):
                stack.push_async_callback(action)

    async def rollback(self) -> None:
        """Roll back, and forget the actions."""
        self._before_commit.clear()
        self._after_commit.clear()
        await super().rollback()  # commit: this is the method itself

    async def rows(
        self, statement: Select[Any], values: Mapping[str, Any] | None = None, *, keep: bool = True
    ) -> Sequence[Row[Any]]:
        """The rows that a select finds, inside this session's transaction, without the ORM's share of the cost.

        SQLAlchemy keeps what it compiles, but with `keep` false: where callers make up the statement's shape.
        """
        return await self.run_sync(_rows, statement, values, keep)

    async def change(self, statement: Executable, values: Values | None = None) -> int:
        """Run a statement that writes, without the ORM's share of the cost; the number of rows that it met or made."""
        return await self.run_sync(_change, statement, values)

    async def fetch(
        self, query: PreparedSelect[ModelT], values: Mapping[str, Any], *where: ColumnElement[bool]
    ) -> list[ModelT]:
        """The snapshots that a prepared select finds, inside this session's transaction.

        `values` are its parameters; `where` narrows it for this once.
        """
        rows = await self.rows(query.statement.where(*where) if where else query.statement, values)
        return [query.snapshot(row) for row in rows]


# A statement with all that belongs to it is one call from the asynchronous side: each costs a greenlet.
def _rows(
    session: SyncSession, statement: Select[Any], values: Mapping[str, Any] | None, keep: bool
) -> Sequence[Row[Any]]:
    return session.connection().execute(statement, values, execution_options=None if keep else _NOT_KEPT).all()


def _change(session: SyncSession, statement: Executable, values: Values | None) -> int:
    return session.connection().execute(statement, values).rowcount


def _rows_alone(
    engine: Engine, statement: Select[Any], values: Mapping[str, Any] | None, keep: bool
) -> Sequence[Row[Any]]:
    with engine.connect() as connection:
        return connection.execute(statement, values, execution_options=None if keep else _NOT_KEPT).all()


class _ReadOnlySession(SyncSession):
    """What a ReadSession works with; see `_refuse_to_write`."""


@event.listens_for(_ReadOnlySession, "do_orm_execute")
def _refuse_to_write(state: ORMExecuteState) -> None:
    if not state.is_select:
        raise RuntimeError("a read session cannot write")


class ReadSession(Session):
    """A session for requests that change nothing: every statement stands alone, and writing raises RuntimeError."""

    sync_session_class = _ReadOnlySession

    async def flush(self, _objects: Any = None) -> None:
        """Refuse to write.

        Raises:
            RuntimeError: always; a GET request tried to write.
        """
        raise RuntimeError("a read session cannot write")

    async def change(self, _statement: Executable, _values: Values | None = None) -> int:
        """Refuse to write.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a read session cannot write")

    def before_commit(self, _action: BeforeCommit, _item: Any) -> None:
        """Refuse to promise what would never be written.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a read session cannot write")

    async def commit(self) -> None:
        """Nothing to commit."""

    async def rows(
        self, statement: Select[Any], values: Mapping[str, Any] | None = None, *, keep: bool = True
    ) -> Sequence[Row[Any]]:
        """The rows that a select finds, on a connection of the pool for just this statement."""
        engine = self.bind
        if not isinstance(engine, AsyncEngine):
            return await super().rows(statement, values, keep=keep)
        return await greenlet_spawn(_rows_alone, engine.sync_engine, statement, values, keep)

    async def fetch(
        self, query: PreparedSelect[ModelT], values: Mapping[str, Any], *where: ColumnElement[bool]
    ) -> list[ModelT]:
        """The snapshots that a prepared select finds; see `Session.fetch`.

        On PostgreSQL the text goes straight to asyncpg on a connection of the pool: SQLAlchemy's execution costs
        more than all the rest of a small request. Without a transaction there is nothing else it would do.
        """
        engine = self.bind
        if where or not isinstance(engine, AsyncEngine) or engine.dialect.driver != "asyncpg":
            return await super().fetch(query, values, *where)
        compiled = query.compiled(engine.dialect)
        pooled = await greenlet_spawn(engine.sync_engine.pool.connect)
        try:
            driver: Any = pooled.driver_connection
            records = await driver.fetch(compiled.sql, *compiled.arguments(values))
        finally:
            await greenlet_spawn(pooled.close)
        return [query.snapshot(compiled.convert(record)) for record in records]


class Database:
    """The connections of one process: a lane for units of work, a lane for reads, and a replica if there is one.

    On SQLite the writing lane is a single connection, so that the pool is the in-process write lock.
    """

    def __init__(self, settings: Settings, failpoints: Failpoints) -> None:
        self.url: DatabaseUrl = database_url(settings)
        self.failpoints = failpoints
        self._workers = settings.workers
        if self.url.backend == "sqlite":
            settings.make_data_dir()
            # Writers queue for the lock as long as their requests may take; readers find a connection soon or never.
            patience = settings.request_timeout_seconds
            self.writer = sqlite.make_engine(self.url, settings, 1, pool_timeout=patience, begin="BEGIN IMMEDIATE")
            self.reader = sqlite.make_engine(
                self.url, settings, _SQLITE_READERS, pool_timeout=settings.db_pool_timeout, begin=None
            )
        else:
            self.writer = _server_engine(self.url, settings)
            self.reader = _reading_lane(self.writer, self.url, settings)
        replica = replica_url(settings)
        self.replica = None if replica is None else _server_engine(replica, settings, isolation_level="AUTOCOMMIT")

    def session(self) -> Session:
        """A session for one unit of work."""
        return Session(self.writer, failpoints=self.failpoints)

    def read_session(self, *, from_replica: bool = False) -> ReadSession:
        """A session for reads, from the replica where one exists and may be a little behind."""
        engine = self.replica if from_replica and self.replica is not None else self.reader
        return ReadSession(engine, failpoints=self.failpoints)

    async def check(self, seconds: float = 1.0) -> None:
        """Ask the database for a sign of life.

        Raises:
            TimeoutError: none came within `seconds`.
            DBAPIError: it cannot be reached.
        """
        async with asyncio.timeout(seconds), self.reader.connect() as connection:
            await connection.execute(text("SELECT 1"))

    @property
    def fingerprint(self) -> str:
        """A short name for this database, the same in every process that uses it."""
        return hashlib.sha256(self.url.synchronous.render_as_string(hide_password=True).encode()).hexdigest()[:16]

    def warnings(self) -> list[str]:
        """What an operator should know of this database."""
        if self.url.backend != "sqlite":
            return []
        warnings = []
        if not sqlite.is_wal_safe(sqlite3.sqlite_version_info):
            warnings.append(f"SQLite {sqlite3.sqlite_version} may lose WAL writes under concurrent checkpoints")
        if self._workers > 1:
            warnings.append(f"SQLite serves one process best; {self._workers} workers write to it")
        return warnings

    async def close(self) -> None:
        """Close every connection."""
        for engine in {self.writer, self.reader, self.replica} - {None}:
            await engine.dispose()  # type: ignore[union-attr]


def _reading_lane(writer: AsyncEngine, url: DatabaseUrl, settings: Settings) -> AsyncEngine:
    """The writer's pool where leaving transactions out costs nothing; on MySQL, where it is a round trip, its own."""
    if url.backend == "postgresql":
        return writer.execution_options(isolation_level="AUTOCOMMIT")
    return _server_engine(url, settings, isolation_level="AUTOCOMMIT")


def _server_engine(url: DatabaseUrl, settings: Settings, *, isolation_level: str = "READ COMMITTED") -> AsyncEngine:
    connect_args = _asyncpg_args(url, settings) if url.backend == "postgresql" else _mysql_args(url, settings)
    engine = create_async_engine(
        url.asynchronous,
        echo=settings.db_echo,
        hide_parameters=True,
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        pool_timeout=settings.db_pool_timeout,
        pool_recycle=_POOL_RECYCLE_SECONDS,
        pool_use_lifo=True,
        json_serializer=dump_json,
        json_deserializer=orjson.loads,
        connect_args=connect_args,
        isolation_level=isolation_level,
        skip_autocommit_rollback=True,  # it would be a round trip for each read
    )
    _ping_when_idle(engine)
    if url.backend == "mysql":
        _connect_honestly(engine)
    else:
        _give_up_at_once(engine)
    return engine


def _asyncpg_args(url: DatabaseUrl, settings: Settings) -> dict[str, Any]:
    args: dict[str, Any] = {
        "timeout": settings.db_connect_timeout,
        "command_timeout": settings.db_command_timeout,
        "ssl": tls_context(url) or False,
        "server_settings": {"application_name": "merit", **url.session},
    }
    if settings.db_pooler is DatabasePooler.PGBOUNCER:
        # The pooler hands each transaction another server connection: nothing may be remembered on one.
        unnamed = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        return args | unnamed | {"prepared_statement_name_func": lambda: f"__merit_{uuid4()}__"}
    milliseconds = str(round(settings.db_command_timeout * 1000))
    args["server_settings"] |= {
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": str(round(settings.request_timeout_seconds * 1000)),
        "jit": "off",
    }
    return args


async def asyncpg_connect(url: DatabaseUrl, settings: Settings) -> asyncpg.Connection:
    """A connection of its own to PostgreSQL, outside the pool and for as long as its holder lives."""
    _, where = create_async_engine(url.asynchronous).dialect.create_connect_args(url.asynchronous)
    return await asyncpg.connect(
        **where,
        timeout=settings.db_connect_timeout,
        command_timeout=settings.db_command_timeout,
        ssl=tls_context(url) or False,
        server_settings={**url.session, "application_name": LISTENER_NAME},
    )


def _mysql_args(url: DatabaseUrl, settings: Settings) -> dict[str, Any]:
    seconds = max(1, round(settings.db_command_timeout))
    return mysql_login(url, settings) | {
        "read_timeout": seconds + 0.5,  # the server, if it is there, has ended the statement by then
        # MariaDB runs what stands in /*M! */, MySQL what stands in /*!80000 */.
        "init_command": (
            f"SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = {seconds}"
            f" /*M! , max_statement_time = {seconds} */ /*!80000 , max_execution_time = {seconds * 1000} */"
        ),
    }


def _ping_when_idle(engine: AsyncEngine) -> None:
    """Pre-ping without its round trip on a busy pool: only a connection that has rested is asked before use."""

    @event.listens_for(engine.sync_engine, "checkin")
    def _note_time(_connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def _ping(connection: Any, record: Any, _proxy: Any) -> None:
        idle_since = record.info.get("idle_since")
        is_closed = getattr(connection.driver_connection, "is_closed", None)
        if is_closed is not None and is_closed():
            raise DisconnectionError
        if idle_since is None or time.monotonic() - idle_since < _PING_AFTER_IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error:
            raise DisconnectionError from None


def _give_up_at_once(engine: AsyncEngine) -> None:
    """Drop a connection whose request is cancelled: a farewell waits up to 2 s for a server that may be gone.

    Whatever the server still does for it ends by its own `statement_timeout`.
    """

    def terminate(connection: Any) -> None:
        connection.driver_connection.terminate()

    engine.dialect.do_terminate = terminate  # type: ignore[method-assign,assignment] # no event is there for it


def _connect_honestly(engine: AsyncEngine) -> None:
    """On uvloop asyncmy takes a server that hangs up at once for a programming error."""

    @event.listens_for(engine.sync_engine, "do_connect")
    def _connect(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        try:
            return dialect.connect(*arguments, **options)
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from error
