"""Rows of any table, made from its columns alone, so that a new table needs no new test data."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    select,
)
from sqlalchemy.types import JSON

from app.core.ids import new_id
from app.db.types import (
    GUID,
    EnumString,
    ExactDecimal,
    FixedBytes,
    JsonValue,
    KeyString,
    SafeString,
    SafeText,
    UtcDateTime,
)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


Parents = dict[str, list[Any]]
"""The keys of the rows that others may point at, by `table.column`."""


def row_of(table: Table, number: int, parents: Parents | None = None) -> dict[str, Any]:
    """A row with a value in every column, different for each `number`; `parents` has the keys it points at."""
    return {column.key: _value(column, number, parents or {}) for column in table.columns}


def fill(connection: Connection, metadata: MetaData, rows: int = 3) -> None:
    """Put rows into every table, parents first."""
    parents: Parents = {}
    for table in metadata.sorted_tables:
        made = [row_of(table, number, parents) for number in range(rows)]
        connection.execute(table.delete())  # what the migrations have put there
        connection.execute(table.insert(), made)
        key = next(iter(table.primary_key.columns))
        parents[str(key)] = [row[key.key] for row in made]


def dump(connection: Connection, metadata: MetaData) -> dict[str, list[Any]]:
    """Every row of every table, in the order of their keys."""
    return {
        table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
        for table in metadata.sorted_tables
    }


def _value(column: Column[Any], number: int, parents: Parents) -> Any:  # noqa: PLR0911, PLR0912 - one a type
    is_second_owner = column.name == "guest_id" and "user_id" in column.table.c
    if column.nullable and (is_second_owner or any(column.table is key.column.table for key in column.foreign_keys)):
        return None  # of exactly one owner; at the top of a tree
    for key in column.foreign_keys:  # several rows of one parent, but where they are the key, or unique
        return parents[key.target_fullname][number if column.primary_key or _is_unique(column) else 0]
    match column.type:
        case GUID():
            return new_id()
        case UtcDateTime():
            return MOMENT + timedelta(microseconds=number)
        case EnumString() as type_:
            return next(iter(type_.enum))
        case ExactDecimal():
            return Decimal(number)
        case FixedBytes() as type_:
            return number.to_bytes(int(type_.length or 0), "big")
        case Boolean():
            return True
        case SmallInteger():
            return 1  # what a CHECK allows
        case Integer():
            return number + 1
        case Double():
            return number + 0.5
        case LargeBinary():
            return number.to_bytes(2, "big")
        case JSON() | JsonValue():
            return {"number": number, "text": "ё\U0001f600", "deep": [{"none": None}]}
        case KeyString() | SafeString() | SafeText() | String():
            return f"{column.key[:8]} {number}"
        case _:
            raise TypeError(f"no example value for {column}: {column.type!r}")


def _is_unique(column: Column[Any]) -> bool:
    """Whether no two rows may have the same value."""
    unique = (item for item in column.table.constraints if isinstance(item, UniqueConstraint))
    return any(list(item.columns) == [column] for item in unique)
