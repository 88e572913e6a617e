"""The declarative base, and the mixins that tables share."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.core.ids import new_id
from app.db.types import GUID, JsonDict, UtcDateTime

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

MYSQL_TABLE = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_unicode_ci", "mysql_engine": "InnoDB"}


class Base(DeclarativeBase):
    """Every model. Constraint names follow one convention: error mapping and batch migrations rest on it."""

    __table__: ClassVar[Table]  # an ORM model may be another selectable; none here is

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        UUID: GUID(),
        datetime: UtcDateTime(),
        dict[str, Any]: JsonDict,
    }


class IdMixin:
    """A UUIDv7 primary key."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)


class TimestampMixin:
    """When the row was made and last changed; the repository sets both by its clock."""

    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class VersionMixin:
    """A counter that every update raises, for `ETag` and `If-Match`."""

    row_version: Mapped[int] = mapped_column(default=1)
