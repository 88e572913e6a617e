"""The one session of a request: committed before the answer, read-only for GET, from the replica where that is fit."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import create_engine, insert, text, update

from app.auth.models import User
from app.auth.repository import UserRepository
from app.core.clock import Clock
from app.core.errors import ConflictError
from app.core.ids import new_id
from app.db import migrations
from app.db.recent_writers import RecentWriters
from app.db.session import SessionDep
from app.main import Services
from tests.conftest import AppFactory, client_of
from tests.db.rows import row_of
from tests.support import API, PASSWORD, ManualClock, make_settings, register
from tools.databases import fresh_database

REGISTRATION = {"email": "ada@example.com", "password": PASSWORD}


async def count_users(services: Services) -> int:
    async with services.database.read_session() as session:
        return await UserRepository(session, Clock()).count()


async def test_a_commit_that_fails_is_told_and_leaves_nothing(make_app: AppFactory, services: Services) -> None:
    """Commit before the answer: with a failing commit no client ever sees 201."""
    async with make_app(failpoints="before_commit:error", rate_limits="off") as app, client_of(app) as client:
        answer = await client.post(f"{API}/auth/register", json=REGISTRATION)
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
        assert answer.headers["retry-after"] == "1"
    assert await count_users(services) == 0


async def test_an_answer_lost_after_the_commit_leaves_the_row(make_app: AppFactory, services: Services) -> None:
    """Three outcomes: what failed after the commit is unknown to the client, but it is whole."""
    async with make_app(failpoints="after_commit:error:1", rate_limits="off") as app, client_of(app) as client:
        assert (await client.post(f"{API}/auth/register", json=REGISTRATION)).status_code == 503
        assert (await client.post(f"{API}/auth/register", json=REGISTRATION)).json()["code"] == "email_taken"
    assert await count_users(services) == 1


@pytest.fixture
def promises(services: Services) -> Iterator[str]:
    """A table whose reference is checked at the commit only, where the database can do that."""
    url = services.database.url
    engine = create_engine(url.synchronous)
    deferred = "" if url.backend == "mysql" else "DEFERRABLE INITIALLY DEFERRED"
    with engine.begin() as connection:
        connection.execute(
            text(f"CREATE TABLE promises (id INTEGER PRIMARY KEY, kept INTEGER REFERENCES promises(id) {deferred})")
        )
    yield "promises"
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE promises"))
    engine.dispose()


async def test_a_constraint_that_fails_at_the_commit_never_yields_success(
    make_app: AppFactory, services: Services, promises: str
) -> None:
    """A deferred constraint; on MySQL, which has none, a connection that dies before the commit."""
    backend = services.database.url.backend

    async def promise(session: SessionDep) -> dict[str, bool]:
        kept = 1 if backend == "mysql" else 99
        await session.execute(text(f"INSERT INTO {promises} (id, kept) VALUES (1, {kept})"))
        if backend == "mysql":
            number = await session.scalar(text("SELECT connection_id()"))
            async with services.database.reader.connect() as other:
                await other.execute(text(f"KILL {number}"))
        return {"kept": True}

    async with make_app() as app, client_of(app) as client:
        app.post("/promises", status_code=201)(promise)
        answer = await client.post("/promises")
        assert answer.status_code == (503 if backend == "mysql" else 409), answer.text
        assert "kept" not in answer.json()
    async with services.database.reader.connect() as connection:
        assert await connection.scalar(text(f"SELECT count(*) FROM {promises}")) == 0


async def test_an_endpoint_that_raises_leaves_nothing_and_runs_no_action(
    make_app: AppFactory, services: Services
) -> None:
    """An error rolls back; what should have followed the commit is forgotten."""
    actions: list[str] = []

    async def act() -> None:
        actions.append("ran")

    async def write(session: SessionDep, fails: bool) -> None:
        session.after_commit(act)
        await session.execute(insert(User), [row_of(User.__table__, 1)])
        if fails:
            raise ConflictError

    async with make_app() as app, client_of(app) as client:
        app.post("/write", status_code=201)(write)
        assert (await client.post("/write", params={"fails": True})).status_code == 409
        assert (await count_users(services), actions) == (0, [])
        assert (await client.post("/write", params={"fails": False})).status_code == 201
        assert (await count_users(services), actions) == (1, ["ran"])


async def test_actions_after_the_commit_run_once_and_not_after_a_rollback(services: Services) -> None:
    actions: list[int] = []

    async def act() -> None:
        actions.append(1)

    async with services.database.session() as session:
        session.after_commit(act)
        await session.rollback()
        await session.commit()
        assert actions == []
        session.after_commit(act)
        await session.commit()
        await session.commit()
    assert actions == [1]


async def test_read_sessions_cannot_write(make_app: AppFactory, services: Services) -> None:
    """A GET writes nothing, whichever way it tries."""
    user = row_of(User.__table__, 1)
    async with services.database.read_session() as session:
        session.add(User(**user))
        with pytest.raises(RuntimeError, match="cannot write"):
            await session.flush()
        session.expunge_all()
        for statement in (insert(User).values(user), update(User).values(is_active=False), text("DELETE FROM users")):
            with pytest.raises(RuntimeError, match="cannot write"):
                await session.execute(statement)
            with pytest.raises(RuntimeError, match="cannot write"):
                await session.change(statement)
        await session.commit()

    async def write(session: SessionDep) -> None:
        await UserRepository(session, Clock()).add(User(**row_of(User.__table__, 1)))

    async with make_app() as app, client_of(app) as client:
        app.get("/write")(write)
        assert (await client.get("/write")).status_code == 500
    assert await count_users(services) == 0


async def test_a_read_request_gives_its_connection_back(make_app: AppFactory) -> None:
    """Also one that went the long way through a session's own transaction."""

    async def read(session: SessionDep) -> int:
        return await UserRepository(session, Clock()).count()

    async with make_app(db_pool_size=1, db_max_overflow=0, db_pool_timeout=0.5) as app, client_of(app) as client:
        app.get("/read")(read)
        for _ in range(6):
            assert (await client.get("/read")).status_code == 200


# --- the replica -----------------------------------------------------------------------------------------------------


@pytest.fixture
def replica_url(services: Services) -> Iterator[str]:
    """A second database of the same schema but with other content; the primary itself on SQLite, which has none."""
    if services.database.url.backend == "sqlite":
        pytest.skip("SQLite has no replicas")
    primary = services.database.url.synchronous.render_as_string(hide_password=False)
    with fresh_database(primary) as url:
        migrations.upgrade(make_settings(url, services.settings.data_dir))
        yield url


async def test_get_routes_that_opt_in_read_the_replica_until_the_caller_writes(
    make_app: AppFactory, replica_url: str, clock: ManualClock
) -> None:
    """A moment old perhaps, but never older than the caller's own write."""
    async with make_app(database_replica_url=replica_url) as app, client_of(app) as client:
        services: Services = app.state.merit
        admin = await register(client, username="root")
        async with services.database.session() as session:
            await UserRepository(session, clock).update(UUID(admin.id), {User.is_superuser: True})
            await session.commit()
        await admin.login()
        assert services.database.replica is not None
        async with services.database.replica.connect() as connection:
            stale = row_of(User.__table__, 7)
            await connection.execute(insert(User), [stale])

        async def listed() -> list[str]:
            return [user["email"] for user in (await admin.get("/admin/users")).json()["items"]]

        assert await listed() == [stale["email"]]
        assert (await admin.get("/users/me")).json()["email"] == admin.email  # a route that does not opt in
        assert (await admin.request("PATCH", "/users/me", json={"full_name": "R."})).status_code == 200
        assert await listed() == [admin.email]
        clock.advance(seconds=services.settings.db_replica_lag_seconds + 1)
        assert await listed() == [stale["email"]]


async def test_a_replica_is_never_written_and_never_read_for_strangers(
    make_app: AppFactory, replica_url: str, clock: ManualClock
) -> None:
    """Whose writes are not known reads the primary."""

    async def count(session: SessionDep) -> int:
        return await UserRepository(session, clock).count()

    async with make_app(database_replica_url=replica_url) as app, client_of(app) as client:
        count.__reads_replica__ = True  # type: ignore[attr-defined] # what the decorator does
        app.get("/count")(count)
        await register(client)
        assert (await client.get("/count")).json() == 1
        services: Services = app.state.merit
        async with services.database.read_session(from_replica=True) as session:
            assert await UserRepository(session, clock).count() == 0


def test_recent_writers_are_known_to_all_workers_of_a_host(clock: ManualClock, tmp_path: Path) -> None:
    """The table is shared memory: what one process notes, the next one reads."""
    path = tmp_path / "run" / "x.writers"
    first = RecentWriters(path, clock, lag_seconds=5)
    second = RecentWriters(path, clock, lag_seconds=5)
    caller, other = new_id(), UUID(int=1)
    assert not second.has_written(caller)
    first.note(caller)
    assert second.has_written(caller)
    assert not second.has_written(other)
    clock.advance(seconds=5.1)
    assert not second.has_written(caller)
    first.close()
    second.note(UUID(int=65_535))
    second.note(UUID(int=2**128 - 1))
    second.close()
    third = RecentWriters(path, clock, lag_seconds=60)
    assert third.has_written(UUID(int=65_535))
    third.close()
