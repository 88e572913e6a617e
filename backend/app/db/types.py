"""Column types that mean the same on every database."""

import uuid
from datetime import UTC, datetime
from decimal import Context, Decimal
from enum import StrEnum
from typing import Any, TypeVar

import orjson
from sqlalchemy import BINARY, JSON, BigInteger, DateTime, Dialect, LargeBinary, String, Text
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.core.text import require_safe_text

ValueT = TypeVar("ValueT")

_LARGEST_UNITS = 2**63 - 1
_EXACT = Context(prec=60)


class _Type(TypeDecorator[ValueT]):
    """What the types here share: how a migration names them."""

    cache_ok = True
    length: int | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.length or ''})"


def _raw_of_oracle(length: int | None) -> TypeEngine[bytes]:
    """Bytes on Oracle. Its dialect is imported by whoever uses it, for every other server starts sooner without it."""
    from sqlalchemy.dialects import oracle  # noqa: PLC0415 - see above

    return oracle.RAW(length)


class GUID(_Type[uuid.UUID]):
    """A UUID: native on PostgreSQL, 16 bytes elsewhere."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that holds it on this database."""
        match dialect.name:
            case "postgresql":
                return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
            case "mysql" | "mariadb" | "mssql":
                return dialect.type_descriptor(BINARY(16))
            case "oracle":
                return dialect.type_descriptor(_raw_of_oracle(16))
            case _:
                return dialect.type_descriptor(LargeBinary(16))

    def process_bind_param(self, value: uuid.UUID | None, dialect: Dialect) -> Any:
        """UUID → what the driver takes."""
        return value if value is None or dialect.name == "postgresql" else value.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        """What the driver gives → UUID."""
        return value if value is None or dialect.name == "postgresql" else uuid.UUID(bytes=bytes(value))


class FixedBytes(_Type[bytes]):
    """Exactly `length` bytes, such as a digest."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that holds it on this database."""
        match dialect.name:
            case "mysql" | "mariadb" | "mssql":
                return dialect.type_descriptor(BINARY(self.length))
            case "oracle":
                return dialect.type_descriptor(_raw_of_oracle(self.length))
            case _:
                return dialect.type_descriptor(LargeBinary(self.length))


class ExactDecimal(_Type[Decimal]):
    """A decimal number with at most `length` decimals, kept as a whole number of the smallest unit.

    SQLite knows no decimal numbers. Whole numbers are compared and summed exactly everywhere; the sum of such a column
    is a Decimal again.
    """

    impl = BigInteger
    cache_ok = True
    length: int

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def process_bind_param(self, value: Decimal | None, _dialect: Dialect) -> int | None:
        """Decimal → count of units.

        Raises:
            ValueError: the value has more decimals, or does not fit.
        """
        if value is None:
            return None
        units = Decimal(value).scaleb(self.length, _EXACT)
        if units != units.to_integral_value() or not -_LARGEST_UNITS <= units <= _LARGEST_UNITS:
            raise ValueError(f"is no number with at most {self.length} decimals that fits")
        return int(units)

    def process_result_value(self, value: Any, _dialect: Dialect) -> Decimal | None:
        """Count of units, or a sum of such, in whatever type the driver gives it → Decimal."""
        return None if value is None else Decimal(int(value)).scaleb(-self.length, _EXACT)


class UtcDateTime(_Type[datetime]):
    """An aware moment in UTC with microseconds. Naive values are refused: they have lost their zone somewhere."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that holds it on this database."""
        match dialect.name:
            case "mysql" | "mariadb":
                return dialect.type_descriptor(mysql.DATETIME(fsp=6))
            case "mssql":
                from sqlalchemy.dialects import mssql  # noqa: PLC0415 - see `_raw_of_oracle`

                return dialect.type_descriptor(mssql.DATETIMEOFFSET(6))  # type: ignore[no-untyped-call]
            case "oracle":
                from sqlalchemy.dialects import oracle  # noqa: PLC0415 - see `_raw_of_oracle`

                return dialect.type_descriptor(oracle.TIMESTAMP(timezone=True))
            case _:
                return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware datetime → UTC; databases without zones get it naive.

        Raises:
            ValueError: the value is naive.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name in {"mysql", "mariadb", "sqlite"} else value

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """What the driver gives → aware datetime in UTC."""
        if value is None or value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class EnumString(TypeDecorator[StrEnum]):
    """A StrEnum kept by its value, so that adding a member needs no migration."""

    impl = String(32)
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__(32)
        self.enum = enum

    def process_bind_param(self, value: StrEnum | None, _dialect: Dialect) -> str | None:
        """Member → its value; a text that is no member's value raises ValueError."""
        return None if value is None else self.enum(value).value

    def process_result_value(self, value: str | None, _dialect: Dialect) -> StrEnum | None:
        """Stored value → member."""
        return None if value is None else self.enum(value)


class _SafeText(_Type[str]):
    impl: Any = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Refuse with ValueError what one of the databases would refuse or change (NUL, lone surrogates)."""
        return None if value is None else require_safe_text(value)


class SafeText(_SafeText):
    """Unbounded text, LONGTEXT on MySQL; the last line of defence behind `SafeStr` in the schemas."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that holds it on this database."""
        return mysql.LONGTEXT() if dialect.name in {"mysql", "mariadb"} else Text()


class SafeString(_SafeText):
    """Text of at most `length` characters."""

    impl: Any = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length


class KeyString(SafeString):
    """A normalised key: compared and ordered by code point on every database, so that prefixes can use the index."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that holds it on this database."""
        collation = {"postgresql": "C", "mysql": "utf8mb4_bin", "mariadb": "utf8mb4_bin"}.get(dialect.name)
        return dialect.type_descriptor(String(self.length, collation=collation))


JsonDict = JSON().with_variant(postgresql.JSONB(), "postgresql")
"""A JSON object."""


class JsonValue(_Type[Any]):
    """Any JSON value, also a bare number or text; null is NULL.

    SQLite would make a number of its own of `1.0` in a column of type JSON, so it gets the text.
    """

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that holds it on this database."""
        match dialect.name:
            case "postgresql":
                return dialect.type_descriptor(postgresql.JSONB(none_as_null=True))
            case "sqlite":
                return dialect.type_descriptor(Text())
            case _:
                return dialect.type_descriptor(JSON(none_as_null=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Value → what the type below takes."""
        return dump_json(value) if dialect.name == "sqlite" and value is not None else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """What the type below gives → value."""
        return orjson.loads(value) if dialect.name == "sqlite" and value is not None else value


def dump_json(value: Any) -> str:
    """A value as JSON, for drivers that take text."""
    return orjson.dumps(value).decode()
