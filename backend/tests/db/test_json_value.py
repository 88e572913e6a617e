"""The column type of any JSON value: bare values too, the same on every database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text
from sqlalchemy.dialects import registry
from sqlalchemy.schema import CreateTable

from app.core.json_values import is_same_json
from app.db.types import JsonValue
from app.main import Services

BARE: list[Any] = [
    1, 1.0, -1.5, 0, 0.0, True, False, "", "1", "1.0", "null", "true", '"', "ё\U0001f600\x01", [], {}, [1.0, 1, None],
    2**63 - 1, 9999999999999998.0, 1e-7,
]  # fmt: skip


@pytest.fixture
async def connection(services: Services) -> AsyncIterator[tuple[Any, Table]]:
    """A connection with a table that only it sees."""
    columns: list[Column[Any]] = [Column("id", Integer, primary_key=True), Column("value", JsonValue())]
    table = Table("json_value_samples", MetaData(), *columns, prefixes=["TEMPORARY"])
    async with services.database.writer.connect() as connection:
        await connection.run_sync(table.create)
        yield connection, table
        await connection.run_sync(table.drop)


async def test_a_bare_value_comes_back_as_it_was(connection: tuple[Any, Table]) -> None:
    """In a column of type JSON, SQLite would make 1 of 1.0 and a number of "1"."""
    session, table = connection
    await session.execute(insert(table), [{"id": number, "value": value} for number, value in enumerate(BARE, start=1)])
    stored = (await session.execute(select(table.c.value).order_by(table.c.id))).scalars().all()
    for value, found in zip(BARE, stored, strict=True):
        assert is_same_json(value, found), (value, found)


async def test_none_is_null(connection: tuple[Any, Table]) -> None:
    """And not the JSON null, which no `IS NULL` would find."""
    session, table = connection
    await session.execute(insert(table).values(id=1, value=None))
    await session.execute(insert(table).values(id=2, value=[None]))
    found = await session.execute(text("SELECT id FROM json_value_samples WHERE value IS NULL"))
    assert found.scalars().all() == [1]
    assert (await session.execute(select(table.c.value).order_by(table.c.id))).scalars().all() == [None, [None]]


@pytest.mark.parametrize(
    ("name", "kind"), [("sqlite", "TEXT"), ("postgresql", "JSONB"), ("mysql", "JSON"), ("mssql", "NVARCHAR(max)")]
)
def test_each_database_has_its_type_for_it(name: str, kind: str) -> None:
    table = Table("t", MetaData(), Column("value", JsonValue()))
    assert f"value {kind}" in str(CreateTable(table).compile(dialect=registry.load(name)())).replace("[value]", "value")
    assert repr(JsonValue()) == "JsonValue()", "what migrations say"
