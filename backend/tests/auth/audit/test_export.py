"""`GET /admin/audit/export`: lines of JSON, however many and however slowly they are taken."""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError

from app.api import deadlines
from app.auth.audit import service
from app.auth.audit.repository import AuditHeadRepository
from app.auth.repository import AuditRepository
from app.main import Services
from tests.auth.audit.trails import record, stored, verify
from tests.conftest import AppFactory, client_of
from tests.support import API, Account

EXPORT = "/admin/audit/export"


async def lines_of(admin: Account, **query: Any) -> list[dict[str, Any]]:
    """The lines of an export."""
    answer = await admin.get(EXPORT, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_every_event_is_a_line_and_the_last_line_says_so(
    services: Services, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest first, over several batches, each event as in the list."""
    monkeypatch.setattr(service, "_EXPORT_BATCH", 4)
    await record(services, 10)
    *events, end = await lines_of(admin)
    trail = await stored(services)
    assert [event["id"] for event in events] == [str(event.id) for event in trail]
    assert end == {"end": True, "count": len(trail)}
    listed = (await admin.get("/admin/audit", params={"limit": 100})).json()["items"]
    assert events == listed[::-1]
    assert (await verify(services)).is_intact


async def test_the_export_is_on_record_before_its_first_line(services: Services, admin: Account) -> None:
    """Who read the trail, and which part of it; it stands in the export itself, and nobody's timeline."""
    *events, _ = await lines_of(admin, address="2001:DB8::1", action=["login", "audit_exported"])
    assert events == []
    event = (await stored(services))[-1]
    assert (event.action, str(event.actor_id), event.user_id) == ("audit_exported", admin.id, None)
    assert event.detail == {"filter": {"address": "2001:db8::1", "actions": ["login", "audit_exported"]}}
    (own, end) = await lines_of(admin, action="audit_exported", request_id=event.request_id)
    assert (own["id"], end) == (str(event.id), {"end": True, "count": 1})
    mine = (await admin.get("/users/me/events", params={"limit": 100})).json()["items"]
    assert "audit_exported" not in {item["action"] for item in mine}


async def test_an_export_that_cannot_be_recorded_does_not_begin(
    make_app: AppFactory, services: Services, admin: Account
) -> None:
    """A3: no event, no export."""
    async with make_app(failpoints="before_commit:error:1") as failing, client_of(failing) as client:
        answer = await client.get(f"{API}{EXPORT}", headers=admin.headers)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
    assert "audit_exported" not in {event.action for event in await stored(services)}


async def test_a_slow_client_holds_no_connection_and_may_take_longer_than_a_request(
    make_app: AppFactory, services: Services, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads are short and only as many as were taken; the deadline ends with the first byte."""
    monkeypatch.setattr(service, "_EXPORT_BATCH", 2)
    await record(services, 8)
    async with make_app() as app:
        client = SlowClient(app, admin)
        await client.until_chunks(2)
        database = app.state.merit.database
        assert database.reader.pool.checkedout() == database.writer.pool.checkedout() == 0
        an_hour_later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
        monkeypatch.setattr(deadlines, "time", an_hour_later)
        await asyncio.sleep(deadlines.TICK_SECONDS * 3)
        assert len(client.chunks) == 2
        client.go_on.set()
        await client.task
    lines = [json.loads(line) for line in b"".join(client.chunks).splitlines()]
    assert lines[-1] == {"end": True, "count": len(lines) - 1}
    assert len(lines) > 10


async def test_an_export_that_breaks_off_lacks_its_end(
    make_app: AppFactory, services: Services, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away in the middle: no last line, and the connection does not end as it should."""
    monkeypatch.setattr(service, "_EXPORT_BATCH", 2)
    await record(services, 8)
    original, pages = AuditRepository.page, []

    async def page(self: Any, *where: Any, **options: Any) -> Any:
        pages.append(1)
        if len(pages) == 3:
            raise OperationalError("SELECT", None, Exception("away"))
        return await original(self, *where, **options)

    async with make_app() as app:
        monkeypatch.setattr(AuditRepository, "page", page)
        client = SlowClient(app, admin)
        client.go_on.set()
        with pytest.raises(OperationalError):
            await client.task
    assert b'"end"' not in b"".join(client.chunks)
    assert client.is_open


async def test_a_client_that_hangs_up_ends_the_reads(
    make_app: AppFactory, services: Services, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads on for someone who is gone."""
    monkeypatch.setattr(service, "_EXPORT_BATCH", 2)
    await record(services, 8)
    async with make_app() as app:
        client = SlowClient(app, admin)
        await client.until_chunks(2)
        client.is_gone.set()
        await client.task
        assert app.state.merit.database.reader.pool.checkedout() == 0
    assert len(client.chunks) == 2


async def test_an_export_ends_though_events_keep_coming(
    services: Services, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells what was there when it began."""
    monkeypatch.setattr(service, "_EXPORT_BATCH", 2)
    await record(services, 3)
    original = AuditRepository.page

    async def page(self: Any, *where: Any, **options: Any) -> Any:
        await record(services, 2)
        return await original(self, *where, **options)

    monkeypatch.setattr(AuditRepository, "page", page)
    *events, end = await lines_of(admin)
    assert end["count"] == len(events) <= 10


async def test_an_empty_export_is_its_end(services: Services, admin: Account) -> None:
    assert await lines_of(admin, request_id="nothing") == [{"end": True, "count": 0}]
    async with services.database.read_session() as session:
        assert await AuditHeadRepository(session, services.clock).get_head() is not None


class SlowClient:
    """Reads two chunks of an export and then waits; it speaks ASGI, where a server would wait for its socket."""

    def __init__(self, app: FastAPI, admin: Account) -> None:
        self.chunks: list[bytes] = []
        self.is_open = False
        self.go_on = asyncio.Event()
        self.is_gone = asyncio.Event()
        self._came = asyncio.Condition()
        token = admin.headers["Authorization"].encode()
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": f"{API}{EXPORT}", "raw_path": f"{API}{EXPORT}".encode(), "query_string": b"",
            "root_path": "", "headers": [(b"host", b"test"), (b"authorization", token)],
            "client": ("127.0.0.1", 50_000), "server": ("test", 80),
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def until_chunks(self, count: int) -> None:
        """Wait until this much has come."""
        async with self._came:
            await asyncio.wait_for(self._came.wait_for(lambda: len(self.chunks) >= count), 20)

    async def _receive(self) -> dict[str, Any]:
        await self.is_gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.is_open = message["status"] == 200
            return
        if message.get("body"):
            async with self._came:
                self.chunks.append(message["body"])
                self._came.notify_all()
        self.is_open = message.get("more_body", False)
        if len(self.chunks) == 2:
            await self.go_on.wait()
