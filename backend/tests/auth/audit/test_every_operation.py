"""A3: whatever changes something leaves its event, in the transaction of the change."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event, insert

from app.jobs.models import Job
from app.main import Services
from tests.auth.audit import account_operations  # noqa: F401 - prepares its requests
from tests.auth.audit.domain_operations import WITHOUT_EVENT
from tests.auth.audit.stage import PREPARED, Stage
from tests.db.rows import row_of
from tests.mailbox import Mailbox
from tests.support import API, Account, register

# Tables whose rows are no change of an account: counters, the trail itself, and what is waiting to be sent or told.
NOT_A_CHANGE = {"login_throttles", "audit_events", "audit_heads", "jobs", "revocations", "one_time_tokens"}


def changing_operations(app: FastAPI) -> dict[str, tuple[str, str]]:
    """Method and path of every operation that may change something, by its id."""
    return {
        operation["operationId"]: (method, path)
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
        if method != "get"
    }


def test_every_operation_has_its_event_or_a_reason(app: FastAPI) -> None:
    """An operation that nobody thought of here fails this test."""
    assert {name.rstrip("_") for name in PREPARED} == set(changing_operations(app))
    assert WITHOUT_EVENT.keys() <= {name.rstrip("_") for name in PREPARED}


@pytest.fixture
async def stage(services: Services, account: Account, admin: Account, mailbox: Mailbox) -> AsyncIterator[Stage]:
    """An account, an administrator and everybody's mail; what is counted behind the requests is not left to others."""
    yield Stage(services, account, admin, mailbox)
    await services.chat.share_views.write()


@pytest.mark.parametrize("name", PREPARED)
async def test_a_change_and_its_event_are_one_transaction(
    app: FastAPI, client: httpx.AsyncClient, stage: Stage, name: str
) -> None:
    """A3: the event is there, and no transaction changes anything without one."""
    request = await PREPARED[name](stage)
    method, path = changing_operations(app)[name.rstrip("_")]
    options = dict(request.options)
    if request.by is not None:
        options["headers"] = request.by.headers
    with transactions(stage.services) as committed:
        answer = await client.request(method, path.format(**request.path), **options)
    assert answer.is_success, answer.text
    request_id = answer.headers["x-request-id"]
    listed = await stage.admin.get("/admin/audit", params={"request_id": request_id})
    if listed.status_code == 401:  # the key that signed the token is gone
        assert (await stage.admin.login()).is_success
        listed = await stage.admin.get("/admin/audit", params={"request_id": request_id})
    actions = {item["action"] for item in listed.json()["items"]}
    assert (request.action is None) == (name in WITHOUT_EVENT)
    if request.action is not None:
        assert request.action in actions
        assert {item["outcome"] for item in listed.json()["items"]} == {"success"}
        assert all("audit_events" in tables for tables in committed if tables - NOT_A_CHANGE), committed


async def test_the_table_would_notice(client: httpx.AsyncClient, services: Services) -> None:
    """The rule above can fail: a transaction without an event is seen as such, a rolled back one is not."""
    with transactions(services) as committed:
        account = await register(client)
        async with services.database.writer.begin() as connection:
            await connection.exec_driver_sql("UPDATE users SET full_name = NULL")
        await client.get(f"{API}/users/me", headers=account.headers)
        async with services.database.session() as session:
            await session.execute(insert(Job), [row_of(Job.__table__, 2)])
            await session.rollback()
    assert {"users"} in committed
    assert not any("jobs" in tables and "audit_events" not in tables for tables in committed)
    assert any({"users", "audit_events", "audit_heads"} <= tables for tables in committed)


@contextmanager
def transactions(services: Services) -> Iterator[list[set[str]]]:
    """The tables that each transaction wrote to, once it is committed."""
    committed: list[set[str]] = []
    writes: dict[int, set[str]] = {}

    def note(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        words = statement.replace("`", "").replace('"', "").split(maxsplit=3)
        table = {"INSERT": 2, "DELETE": 2, "UPDATE": 1}.get(words[0])
        if table is not None:
            writes.setdefault(id(connection), set()).add(words[table])

    def commit(connection: Any) -> None:
        committed.extend([writes.pop(id(connection))] if id(connection) in writes else [])

    def rollback(connection: Any) -> None:
        writes.pop(id(connection), None)

    engine = services.database.writer.sync_engine
    listeners = (("before_cursor_execute", note), ("commit", commit), ("rollback", rollback))
    for name, listener in listeners:
        event.listen(engine, name, listener)
    try:
        yield committed
    finally:
        for name, listener in listeners:
            event.remove(engine, name, listener)
