"""What every table and the generic repository keep to."""

import inspect

import pytest
from sqlalchemy import DateTime, Table
from sqlalchemy.types import TypeDecorator

from app.db.repository import BaseRepository
from app.models import Base

TABLES = Base.metadata.sorted_tables
MAX_REPOSITORY_LINES = 150


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_constraints_are_named_and_foreign_keys_say_what_becomes_of_their_rows(table: Table) -> None:
    """Error mapping and batch migrations rest on the names; a deletion must never depend on a default."""
    assert all(constraint.name for constraint in table.constraints), table.name
    assert all(index.name for index in table.indexes), table.name
    undecided = [key.parent.name for key in table.foreign_keys if key.ondelete is None]
    assert not undecided, f"{table.name}: no ondelete for {undecided}"


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_every_moment_is_in_utc(table: Table) -> None:
    """A bare DateTime forgets the zone on two of three databases."""
    bare = [column.name for column in table.columns if isinstance(column.type, DateTime)]
    assert not bare, f"{table.name}: {bare} should be UtcDateTime"


def test_the_rule_of_moments_would_see_one() -> None:
    """Decorated types are no DateTime themselves."""
    moments = [column for table in TABLES for column in table.columns if column.name.endswith("_at")]
    assert len(moments) > 20
    assert all(isinstance(column.type, TypeDecorator) for column in moments)


def test_the_generic_repository_stays_small() -> None:
    assert len(inspect.getsource(BaseRepository).splitlines()) < MAX_REPOSITORY_LINES
