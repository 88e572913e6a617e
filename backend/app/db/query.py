"""Selects that are compiled once, and the snapshots they return."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from sqlalchemy import BindParameter, Dialect, Integer, Select, UniqueConstraint, and_, bindparam, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from app.db.base import Base

ModelT = TypeVar("ModelT", bound=Base)
Convert = Callable[[Any], Any]
Column = InstrumentedAttribute[Any]


@dataclass(frozen=True, slots=True)
class CompiledSelect:
    """One select in one database's language: its text, and what its values pass through on the way in and out."""

    sql: str
    parameters: tuple[tuple[str, Convert | None], ...]
    converters: tuple[tuple[int, Convert], ...]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The driver's positional arguments."""
        return [
            values[name] if convert is None or values[name] is None else convert(values[name])
            for name, convert in self.parameters
        ]

    def convert(self, record: Iterable[Any]) -> list[Any]:
        """A driver's record as Python values."""
        row = list(record)
        for index, convert in self.converters:
            row[index] = convert(row[index])
        return row


class PreparedSelect(Generic[ModelT]):
    """A `SELECT` of all of a model's columns, whose text is the same each time; its values are bound parameters."""

    def __init__(self, model: type[ModelT], statement: Select[Any]) -> None:
        self.model = model
        self.keys = tuple(model.__table__.c.keys())
        self.statement = statement
        self._compiled: dict[str, CompiledSelect] = {}

    def compiled(self, dialect: Dialect) -> CompiledSelect:
        """The statement for the driver behind `dialect`, compiled at its first use."""
        known = self._compiled.get(dialect.driver)
        return known if known is not None else self._compiled.setdefault(dialect.driver, self._compile(dialect))

    def snapshot(self, row: Sequence[Any]) -> ModelT:
        """See `snapshot`."""
        return snapshot(self.model, self.keys, row)

    def _compile(self, dialect: Dialect) -> CompiledSelect:
        compiled = self.statement.compile(dialect=dialect)
        names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        types = {bind.key: bind.type for bind in self.statement.compile().binds.values()}
        converters = (
            (index, column.type.dialect_impl(dialect).result_processor(dialect, None))
            for index, column in enumerate(self.model.__table__.c)
        )
        return CompiledSelect(
            sql=str(compiled),
            parameters=tuple((name, types[name].dialect_impl(dialect).bind_processor(dialect)) for name in names),
            converters=tuple((index, convert) for index, convert in converters if convert is not None),
        )


@cache
def select_by(model: type[ModelT], *columns: Column) -> PreparedSelect[ModelT]:
    """The rows where each column equals the parameter of its name."""
    return PreparedSelect(
        model, select(*model.__table__.c).where(*(column == _parameter(column) for column in columns))
    )


@cache
def select_page(
    model: type[ModelT], column: Column, id_: Column, *, is_descending: bool, has_position: bool
) -> PreparedSelect[ModelT]:
    """The next `page_size` rows in the order (column, id), behind the row with `position` and `position_id`.

    The bound on the column alone is what lets every database begin in the middle of its index.
    """
    keys = (column,) if _is_unique(column) else (column, id_)
    statement = select(*model.__table__.c).order_by(*(key.desc() if is_descending else key for key in keys))
    if has_position:
        value, last_id = _parameter(column, "position"), _parameter(id_, "position_id")
        is_behind = column < value if is_descending else column > value
        if len(keys) > 1:
            is_bounded = column <= value if is_descending else column >= value
            is_behind = and_(is_bounded, or_(is_behind, id_ < last_id if is_descending else id_ > last_id))
        statement = statement.where(is_behind)
    return PreparedSelect(model, statement.limit(bindparam("page_size", type_=Integer())))


def _parameter(column: Column, name: str | None = None) -> BindParameter[Any]:
    return bindparam(name or column.key, type_=column.type)


def _is_unique(column: Column) -> bool:
    """Whether no two rows tie. Ordering by more would then keep MariaDB from using the column's index."""
    table = column.class_.__table__
    unique = [table.primary_key, *(item for item in table.constraints if isinstance(item, UniqueConstraint))]
    return any(list(constraint.columns) == [table.c[column.key]] for constraint in unique)


def snapshot(model: type[ModelT], keys: Sequence[str], row: Sequence[Any]) -> ModelT:
    """A model object that holds a row's values and belongs to no session.

    It costs a fraction of an ORM entity. It can be read like one; assigning to it raises, because nothing would be
    written: changes go through `BaseRepository.update`.
    """
    instance = model.__new__(model)
    instance.__dict__.update(zip(keys, row, strict=True))
    return instance
