"""Inserts that may meet a row with the same key, in one statement, as every database writes them.

A change after an insert that failed would not do: on MySQL the failed insert holds a shared lock on the entry that it
met, and two who then want to change the row lock each other up.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import mysql, postgresql, sqlite

from app.db.base import Base
from app.db.engine import Session


def insert_if_new(session: Session, model: type[Base]) -> Any:
    """An INSERT of rows but those whose key is taken; its `rowcount` tells how many.

    Not for a transaction that then changes the row that is there: on MySQL it is locked, but shared.
    """
    table, dialect = _target(session, model)
    if dialect == "mysql":
        return mysql.insert(table).prefix_with("IGNORE")
    return _insert(table, dialect).on_conflict_do_nothing()


def insert_or_keep(session: Session, model: type[Base]) -> Any:
    """An INSERT after which the row is there, and on MySQL locked, whoever made it; its `rowcount` tells nothing."""
    table, dialect = _target(session, model)
    if dialect == "mysql":
        [column, *_] = table.primary_key.columns
        return mysql.insert(table).on_duplicate_key_update({column.key: column})
    return _insert(table, dialect).on_conflict_do_nothing()


def insert_or_replace(session: Session, model: type[Base], key: Sequence[str], columns: Sequence[str]) -> Any:
    """An INSERT of rows that where their `key` is taken replaces the values of `columns`; see `insert_or_update`."""
    return _insert_or_change(session, model, key, lambda new: {name: new[name] for name in columns})


def insert_or_update(session: Session, model: type[Base], key: Sequence[str], values: Mapping[str, Any]) -> Any:
    """An INSERT of rows that where their `key` is taken sets `values`, which may be made of the values there.

    `key` is the columns of the primary key or of a unique constraint.
    """
    return _insert_or_change(session, model, key, lambda _new: values)


def _insert_or_change(
    session: Session, model: type[Base], key: Sequence[str], changes: Callable[[Any], Mapping[str, Any]]
) -> Any:
    table, dialect = _target(session, model)
    if dialect == "mysql":
        statement = mysql.insert(table)
        return statement.on_duplicate_key_update(dict(changes(statement.inserted)))
    new = _insert(table, dialect)
    return new.on_conflict_do_update(index_elements=key, set_=dict(changes(new.excluded)))


def _target(session: Session, model: type[Base]) -> tuple[Table, str]:
    return model.__table__, session.get_bind().dialect.name  # type: ignore[return-value] # a Table it is


def _insert(table: Table, dialect: str) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)
