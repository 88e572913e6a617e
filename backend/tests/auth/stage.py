"""What the tests of the account package share: SQL counted, clocks moved as a whole, the database cut off."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx
from fastapi import FastAPI
from sqlalchemy import make_url

from app.main import Services, create_app
from tests.conftest import started
from tests.support import PASSWORD, Account, ManualClock, make_settings

_SQLITE_READERS = 4


class SteerableClock(ManualClock):
    """A clock whose monotonic time moves along with the day's, so that ages within the process grow too."""

    def monotonic(self) -> float:
        """The real monotonic time plus whatever a test added."""
        return time.monotonic() + self.offset.total_seconds()


@asynccontextmanager
async def running(database_url: str, data_dir: Path, clock: ManualClock, **overrides: Any) -> AsyncIterator[FastAPI]:
    """A further application, as if on another host: with a data folder and a clock of its own."""
    async with started(create_app(make_settings(database_url, data_dir, **overrides), clock)) as application:
        yield application


async def eventually(condition: Callable[[], Awaitable[bool]], *, seconds: float = 5) -> None:
    """Wait until the condition holds.

    Raises:
        TimeoutError: it did not within `seconds`.
    """
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition is in a database, which sets no event
            await asyncio.sleep(0.01)


class Line(Protocol):
    """The way of one application to its database, which a test can cut and mend."""

    url: str

    async def cut(self, services: Services) -> None:
        """Let nothing through any more."""

    async def mend(self) -> None:
        """Let everything through again."""


class HeldPool:
    """For SQLite, which has no line to cut: every reading connection is taken."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._held = contextlib.AsyncExitStack()

    async def cut(self, services: Services) -> None:
        """See `Line`."""
        for _ in range(_SQLITE_READERS):
            await self._held.enter_async_context(services.database.reader.connect())

    async def mend(self) -> None:
        """See `Line`."""
        await self._held.aclose()


class Proxy:
    """A TCP proxy before the database server."""

    def __init__(self, url: str) -> None:
        target = make_url(url)
        default = 5432 if target.get_backend_name() == "postgresql" else 3306
        self._target = (target.host or "127.0.0.1", target.port or default)
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._url = target
        self.url = url

    async def start(self) -> asyncio.Server:
        """Listen on a free port; from then on `url` leads through here."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = self._url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        return server

    async def cut(self, services: Services) -> None:
        """See `Line`."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    async def mend(self) -> None:
        """See `Line`."""
        self._is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        both = {writer, far_writer}
        self._writers |= both
        try:
            await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
        finally:
            self._writers -= both


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def severable(database_url: str) -> AsyncIterator[Line]:
    """A line to the database that can be cut."""
    if database_url.startswith("sqlite"):
        yield HeldPool(database_url)
        return
    proxy = Proxy(database_url)
    server = await proxy.start()
    try:
        yield proxy
    finally:
        server.close()


async def login_at(application: FastAPI, account: Account) -> Account:
    """The same account with another session, opened at another application."""
    other = Account(_client(application), account.id, account.email, PASSWORD, account.username)
    assert (await other.login()).is_success
    return other


def at(application: FastAPI, account: Account) -> Account:
    """The same account with the same tokens, calling another application."""
    members = (account.id, account.email, account.password, account.username)
    return Account(_client(application), *members, account.access_token, account.refresh_token)


def _client(application: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application, client=("127.0.0.1", 50_000), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and error code of a refusal."""
    return answer.status_code, answer.json()["code"]
