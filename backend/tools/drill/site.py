"""One database, the servers that run on it, and the people who use them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import URL, Connection, Engine, Executable, create_engine, make_url

from app.core.settings import Settings
from app.db import migrations
from app.db.url import parse_database_url
from tools.databases import fresh_database
from tools.drill.client import Answer, Client
from tools.server import LiveServer, start_server

API = "/api/v1"
PASSWORD = "a long passphrase 42"  # noqa: S105 - of accounts that live for one drill
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB", "mariadb": "MariaDB"}


class DrillError(Exception):
    """A drill could not be carried out; says nothing about the promise."""


@dataclass(frozen=True)
class Site:
    """A migrated database, and a folder for what its servers write."""

    url: str
    folder: Path
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def backend(self) -> str:
        """sqlite, postgresql or mysql."""
        return self._synchronous.get_backend_name()

    @property
    def name(self) -> str:
        """The database's name for people."""
        return NAMES[self.backend]

    @property
    def _synchronous(self) -> URL:
        return parse_database_url(self.url, setting="DATABASE_URL").synchronous

    @cached_property
    def engine(self) -> Engine:
        """The drill's own way to the database, past the service."""
        return create_engine(self._synchronous)

    def settings(self, **settings: str) -> dict[str, str]:
        """The settings of a server here: no limit of failed logins to run into, no time lost where nobody drains."""
        own = {"DATABASE_URL": self.url, "SECRET_KEY": self.secret_key, "LOG_LEVEL": "WARNING"}
        return own | {"RATE_LIMITS": "off", "DRAIN_SECONDS": "0"} | settings

    def start(self, **settings: str) -> LiveServer:
        """Start a server; it is not ready yet."""
        return start_server(self.folder, **self.settings(**settings))

    @asynccontextmanager
    async def running(self, **settings: str) -> AsyncIterator[LiveServer]:
        """A server that is ready; it is stopped by SIGTERM."""
        server = self.start(**settings)
        try:
            await asyncio.to_thread(server.wait_until_ready)
            yield server
            await asyncio.to_thread(server.stop)
        finally:
            server.kill()

    async def fetch(self, statement: Executable) -> Sequence[Any]:
        """The rows of a query."""
        return await asyncio.to_thread(self._fetch, statement)

    def _fetch(self, statement: Executable) -> Sequence[Any]:
        with self.engine.connect() as connection:
            return connection.execute(statement).all()

    async def execute(self, statement: Executable) -> None:
        """Change something behind the service's back."""
        await asyncio.to_thread(self._execute, statement)

    def _execute(self, statement: Executable) -> None:
        connection: Connection
        with self.engine.begin() as connection:
            connection.execute(statement)


@contextmanager
def site(url: str | None, folder: Path) -> Iterator[Site]:
    """Lend a site with a database of its own, beside the one of `url` or in a SQLite file; both go at the end."""
    kind = "sqlite" if url is None else make_url(url).get_backend_name()
    own = folder / kind
    own.mkdir()
    with fresh_database(url) as database:
        lent = Site(database, own)
        settings: dict[str, Any] = {"secret_key": lent.secret_key, "database_url": database, "data_dir": own}
        migrations.upgrade(Settings(_env_file=None, **settings))
        try:
            yield lent
        finally:
            lent.engine.dispose()


@dataclass
class Person:
    """An account and the tokens of its last login."""

    id: UUID
    email: str
    access_token: str = ""
    refresh_token: str = ""

    def keep(self, answer: Answer) -> UUID:
        """Take the tokens of a login; returns the session's id."""
        tokens = answer.json()
        self.access_token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        return UUID(self.refresh_token.split(".")[1])


def new_address(prefix: str = "") -> str:
    """An address that nobody has."""
    return f"{prefix}{secrets.token_hex(8)}@example.com"


async def register(client: Client, email: str, **members: object) -> Answer:
    """Ask for an account."""
    return await client.request("POST", f"{API}/auth/register", json={"email": email, "password": PASSWORD, **members})


async def login(client: Client, email: str, password: str = PASSWORD) -> Answer:
    """Ask for tokens."""
    return await client.request("POST", f"{API}/auth/login", json={"email": email, "password": password})


async def new_person(client: Client) -> Person:
    """A new account, logged in.

    Raises:
        DrillError: the service refused one of both.
    """
    email = new_address()
    registered = await register(client, email)
    logged_in = await login(client, email)
    if not (registered.is_success and logged_in.is_success):
        raise DrillError(f"no account could be made: {registered.body!r} {logged_in.body!r}")
    person = Person(UUID(registered.json()["id"]), email)
    person.keep(logged_in)
    return person
