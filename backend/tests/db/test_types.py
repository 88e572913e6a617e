"""Column types that mean the same on every database."""

import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, create_engine, insert, select
from sqlalchemy.dialects import registry
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import StatementError
from sqlalchemy.schema import CreateIndex, CreateTable

from app.core.errors import InvalidInputError
from app.core.ids import new_id
from app.db.base import MYSQL_TABLE
from app.db.errors import to_app_error
from app.db.types import (
    GUID,
    EnumString,
    ExactDecimal,
    FixedBytes,
    JsonDict,
    KeyString,
    SafeString,
    SafeText,
    UtcDateTime,
)
from app.main import Services
from app.models import Base

DIALECTS: list[Dialect] = [registry.load(name)() for name in ("sqlite", "postgresql", "mysql", "oracle", "mssql")]


class Color(StrEnum):
    """Any enumeration."""

    RED = "red"
    BLUE = "light blue"


TYPES: dict[str, Any] = {
    "id": GUID(),
    "digest": FixedBytes(8),
    "moment": UtcDateTime(),
    "color": EnumString(Color),
    "price": ExactDecimal(9),
    "key": KeyString(40),
    "line": SafeString(40),
    "text": SafeText(),
    "json": JsonDict,
}


@pytest.fixture
def table(services: Services) -> Any:
    """A table with a column of every type."""
    metadata = MetaData()
    columns = [Column(name, type_, primary_key=name == "id") for name, type_ in TYPES.items()]
    table = Table("every_type", metadata, *columns, mysql_charset=MYSQL_TABLE["mysql_charset"])
    engine = create_engine(services.database.url.synchronous)
    table.create(engine)
    yield table
    table.drop(engine)
    engine.dispose()


FULL = {
    "id": uuid.UUID("01890000-0000-7000-8000-0000000000ff"),
    "digest": bytes([0, 255, 0, 92, 39, 13, 10, 0]),
    "moment": datetime(2026, 2, 3, 4, 5, 6, 999999, tzinfo=UTC),
    "color": Color.BLUE,
    "price": Decimal("-9.000000001"),
    "key": "straße \U0001f600",
    "line": "'; DROP TABLE users; -- \\ % ? :x",
    "text": "é" * 70_000 + "\n\t\r",
    "json": {"b": [1, 2.5, None, True], "a": {"ключ": "\U0001f600"}, "": "empty key"},
}


async def test_every_type_comes_back_as_it_went(services: Services, table: Table) -> None:
    empty = {**dict.fromkeys(TYPES), "id": new_id()}
    far = timezone(timedelta(hours=-11, minutes=-30))
    elsewhere = {**FULL, "id": new_id(), "moment": datetime(2026, 2, 3, 4, 5, 6, 1, tzinfo=far)}
    async with services.database.session() as session:
        await session.execute(insert(table), [FULL, empty, elsewhere])
        rows = {row.id: row._asdict() for row in await session.execute(select(table))}
        assert rows[FULL["id"]] == FULL
        assert rows[empty["id"]] == empty
        back = rows[elsewhere["id"]]["moment"]
        assert back == elsewhere["moment"]
        assert back.tzinfo is UTC
        assert isinstance(rows[FULL["id"]]["color"], Color)
        for name in ("digest", "moment", "color", "price", "key", "line"):  # each is found by its value, too
            assert len(list(await session.execute(select(table).where(table.c[name] == FULL[name])))) >= 1, name


@pytest.mark.parametrize("price", ["0.0000000001", "-1.5e-10", "1e10", "-1e30"])
async def test_a_number_that_is_not_stored_exactly_is_refused(services: Services, table: Table, price: str) -> None:
    """Never rounded, whatever the database would do."""
    async with services.database.session() as session:
        with pytest.raises(StatementError, match="at most 9 decimals"):
            await session.execute(insert(table), [{"id": new_id(), "price": Decimal(price)}])


async def test_ids_are_ordered_by_time_in_the_database_too(services: Services, table: Table) -> None:
    """UUIDv7 keeps its order in bytes, so that (column, id) pages and compact indexes work everywhere."""
    ids = [new_id() for _ in range(50)]
    async with services.database.session() as session:
        await session.execute(insert(table), [{"id": id_} for id_ in reversed(ids)])
        assert list(await session.scalars(select(table.c.id).order_by(table.c.id))) == ids
        assert (
            list(await session.scalars(select(table.c.id).where(table.c.id > ids[40]).order_by(table.c.id))) == ids[41:]
        )


async def test_microseconds_order_moments(services: Services, table: Table) -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=step) for step in (0, 1, 999_999, 1_000_000)]
    async with services.database.session() as session:
        await session.execute(insert(table), [{"id": new_id(), "moment": moment} for moment in reversed(moments)])
        assert list(await session.scalars(select(table.c.moment).order_by(table.c.moment))) == moments


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("moment", datetime(2026, 1, 1)),  # noqa: DTZ001 - the fault that is tested
        ("color", "green"),
        ("line", "nul \x00"),
        ("line", "lone \ud800"),
        ("text", "bell \x07"),
        ("key", "c1 \x9f"),
    ],
)
async def test_what_a_database_would_refuse_or_change_never_reaches_it(
    services: Services, table: Table, name: str, bad: Any
) -> None:
    """Naive moments, strangers to an enumeration, NUL, lone surrogates: refused alike, and told as 422."""
    async with services.database.session() as session:
        with pytest.raises(StatementError) as caught:
            await session.execute(insert(table), [{"id": new_id(), name: bad}])
        assert isinstance(to_app_error(caught.value), InvalidInputError)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_the_ddl_of_every_table_compiles(dialect: Dialect) -> None:
    """Also for Oracle and SQL Server, which no test runs on."""
    metadata = MetaData()
    Table("every_type", metadata, *(Column(name, type_) for name, type_ in TYPES.items()))
    for table in (*Base.metadata.sorted_tables, *metadata.sorted_tables):
        statement = str(CreateTable(table).compile(dialect=dialect))
        assert statement.strip().startswith("CREATE TABLE")
        for index in table.indexes:
            assert "INDEX" in str(CreateIndex(index).compile(dialect=dialect))


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (GUID(), ["BLOB", "UUID", "BINARY(16)", "RAW(16)", "BINARY(16)"]),
        (FixedBytes(32), ["BLOB", "BYTEA", "BINARY(32)", "RAW(32)", "BINARY(32)"]),
        (
            UtcDateTime(),
            ["DATETIME", "TIMESTAMP WITH TIME ZONE", "DATETIME(6)", "TIMESTAMP WITH TIME ZONE", "DATETIMEOFFSET(6)"],
        ),
        (SafeText(), ["TEXT", "TEXT", "LONGTEXT", "CLOB", "TEXT"]),
        (
            KeyString(9),
            [
                "VARCHAR(9)",
                'VARCHAR(9) COLLATE "C"',
                "VARCHAR(9) COLLATE utf8mb4_bin",
                "VARCHAR2(9 CHAR)",
                "VARCHAR(9)",
            ],
        ),
    ],
    ids=lambda value: repr(value) if not isinstance(value, list) else "",
)
def test_each_database_has_its_own_word_for_a_type(type_: Any, expected: list[str]) -> None:
    assert [type_.compile(dialect=dialect) for dialect in DIALECTS] == expected


def test_migrations_name_types_briefly() -> None:
    """Alembic writes what `repr` gives."""
    shown = [repr(type_) for type_ in (GUID(), UtcDateTime(), FixedBytes(32), KeyString(9), SafeText())]
    assert shown == ["GUID()", "UtcDateTime()", "FixedBytes(32)", "KeyString(9)", "SafeText()"]
