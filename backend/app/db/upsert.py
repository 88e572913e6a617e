"""Inserts that may meet a row with the same key, in one statement, as every database writes them.

A change after an insert that failed would not do: on MySQL the failed insert holds a shared lock on the entry that it
met, and two who then want to change the row lock each other up.

Each statement is made once; its rows are the parameters that it is executed with.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy.dialects import mysql, postgresql, sqlite

from app.db.base import Base
from app.db.engine import Session

Changes = Callable[[Any], Mapping[str, Any]]


def insert_if_new(session: Session, model: type[Base]) -> Any:
    """An INSERT of rows but those whose key is taken; the rows that it makes are counted.

    Not for a transaction that then changes the row that is there: on MySQL it is locked, but shared.
    """
    return _insert_if_new(session.dialect_name, model)


def insert_or_keep(session: Session, model: type[Base]) -> Any:
    """An INSERT after which the row is there, and on MySQL locked, whoever made it; its count tells nothing."""
    return _insert_or_keep(session.dialect_name, model)


def insert_or_replace(session: Session, model: type[Base], key: Sequence[str], columns: Sequence[str]) -> Any:
    """An INSERT of rows that where their `key` is taken replaces the values of `columns`; see `insert_or_update`."""
    return _insert_or_replace(session.dialect_name, model, tuple(key), tuple(columns))


def insert_or_update(session: Session, model: type[Base], key: Sequence[str], changes: Changes) -> Any:
    """An INSERT of rows that where their `key` is taken sets values, made of those there and of new ones.

    `key` is the columns of the primary key or of a unique constraint. `changes` is asked once for each database: give
    a function of a module, for it is remembered.
    """
    return _insert_or_update(session.dialect_name, model, tuple(key), changes)


@cache
def _insert_if_new(dialect: str, model: type[Base]) -> Any:
    if dialect == "mysql":
        return mysql.insert(model.__table__).prefix_with("IGNORE")
    return _insert(model, dialect).on_conflict_do_nothing()


@cache
def _insert_or_keep(dialect: str, model: type[Base]) -> Any:
    if dialect == "mysql":
        [column, *_] = model.__table__.primary_key.columns
        return mysql.insert(model.__table__).on_duplicate_key_update({column.key: column})
    return _insert(model, dialect).on_conflict_do_nothing()


@cache
def _insert_or_replace(dialect: str, model: type[Base], key: tuple[str, ...], columns: tuple[str, ...]) -> Any:
    return _insert_or_change(dialect, model, key, lambda new: {name: new[name] for name in columns})


@cache
def _insert_or_update(dialect: str, model: type[Base], key: tuple[str, ...], changes: Changes) -> Any:
    return _insert_or_change(dialect, model, key, changes)


def _insert_or_change(dialect: str, model: type[Base], key: tuple[str, ...], changes: Changes) -> Any:
    if dialect == "mysql":
        statement = mysql.insert(model.__table__)
        return statement.on_duplicate_key_update(dict(changes(statement.inserted)))
    new = _insert(model, dialect)
    return new.on_conflict_do_update(index_elements=key, set_=dict(changes(new.excluded)))


def _insert(model: type[Base], dialect: str) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(model.__table__)
