"""The administrators' list: every order and filter is served by an index, on every database."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, event, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.auth.models import User
from app.main import Services
from tests.db.rows import row_of
from tests.support import Account

USERS: Table = User.__table__  # type: ignore[assignment] # a Table it is
ROWS = 4000
START = datetime(2026, 1, 1, tzinfo=UTC)

# What tells that the table is read from end to end, and that a page begins in the middle of an index.
SCANS = {"sqlite": r"SCAN users(?! USING INDEX)", "postgresql": r"Seq Scan", "mysql": r'"access_type": "ALL"'}
SEEKS = {
    "sqlite": r"SEARCH users USING (COVERING )?INDEX",
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


async def plans(engine: AsyncEngine, backend: str, account: Account, query: dict[str, Any]) -> list[str]:
    """The plans of the statements that a list request really sends."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if re.search(r"FROM users\b", statement):
            sent.append((statement, parameters))

    def watch_driver(connection: Any, *_: Any) -> None:  # prepared reads go past SQLAlchemy, straight to asyncpg
        if hasattr(connection.driver_connection, "add_query_logger"):
            connection.driver_connection.add_query_logger(note_driver)

    def note_driver(record: Any) -> None:
        note(None, None, record.query, tuple(record.args or ()))

    def unwatch_driver(connection: Any, *_: Any) -> None:
        if hasattr(connection.driver_connection, "remove_query_logger"):
            connection.driver_connection.remove_query_logger(note_driver)

    listeners = (
        ("before_cursor_execute", note),
        ("checkout", watch_driver),
        ("checkin", unwatch_driver),
    )
    for name, listener in listeners:
        event.listen(engine.sync_engine, name, listener)
    answer = await account.get("/admin/users", params=query)
    await asyncio.sleep(0)  # asyncpg tells of a query in the loop's next turn
    for name, listener in listeners:
        event.remove(engine.sync_engine, name, listener)
    assert answer.status_code == 200, answer.text
    prefix = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN FORMAT=JSON "}[backend]
    found = []
    async with engine.connect() as connection:
        for statement, parameters in sent:
            result = await connection.exec_driver_sql(prefix + statement, parameters)
            found.append("\n".join(" ".join(map(str, row)) for row in result))
    assert found
    return found


async def page_in_the_middle(account: Account, sort: str) -> dict[str, Any]:
    """The parameters of a page far behind the first."""
    query: dict[str, Any] = {"sort": sort, "limit": 100}
    for _ in range(20):
        query["cursor"] = (await account.get("/admin/users", params=query)).json()["next_cursor"]
    return {**query, "limit": 20}


async def test_no_order_or_filter_reads_the_whole_table(services: Services, admin: Account, many_users: None) -> None:
    engine, backend = services.database.reader, services.database.url.backend
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
        for plan in await plans(engine, backend, admin, query):
            assert not re.search(SCANS[backend], plan), (query, plan)
            if is_selective:
                assert re.search(SEEKS[backend], plan), (query, plan)
