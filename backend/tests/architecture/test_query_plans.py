"""The administrators' lists: every order and filter is served by an index, on every database."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Table, insert, text

from app.auth.models import AuditEvent, User
from app.auth.types import AuditAction, AuditOutcome
from app.core.ids import new_id
from app.main import Services
from tests.db.rows import row_of
from tests.statements import plan_of, recorded_sql
from tests.support import Account

USERS: Table = User.__table__
EVENTS: Table = AuditEvent.__table__
ROWS = 4000
START = datetime(2026, 1, 1, tzinfo=UTC)

# What tells that the table is read from end to end, and that a page begins in the middle of an index.
SCANS = {
    "sqlite": r"SCAN (users|audit_events)\b(?! USING INDEX)",
    "postgresql": r"Seq Scan",
    "mysql": r'"access_type": "ALL"',
}
SEEKS = {
    "sqlite": r"SEARCH \w+ USING (COVERING )?INDEX",
    "postgresql": r"Index Cond",
    "mysql": r'"access_type": "(range|ref|index_merge)"',
}


@pytest.fixture
async def many_users(services: Services, admin: Account) -> None:
    """Enough rows that reading them all is the worse plan, and statistics that say so."""
    async with services.database.writer.begin() as connection:
        rows = [
            {**row_of(USERS, n), "created_at": START + timedelta(minutes=n), "username_normalized": f"u{n:05}",
             "email_normalized": f"{n % 97:02}-{n}@example.com", "full_name_normalized": f"name {n:05}",
             "last_login_at": START + timedelta(hours=n)}
            for n in range(ROWS)
        ]  # fmt: skip
        await connection.execute(insert(User), rows)
    analyze = "ANALYZE TABLE users" if services.database.url.backend == "mysql" else "ANALYZE"
    async with services.database.reader.connect() as connection:
        await connection.execute(text(analyze))


@pytest.fixture
async def many_events(services: Services, admin: Account) -> None:
    """Two failures among thousands of events of hundreds of people, addresses and sessions."""
    ids = [new_id() for _ in range(200)]
    async with services.database.writer.begin() as connection:
        rows = [
            {**row_of(EVENTS, n % 256), "occurred_at": START + timedelta(minutes=n), "action": AuditAction.LOGIN,
             "outcome": AuditOutcome.SUCCESS, "user_id": ids[n % 200], "actor_id": ids[n % 199],
             "session_id": ids[n % 198], "address": f"192.0.2.{n % 197}", "request_id": f"request-{n % 1999}",
             "sequence": n + 100, "mac": bytes(32)}
            for n in range(ROWS)
        ]  # fmt: skip
        rows[100] |= {"outcome": AuditOutcome.FAILURE, "action": AuditAction.LOGIN_FAILED}
        rows[200] |= {"outcome": AuditOutcome.FAILURE, "action": AuditAction.REFRESH_REUSED}
        rows[300] |= {"user_id": UUID(admin.id)}
        await connection.execute(insert(AuditEvent), rows)
    analyze = "ANALYZE TABLE audit_events" if services.database.url.backend == "mysql" else "ANALYZE"
    async with services.database.reader.connect() as connection:
        await connection.execute(text(analyze))


async def plans(
    services: Services, account: Account, query: dict[str, Any], *, path: str = "/admin/users", table: str = "users"
) -> list[str]:
    """The plans of the statements that a list request really sends."""
    with recorded_sql(services.database) as sent:
        answer = await account.get(path, params=query)
        await asyncio.sleep(0)  # asyncpg tells of a query in the loop's next turn
    assert answer.status_code == 200, answer.text
    wanted = [one for one in sent if re.search(rf"FROM {table}\b", one)]
    assert wanted
    async with services.database.reader.connect() as connection:
        return [await plan_of(services.database.url.backend, connection, one) for one in wanted]


async def page_in_the_middle(account: Account, sort: str) -> dict[str, Any]:
    """The parameters of a page far behind the first."""
    query: dict[str, Any] = {"sort": sort, "limit": 100}
    for _ in range(20):
        query["cursor"] = (await account.get("/admin/users", params=query)).json()["next_cursor"]
    return {**query, "limit": 20}


async def test_no_order_or_filter_reads_the_whole_table(services: Services, admin: Account, many_users: None) -> None:
    backend = services.database.url.backend
    knows_distributions = backend != "sqlite"  # its planner may prefer the order's index to the filter's
    wanted: list[tuple[dict[str, Any], bool]] = [
        *(({"sort": sort}, False) for sort in ("created_at", "-created_at", "email", "-email")),
        *[(await page_in_the_middle(admin, sort), True) for sort in ("created_at", "-created_at", "email", "-email")],
        ({"search": "name 0123"}, True),
        ({"search": "42-"}, True),
        ({"created_after": (START + timedelta(minutes=ROWS - 5)).isoformat()}, True),
        ({"created_before": (START + timedelta(minutes=5)).isoformat(), "sort": "email"}, knows_distributions),
        ({"last_login_after": (START + timedelta(hours=ROWS - 5)).isoformat(), "sort": "email"}, knows_distributions),
    ]
    for query, is_selective in wanted:
        for plan in await plans(services, admin, query):
            assert not re.search(SCANS[backend], plan), (query, plan)
            if is_selective:
                assert re.search(SEEKS[backend], plan), (query, plan)


async def test_no_list_of_events_reads_the_whole_trail(services: Services, admin: Account, many_events: None) -> None:
    """Each filter alone, one page in the middle, an export and a person's own timeline."""
    backend = services.database.url.backend
    (found,) = (await admin.get("/admin/audit", params={"request_id": "request-1500", "limit": 1})).json()["items"]
    query: dict[str, Any] = {"limit": 100}
    for _ in range(20):
        query["cursor"] = (await admin.get("/admin/audit", params=query)).json()["next_cursor"]
    wanted: list[tuple[str, dict[str, Any], bool]] = [
        ("/admin/audit", {}, False),
        ("/admin/audit", {**query, "limit": 20}, True),
        *(("/admin/audit", {name: found[name]}, True) for name in ("user_id", "actor_id", "session_id", "address")),
        ("/admin/audit", {"request_id": "request-1500"}, True),
        ("/admin/audit", {"outcome": "failure"}, True),
        ("/admin/audit", {"action": "login_failed"}, True),
        ("/admin/audit", {"action": ["login_failed", "refresh_reused"]}, backend != "sqlite"),
        ("/admin/audit", {"occurred_before": (START + timedelta(minutes=5)).isoformat()}, True),
        ("/admin/audit", {"occurred_after": (START + timedelta(minutes=ROWS - 5)).isoformat()}, True),
        ("/admin/audit/export", {"user_id": found["user_id"]}, True),
        ("/users/me/events", {}, True),
    ]
    for path, filters, is_selective in wanted:
        for plan in await plans(services, admin, filters, path=path, table="audit_events"):
            assert not re.search(SCANS[backend], plan), (path, filters, plan)
            if is_selective:
                assert re.search(SEEKS[backend], plan), (path, filters, plan)
