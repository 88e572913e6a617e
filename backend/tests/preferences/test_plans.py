"""What preferences cost the database: as many statements for much as for little, and none that reads whole tables."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, insert, text

from app.auth.models import User
from app.core.ids import new_id
from app.main import Services
from app.preferences.models import PreferenceChange, PreferenceHead, UserPreference
from app.preferences.types import ACCOUNT_LAYER, MAX_BATCH, MAX_CHANGES
from tests.db.rows import row_of
from tests.preferences.stage import PATH, change, device, put, undo, unset
from tests.support import Account

TABLES = r"(user_preferences|preference_changes|preference_heads)"
SCANS = {
    "sqlite": rf"SCAN {TABLES}",
    "postgresql": rf"Seq Scan on {TABLES}",
    "mysql": r'"access_type": "(ALL|index)"',
}
PEOPLE = 500
CHANGES_EACH = 8


@pytest.fixture
async def many(services: Services, account: Account) -> None:
    """Enough of other people's rows that reading them all is the worse plan, and statistics that say so."""
    moment, people = datetime(2026, 1, 1, tzinfo=UTC), [new_id() for _ in range(PEOPLE)]
    common = {"device_id": ACCOUNT_LAYER, "key": "x-a"}
    users: list[dict[str, Any]] = [
        row_of(User.__table__, 1) | {"id": one, "email_normalized": one.hex, "username_normalized": one.hex}
        for one in people
    ]
    preferences = [
        {"user_id": one, **common, "key": f"x-{number}", "value": 1, "seq": 1, "updated_at": moment}
        for one in people
        for number in range(CHANGES_EACH)
    ]
    changes = [
        {"user_id": one, **common, "seq": seq, "new_value": 1, "changed_at": moment, "changed_by": one}
        for one in people
        for seq in range(1, CHANGES_EACH + 1)
    ]
    heads = [{"user_id": one, "seq": CHANGES_EACH} for one in people]
    async with services.database.writer.begin() as connection:
        for model, rows in (
            (User, users), (PreferenceHead, heads), (UserPreference, preferences), (PreferenceChange, changes),
        ):  # fmt: skip
            await connection.execute(insert(model), rows)
    for number in range(3):
        await put(account, "x-a", number)
    await put(account, "x-a", 1, on=device())
    tables = "users, preference_heads, user_preferences, preference_changes"
    analyze = f"ANALYZE TABLE {tables}" if services.database.url.backend == "mysql" else "ANALYZE"
    async with services.database.reader.connect() as connection:
        await connection.execute(text(analyze))


@contextmanager
def noted(services: Services) -> Iterator[list[tuple[str, Any]]]:
    """The statements of the block that concern preferences, but for inserts."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if re.search(TABLES, statement):
            statements.append((statement, parameters))

    engines = {services.database.writer.sync_engine, services.database.reader.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def test_no_statement_reads_a_whole_table(many: None, services: Services, account: Account) -> None:
    """Every operation, in the middle of other people's rows."""
    backend = services.database.url.backend
    async with services.database.writer.begin() as connection:  # so that pruning is among them
        mine = f"UPDATE preference_heads SET seq = {MAX_CHANGES + 5} WHERE seq < 10"
        await connection.exec_driver_sql(mine)
    with noted(services) as statements:
        await change(account, {"x-a": None, "x-b": 1})
        await put(account, "x-c", 1)
        await undo(account, MAX_CHANGES + 8)
        await unset(account, "x-b")
        for path in ("", "/effective", "/devices", "/x-a", "/x-a/history", f"/changes?since={MAX_CHANGES + 5}"):
            await account.get(f"{PATH}{path}")
    prefix = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN FORMAT=JSON "}[backend]
    assert len(statements) > 20
    async with services.database.writer.connect() as connection:
        for statement, parameters in statements:
            if statement.startswith("INSERT"):
                continue
            plan = await connection.exec_driver_sql(prefix + statement, parameters)
            told = "\n".join(" ".join(map(str, row)) for row in plan)
            assert not re.search(SCANS[backend], told), (statement, told)
        await connection.rollback()


async def test_a_hundred_cost_no_more_statements_than_one(services: Services, account: Account) -> None:
    await put(account, "x-first", 1)
    counts = []
    for size in (1, MAX_BATCH):
        for value in (1, 2, None):  # made, changed, unset
            with noted(services) as statements:
                answer = await change(account, {f"x-{number}": value for number in range(size)}, on=device_of(account))
            assert answer.status_code == 200
            counts.append(len(statements))
    assert counts[:3] == counts[3:]
    assert max(counts) <= 7


def device_of(account: Account) -> str:
    """A device that is always the same."""
    return str(UUID(account.id))
