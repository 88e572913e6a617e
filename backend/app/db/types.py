"""Column types that mean the same on every database."""

import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import BINARY, JSON, DateTime, Dialect, LargeBinary, String, Text
from sqlalchemy.dialects import mssql, mysql, oracle, postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.core.text import require_safe_text

ValueT = TypeVar("ValueT")


class _Type(TypeDecorator[ValueT]):
    """What the types here share: how a migration names them."""

    cache_ok = True
    length: int | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.length or ''})"


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
                return dialect.type_descriptor(oracle.RAW(16))
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
                return dialect.type_descriptor(oracle.RAW(self.length))
            case _:
                return dialect.type_descriptor(LargeBinary(self.length))


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
                return dialect.type_descriptor(mssql.DATETIMEOFFSET(6))  # type: ignore[no-untyped-call]
            case "oracle":
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
