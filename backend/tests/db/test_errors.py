"""What real failures of real databases mean for the caller."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, UniqueConstraint, insert, text, update
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

from app.auth.errors import UsernameTakenError
from app.auth.models import User
from app.auth.repository import UserRepository
from app.core.clock import Clock
from app.core.errors import (
    AppError,
    ConflictError,
    InvalidInputError,
    ServiceUnavailableError,
    StorageFullError,
)
from app.core.ids import new_id
from app.db.engine import Database, Session
from app.db.errors import is_deadlock, to_app_error
from app.db.failpoints import Failpoints
from app.main import Services
from app.models import Base
from tests.db.rows import Parents, row_of
from tests.support import make_settings

USERS: Table = User.__table__
UNIQUE = [
    (table.name, constraint.name)
    for table in Base.metadata.sorted_tables
    for constraint in sorted(table.constraints, key=lambda item: str(item.name))
    if isinstance(constraint, UniqueConstraint)
]


@pytest.fixture
async def session(services: Services) -> AsyncIterator[Session]:
    async with services.database.session() as session:
        yield session


async def failure(session: Session, statement: Any, *rows: Any) -> AppError | None:
    """What the failure of a statement becomes."""
    with pytest.raises(Exception, match=r"(?s).*") as caught:
        await session.execute(statement, *rows)
    await session.rollback()
    return to_app_error(caught.value)


async def add_parents(session: Session, table: Table) -> Parents:
    """Add rows that those of a table may point at, and the rows that these point at."""
    wanted = {table}
    while above := {key.column.table for one in wanted for key in one.foreign_keys} - wanted:
        wanted |= above
    parents: Parents = {}
    for parent in (one for one in Base.metadata.sorted_tables if one in wanted - {table}):
        rows = [row_of(parent, number, parents) for number in range(3)]
        await session.execute(insert(parent), rows)
        key = next(iter(parent.primary_key.columns))
        parents[str(key)] = [row[key.key] for row in rows]
    return parents


@pytest.mark.parametrize(("table_name", "constraint_name"), UNIQUE)
async def test_every_unique_constraint_answers_with_its_own_error(
    session: Session, table_name: str, constraint_name: str
) -> None:
    """A violated constraint with a known name → 409 with that constraint's code, on every database."""
    table = Base.metadata.tables[table_name]
    (constraint,) = (item for item in table.constraints if item.name == constraint_name)
    assert isinstance(constraint, UniqueConstraint)
    parents = await add_parents(session, table)
    first, second = row_of(table, 1, parents), row_of(table, 2, parents)
    if "guest_id" in constraint.columns:  # rows have an account otherwise
        first |= {"user_id": None, "guest_id": parents["guests.id"][0]}
        second |= {"user_id": None}
    second |= {column.key: first[column.key] for column in constraint.columns}
    await session.execute(insert(table), [first])
    error = await failure(session, insert(table), [second])
    assert type(error) is constraint.info.get("error", ConflictError)
    assert error is not None
    assert error.status_code == 409


@pytest.mark.parametrize("name", ["""a'b"c""", "for key 'email'", """'"`""", "key 'uq_users_email_normalized'"])
async def test_a_refused_value_does_not_hide_its_constraint(session: Session, name: str) -> None:
    """MySQL quotes the value before the constraint."""
    first, second = row_of(USERS, 1), row_of(USERS, 2)
    await session.execute(insert(USERS), [first | {"username_normalized": name}])
    error = await failure(session, insert(USERS), [second | {"username_normalized": name}])
    assert type(error) is UsernameTakenError


async def test_other_violations_are_conflicts(session: Session) -> None:
    user = row_of(USERS, 1)
    await session.execute(insert(USERS), [user])
    assert type(await failure(session, insert(USERS), [{**row_of(USERS, 2), "email": None}])) is ConflictError
    sessions = Base.metadata.tables["auth_sessions"]
    orphan = row_of(sessions, 1, {"users.id": [new_id()]})
    assert type(await failure(session, insert(sessions), [orphan])) is ConflictError
    await session.execute(insert(USERS), [user])
    assert type(await failure(session, insert(USERS), [{**row_of(USERS, 2), "id": user["id"]}])) is ConflictError


@pytest.mark.parametrize(
    "values",
    [{"auth_version": 2**31}, {"auth_version": 2**70}, {"hashed_password": "x" * 256}],
    ids=["2^31", "2^70", "long"],
)
async def test_values_out_of_range_are_refused_as_input(session: Session, values: dict[str, Any]) -> None:
    """No input yields a 5xx: a validator is missing then, but the caller is told 422."""
    statement = insert(USERS).values({**row_of(USERS, 1), **values})
    backend = session.bind.dialect.name if session.bind is not None else ""
    if backend == "sqlite" and values.get("auth_version") != 2**70:  # it knows no lengths, and 64 bits everywhere
        await session.execute(statement)
        return
    assert isinstance(await failure(session, statement), InvalidInputError)


async def test_a_deadlock_ends_with_503_for_one_and_success_for_the_other(services: Services) -> None:
    """Serialisation failures pass: the same request may succeed shortly."""
    database = services.database
    if database.url.backend == "sqlite":  # one writer at a time: there is nobody to deadlock with
        return
    first, second = row_of(USERS, 1), row_of(USERS, 2)
    async with database.session() as session:
        await session.execute(insert(USERS), [first, second])
        await session.commit()

    async def touch(session: Session, row: dict[str, Any]) -> None:
        await session.execute(update(User).where(User.id == row["id"]).values(full_name="x"))

    async with database.session() as one, database.session() as two:
        await touch(one, first)
        await touch(two, second)
        outcomes = await asyncio.gather(touch(one, second), touch(two, first), return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, DBAPIError)]
        assert [type(to_app_error(error)) for error in errors] == [ServiceUnavailableError]
        assert is_deadlock(errors[0])


async def test_a_lock_that_is_not_given_in_time_is_a_503(services: Services, tmp_path: Path) -> None:
    database = services.database
    user = row_of(USERS, 1)
    async with database.session() as session:
        await session.execute(insert(USERS), [user])
        await session.commit()
    touch = update(User).where(User.id == user["id"]).values(full_name="x")
    async with impatient(database, tmp_path) as other, database.session() as holder, other.session() as waiter:
        await holder.execute(touch)
        assert isinstance(await failure(waiter, touch), ServiceUnavailableError)


@asynccontextmanager
async def impatient(database: Database, tmp_path: Path) -> AsyncIterator[Database]:
    """The same database by connections that wait at most a second for a lock."""
    url = database.url.synchronous.render_as_string(hide_password=False)
    other = Database(make_settings(url, tmp_path, db_command_timeout=1.0), Failpoints())
    if database.url.backend == "sqlite":
        await pragma(other, "busy_timeout = 1")
    yield other
    await other.close()


async def pragma(database: Database, setting: str) -> None:
    """Set a pragma on the one writing connection, outside a transaction."""
    async with database.writer.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await (await driver.execute(f"PRAGMA {setting}")).close()


async def test_a_full_disk_is_507(services: Services, session: Session, tmp_path: Path) -> None:
    """SQLite's own page limit; the other databases say the words of their own error."""
    url = services.database.url
    if url.backend == "sqlite":
        copy = tmp_path / "small.db"  # without the pages that deleted rows have left free
        async with services.database.reader.connect() as connection:
            await connection.execute(text("VACUUM INTO :path"), {"path": str(copy)})
        small = Database(make_settings(f"sqlite:///{copy}", tmp_path), Failpoints())
        try:
            await pragma(small, "max_page_count = 1")
            async with small.session() as session_:
                rows = [row_of(USERS, number) for number in range(3000)]
                assert isinstance(await failure(session_, insert(USERS), rows), StorageFullError)
        finally:
            await small.close()
        return
    statement = {
        "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$",
        "mysql": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table ''users'' is full'",
    }[url.backend]
    assert isinstance(await failure(session, text(statement)), StorageFullError)


async def test_a_fault_of_ours_is_nothing_a_caller_is_told(session: Session) -> None:
    assert await failure(session, text("SELECT nonsense FROM nowhere")) is None
    assert to_app_error(KeyError("x")) is None
    assert to_app_error(ValueError("x")) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError("network is unreachable"), ServiceUnavailableError),
        (ConnectionResetError(), ServiceUnavailableError),
        (TimeoutError(), ServiceUnavailableError),
        (PoolTimeoutError("pool"), ServiceUnavailableError),
        (DisconnectionError("gone"), ServiceUnavailableError),
        (OperationalError("x", {}, Exception("gone away")), ServiceUnavailableError),
        (InterfaceError("x", {}, Exception("closed")), ServiceUnavailableError),
        (DBAPIError("x", {}, Exception("cut"), connection_invalidated=True), ServiceUnavailableError),
        (DBAPIError("x", {}, Exception("odd")), None),
        (OperationalError("x", {}, Exception("database or disk is full")), StorageFullError),
        (DataError("x", {}, Exception("too long")), InvalidInputError),
        (StaleDataError("1 expected, 0 matched"), ConflictError),
        (IntegrityError("x", {}, Exception("of a kind nobody knows")), ConflictError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_failures_by_their_class(error: Exception, expected: type[AppError] | None) -> None:
    """Those that no database can be brought to at will."""
    assert (None if expected is None else type(to_app_error(error))) is expected
    if expected is ServiceUnavailableError:
        found = to_app_error(error)
        assert found is not None
        assert found.headers["Retry-After"] == "1"


async def test_the_direct_read_path_fails_like_the_other(services: Services) -> None:
    """A read that goes straight to the driver meets its own errors; they mean the same."""
    database = services.database
    if database.url.backend == "sqlite":
        return
    async with database.reader.connect() as connection:
        is_postgres = database.url.backend == "postgresql"
        query = "pg_backend_pid()" if is_postgres else "connection_id()"
        number = await connection.scalar(text(f"SELECT {query}"))
        driver: Any = (await connection.get_raw_connection()).driver_connection
        async with database.session() as other:
            await other.execute(text(f"SELECT pg_terminate_backend({number})" if is_postgres else f"KILL {number}"))
        await asyncio.sleep(0.02)
        with pytest.raises(Exception, match=r"(?s).*") as caught:
            await (driver.fetch("SELECT 1") if is_postgres else driver.query("SELECT 1"))
        assert isinstance(to_app_error(caught.value), ServiceUnavailableError)
        await connection.invalidate()
    async with database.read_session() as session:
        assert await UserRepository(session, Clock()).get(new_id()) is None
