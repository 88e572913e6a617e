"""Notices between hosts: what a listener does when things go wrong."""

import asyncio
from typing import Any

import pytest

from app.auth import notices
from app.auth.notices import HostNotices, _Receipt
from app.core.settings import Settings
from app.db.engine import asyncpg_connect
from app.main import Services


async def test_a_listener_that_cannot_subscribe_leaves_no_connection(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if services.database.url.backend != "postgresql":
        pytest.skip("only PostgreSQL tells other hosts")
    opened: list[Any] = []

    async def connect_to_a_stalled_server(*arguments: Any) -> Any:
        connection = await asyncpg_connect(*arguments)
        opened.append(connection)
        await connection.close()  # whatever is asked of it now fails
        return connection

    monkeypatch.setattr(notices, "asyncpg_connect", connect_to_a_stalled_server)
    deaf = HostNotices(services.database, settings)
    with pytest.raises(Exception, match="closed"):
        await deaf.listen()
    assert deaf.count == 0
    assert opened[0].is_closed()


async def test_who_does_not_listen_waits_for_no_answers(services: Services, settings: Settings) -> None:
    """A line that broke a moment ago: the poll finds what was posted."""
    async with asyncio.timeout(1):
        await HostNotices(services.database, settings)._await_answers(_Receipt(listeners=1))


async def test_an_answer_that_nobody_awaits_is_ignored(services: Services, settings: Settings) -> None:
    """It comes late: its receipt is gone."""
    waiting = HostNotices(services.database, settings)
    waiting._on_answer(None, 0, "", "a key of long ago")
    assert waiting.count == 0
