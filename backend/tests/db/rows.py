"""Rows of any table, made from its columns alone, so that a new table needs no new test data."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Integer, LargeBinary, MetaData, String, Table, select
from sqlalchemy.types import JSON

from app.core.ids import new_id
from app.db.types import GUID, EnumString, FixedBytes, KeyString, SafeString, UtcDateTime

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def row_of(table: Table, number: int, parents: dict[str, Any] | None = None) -> dict[str, Any]:
    """A row with a value in every column, different for each `number`; `parents` has the keys it points at."""
    return {column.key: _value(column, number, parents or {}) for column in table.columns}


def fill(connection: Connection, metadata: MetaData, rows: int = 3) -> None:
    """Put rows into every table, parents first."""
    parents: dict[str, Any] = {}
    for table in metadata.sorted_tables:
        made = [row_of(table, number, parents) for number in range(rows)]
        connection.execute(table.insert(), made)
        key = next(iter(table.primary_key.columns))
        parents[str(key)] = made[0][key.key]


def dump(connection: Connection, metadata: MetaData) -> dict[str, list[Any]]:
    """Every row of every table, in the order of their keys."""
    return {
        table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
        for table in metadata.sorted_tables
    }


def _value(column: Column[Any], number: int, parents: dict[str, Any]) -> Any:  # noqa: PLR0911 - one a type
    for key in column.foreign_keys:
        return parents[key.target_fullname]
    match column.type:
        case GUID():
            return new_id()
        case UtcDateTime():
            return MOMENT + timedelta(microseconds=number)
        case EnumString() as type_:
            return next(iter(type_.enum))
        case FixedBytes() as type_:
            return bytes([number]) * int(type_.length or 0)
        case Boolean():
            return True
        case Integer():
            return number + 1
        case LargeBinary():
            return bytes([0, number])
        case JSON():
            return {"number": number, "text": "ё\U0001f600", "deep": [{"none": None}]}
        case KeyString() | SafeString() | String():
            return f"{column.key[:8]} {number}"
        case _:
            raise TypeError(f"no example value for {column}: {column.type!r}")
