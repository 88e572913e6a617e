"""What every test may use: a migrated database of its own worker, the application on it, clients and accounts.

Nothing is overridden in the application: tests commit to a real database through its own pools and clean up after
themselves. A savepoint around each test would hide what matters here, such as a commit that comes too late.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, exists, insert, literal, select, text

from app.auth.audit.models import AuditHead
from app.auth.models import SigningKeyRecord, User
from app.auth.repository import UserRepository
from app.auth.types import KeyState, Role
from app.core.settings import Settings
from app.db import migrations
from app.main import Services, create_app
from app.models import Base
from tests.mailbox import Mailbox
from tests.support import Account, ManualClock, make_settings, prove_address, register
from tools.databases import fresh_database

AppFactory = Callable[..., AbstractAsyncContextManager[FastAPI]]

_EMPTIED = [table for table in reversed(Base.metadata.sorted_tables) if table.name != SigningKeyRecord.__tablename__]
_WHICH_ARE_FILLED = select(*(exists(select(literal(1)).select_from(table)) for table in _EMPTIED))
"""Most tests write to few tables: asking for all of them at once costs less than emptying each."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--on-server`."""
    parser.addoption(
        "--on-server",
        action="store_true",
        help="leave out the tests that do not use the server of TEST_DATABASE_URL: they have run on SQLite",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Heed `--on-server`."""
    if not config.getoption("--on-server"):
        return
    uses = {item: "server_url" in getattr(item, "fixturenames", ()) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not uses[item]])
    items[:] = [item for item in items if uses[item]]


@pytest.fixture(scope="session")
def server_url() -> str | None:
    """The database server that the tests run on, beside whose named database they make their own; None for SQLite."""
    return os.environ.get("TEST_DATABASE_URL") or None


@pytest.fixture(scope="session")
def database_url(server_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of this worker, built by the migrations and dropped at the end."""
    with fresh_database(server_url, is_durable=False) as url:
        migrations.upgrade(make_settings(url, tmp_path_factory.mktemp("migrations")))
        yield url


@pytest.fixture(scope="session")
def settings(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of `app`."""
    return make_settings(database_url, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def session_clock() -> ManualClock:
    """The clock of `app`; tests take `clock`."""
    return ManualClock()


@pytest.fixture
def clock(session_clock: ManualClock) -> Iterator[ManualClock]:
    """A clock to move; it is set right after the test."""
    yield session_clock
    session_clock.reset()


@pytest.fixture(scope="session")
async def app(settings: Settings, session_clock: ManualClock) -> AsyncIterator[FastAPI]:
    """The application, started once for each worker."""
    async with started(create_app(settings, session_clock)) as application:
        yield application


@pytest.fixture(autouse=True)
async def _clean_database(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Leave no rows to the next test, but the first head and the active signing key, which an application holds."""
    yield
    if "app" not in request.fixturenames:
        return
    services: Services = request.getfixturevalue("app").state.merit
    async with services.database.writer.begin() as connection:
        filled = (await connection.execute(_WHICH_ARE_FILLED)).one()
        for table, is_filled in zip(_EMPTIED, filled, strict=True):
            if is_filled:
                await connection.execute(table.delete())
        await connection.execute(insert(AuditHead).values(id=1, **services.auth.audit_chain.first_head()))
        await connection.execute(delete(SigningKeyRecord).where(SigningKeyRecord.state != KeyState.ACTIVE))
        if services.database.url.backend == "sqlite":  # what ANALYZE has found is no longer so, for any connection
            for name in ("sqlite_stat1", "sqlite_stat4"):
                await connection.execute(text(f"DROP TABLE IF EXISTS {name}"))


@pytest.fixture
def services(app: FastAPI) -> Services:
    """The parts of `app`."""
    services: Services = app.state.merit
    return services


@pytest.fixture
def mailbox(services: Services) -> Iterator[Mailbox]:
    """The mails that `app` has sent."""
    mailbox = Mailbox(services)
    mailbox.clear()
    yield mailbox
    mailbox.clear()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app`."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def account(client: httpx.AsyncClient) -> Account:
    """An ordinary account, logged in."""
    return await register(client, username="ada", full_name="Ada Lovelace")


@pytest.fixture
async def proven(account: Account, services: Services) -> Account:
    """`account`, whose address is proven, as if its first mail had been answered."""
    await prove_address(services, account)
    return account


@pytest.fixture
def make_admin(services: Services) -> Callable[[Account], Awaitable[Account]]:
    """Turns an account into an administrator, without any endpoint; it logs in anew."""

    async def promote(account: Account, *, is_superuser: bool = False) -> Account:
        async with services.database.session() as session:
            users = UserRepository(session, services.clock)
            assert await users.update_where(
                User.email_normalized == account.email.lower(),
                values={User.role: Role.ADMIN, User.is_superuser: is_superuser},
            )
            await session.commit()
        assert (await account.login()).is_success
        return account

    return promote


@pytest.fixture
async def admin(client: httpx.AsyncClient, make_admin: Callable[[Account], Awaitable[Account]]) -> Account:
    """An administrator, logged in."""
    return await make_admin(await register(client, username="root.admin"))


@pytest.fixture
def make_app(database_url: str, clock: ManualClock, tmp_path: Path, app: FastAPI) -> AppFactory:
    """Starts further applications on the same database with other settings: `async with make_app(...) as app`."""

    @asynccontextmanager
    async def make(**overrides: Any) -> AsyncIterator[FastAPI]:
        settings = make_settings(database_url, overrides.pop("data_dir", tmp_path), **overrides)
        async with started(create_app(settings, clock)) as application:
            yield application

    return make


@asynccontextmanager
async def started(application: FastAPI) -> AsyncIterator[FastAPI]:
    """Run an application's lifespan around the block."""
    async with application.router.lifespan_context(application):
        yield application


@asynccontextmanager
async def client_of(application: FastAPI, *, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls an application from a network address."""
    transport = httpx.ASGITransport(application, client=(address, 50_000), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
