"""The schema's history: one line of dated revisions that every database can walk up and down."""

import ast
import asyncio
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, make_url, select, text

from app.core.errors import ConfigurationError
from app.core.settings import BACKEND_DIR, Environment, Settings
from app.db import migrations
from app.db.url import database_url as read_url
from app.models import Base
from tests.db.rows import dump, fill
from tests.support import make_settings
from tools import programs
from tools.databases import fresh_database

VERSIONS = BACKEND_DIR / "alembic" / "versions"
FILE_NAME = re.compile(r"\d{8}_\d{4}_[a-z0-9_]+\.py")


@pytest.fixture
def empty(database_url: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings for an empty database of the kind under test."""
    is_sqlite = make_url(database_url).get_backend_name() == "sqlite"
    with fresh_database(None if is_sqlite else database_url, is_durable=False) as url:
        yield make_settings(url, tmp_path)


@pytest.fixture
def connection(empty: Settings) -> Iterator[Connection]:
    """A connection to the database of `empty`."""
    engine = create_engine(read_url(empty).synchronous)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_there_is_one_line_of_revisions() -> None:
    script = ScriptDirectory.from_config(migrations.alembic_config())
    assert len(script.get_heads()) == len(script.get_bases()) == 1
    assert all(not revision.is_merge_point and not revision.is_branch_point for revision in script.walk_revisions())
    assert migrations.head_revision() == script.get_current_head()


def test_file_names_are_dated_in_the_order_of_the_revisions() -> None:
    script = ScriptDirectory.from_config(migrations.alembic_config())
    names = [Path(revision.path).name for revision in script.walk_revisions()][::-1]
    assert all(FILE_NAME.fullmatch(name) for name in names)
    assert names == sorted(names)
    assert set(names) == {path.name for path in VERSIONS.glob("*.py")}


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_a_revision_makes_one_table_or_changes_one_and_can_be_undone(path: Path) -> None:
    """MariaDB commits at each DDL statement: with one table a revision, a failed one leaves little to mend by hand."""
    functions = {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    calls = [
        node.func.attr
        for node in ast.walk(functions["upgrade"])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_table")
    ]
    assert len(calls) <= 1
    assert not all(isinstance(node, ast.Pass | ast.Expr) and not isinstance(getattr(node, "value", None), ast.Call)
                   for node in functions["downgrade"].body)  # fmt: skip


def test_up_down_and_up_again_with_rows_in_every_table(empty: Settings, connection: Connection) -> None:
    """Every step back and forth is walked with data in the tables; what remains keeps its rows."""
    migrations.upgrade(empty)
    with connection.begin():
        fill(connection, Base.metadata)
    before = dump(connection, Base.metadata)
    assert all(len(rows) == 3 for rows in before.values())
    connection.rollback()
    script = ScriptDirectory.from_config(migrations.alembic_config())
    revisions = [revision.revision for revision in script.walk_revisions()]
    columns = columns_of(connection)
    for newer, revision in itertools.pairwise([*revisions, "base"]):
        migrations.downgrade(empty, revision, is_confirmed=False)
        left = columns_of(connection)
        assert_unchanged(connection, before, left)
        if left.keys() == columns.keys():  # a changed table: up again, which must find values for what it adds to rows
            migrations.upgrade(empty, newer)
            assert_unchanged(connection, before, left)
            migrations.downgrade(empty, revision, is_confirmed=False)
        columns = left
    assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    connection.rollback()
    assert migrations.current_revision(empty) is None
    for revision in revisions[::-1]:
        migrations.upgrade(empty, revision)
        assert migrations.current_revision(empty) == revision
    with connection.begin():
        fill(connection, Base.metadata)
    command.check(_bound(connection))


def columns_of(connection: Connection) -> dict[str, set[str]]:
    """The columns of every table that is there."""
    there = inspect(connection)
    names = set(there.get_table_names()) - {"alembic_version"}
    columns = {name: {column["name"] for column in there.get_columns(name)} for name in names}
    connection.rollback()
    return columns


def assert_unchanged(connection: Connection, before: dict[str, list[Any]], columns: dict[str, set[str]]) -> None:
    """These columns hold in every row what they held before."""
    for name, present in columns.items():
        table = Base.metadata.tables[name]
        kept = [(index, column) for index, column in enumerate(table.c) if column.name in present]
        rows = connection.execute(select(*(column for _, column in kept)).order_by(*table.primary_key.columns)).all()
        assert [tuple(row) for row in rows] == [tuple(row[index] for index, _ in kept) for row in before[name]], name
    connection.rollback()


def _bound(connection: Connection) -> Config:
    """Alembic on this connection: `check` raises where models and tables differ."""
    config = migrations.alembic_config()
    config.attributes["connection"] = connection
    return config


def test_an_empty_database_has_no_revision(empty: Settings) -> None:
    assert migrations.current_revision(empty) is None
    assert not asyncio.run(migrations.is_current(empty))
    migrations.upgrade(empty, "+1")
    assert not asyncio.run(migrations.is_current(empty))
    migrations.upgrade(empty)
    migrations.upgrade(empty)
    assert asyncio.run(migrations.is_current(empty))
    assert migrations.current_revision(empty) == migrations.head_revision()


def test_a_database_that_is_away_is_not_current(tmp_path: Path) -> None:
    """The upgrade that follows tells what is wrong."""
    assert not asyncio.run(migrations.is_current(make_settings("postgresql://nobody@127.0.0.1:1/nothing", tmp_path)))


def test_processes_that_start_at_once_migrate_one_after_the_other(empty: Settings) -> None:
    """A lock, so that two starting workers do not migrate at once; each on a host of its own, as far as files tell."""
    assert empty.database_url is not None
    workers = []
    for number in range(3):
        environment = {
            "SECRET_KEY": empty.secret_key.get_secret_value(),
            "DATABASE_URL": empty.database_url.get_secret_value(),
            "DATA_DIR": str(empty.data_dir / (str(number) if read_url(empty).backend != "sqlite" else "same")),
            "PATH": "",
        }
        workers.append(programs.start(("-m", "app.cli", "db", "upgrade"), env=environment))
    assert [worker.wait(50) for worker in workers] == [0, 0, 0]
    assert migrations.current_revision(empty) == migrations.head_revision()


def test_a_downgrade_in_production_needs_a_confirmation(empty: Settings) -> None:
    """It drops data: the flag is `--yes`."""
    migrations.upgrade(empty)
    production = empty.model_copy(update={"environment": Environment.PRODUCTION})
    with pytest.raises(ConfigurationError, match=r"^ENVIRONMENT .*--yes"):
        migrations.downgrade(production, "-1", is_confirmed=False)
    assert migrations.current_revision(empty) == migrations.head_revision()
    migrations.downgrade(production, "-1", is_confirmed=True)
    assert migrations.current_revision(empty) != migrations.head_revision()


def test_a_lock_that_is_not_given_stops_the_migration(
    empty: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MySQL's lock ends its wait without an error; going on without it would migrate twice."""
    if read_url(empty).backend != "mysql":
        return
    monkeypatch.setattr(migrations, "_LOCK_WAIT_SECONDS", 1)
    assert connection.scalar(text("SELECT GET_LOCK(:name, 30)"), {"name": migrations._LOCK_NAME}) == 1
    with pytest.raises(ConfigurationError, match="another process"):
        migrations.upgrade(empty)
    assert inspect(connection).get_table_names() == []


def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path, unused_tcp_port: int) -> None:
    for scheme in ("postgresql", "mysql"):
        url = f"{scheme}://user:hunter2@127.0.0.1:{unused_tcp_port}/x"
        with pytest.raises(ConfigurationError, match=r"^DATABASE_URL cannot be reached") as caught:
            migrations.upgrade(make_settings(url, tmp_path))
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL cannot be reached"):
        migrations.upgrade(make_settings(f"sqlite:///{tmp_path}/no/such/folder/x.db", tmp_path))


# --- guards of SQLite's batch changes --------------------------------------------------------------------------------

BATCH = '''"""{title}"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
{upgrade}


def downgrade() -> None:
    """Undo the change."""
    raise NotImplementedError
'''
RECREATE = """    with op.batch_alter_table("users", recreate="{recreate}") as batch:
        batch.add_column(sa.Column("nickname", sa.String(20), nullable=True))"""
BREAK = """    op.execute("DELETE FROM users")"""


@pytest.fixture
def later_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Adds a revision to the history, for as long as the test runs."""
    head, config = migrations.head_revision(), migrations.alembic_config
    folder = tmp_path / "versions"
    folder.mkdir()

    def extended() -> Config:
        longer = config()
        longer.set_main_option("version_locations", f"{VERSIONS}:{folder}")
        return longer

    def add(upgrade: str) -> None:
        source = BATCH.format(title="Later.", revision="abcdef012345", down=head, upgrade=upgrade)
        (folder / "later.py").write_text(source)
        monkeypatch.setattr(migrations, "alembic_config", extended)

    return add


def test_a_batch_change_keeps_the_rows_that_point_at_the_table(
    empty: Settings, connection: Connection, later_revision: Any
) -> None:
    """With foreign keys on, dropping the old table would cascade: 100 of 100 child rows were lost, and success told."""
    migrations.upgrade(empty)
    with connection.begin():
        fill(connection, Base.metadata, rows=100)
    recreate = "always" if read_url(empty).backend == "sqlite" else "auto"
    later_revision(RECREATE.format(recreate=recreate))
    migrations.upgrade(empty)
    assert migrations.current_revision(empty) == "abcdef012345"
    assert "nickname" in {column["name"] for column in inspect(connection).get_columns("users")}
    for name in Base.metadata.tables:
        assert connection.scalar(text(f"SELECT count(*) FROM {name}")) == 100, name
    if read_url(empty).backend == "sqlite":
        keys = inspect(connection).get_foreign_keys("auth_sessions")
        assert [key["options"].get("ondelete") for key in keys] == ["CASCADE"]


def test_a_migration_that_breaks_references_on_sqlite_changes_nothing(
    empty: Settings, connection: Connection, later_revision: Any
) -> None:
    """Foreign keys are off meanwhile; they are checked before the transaction ends."""
    if read_url(empty).backend != "sqlite":
        return
    migrations.upgrade(empty)
    with connection.begin():
        fill(connection, Base.metadata)
    later_revision(RECREATE.format(recreate="always") + "\n" + BREAK)
    with pytest.raises(RuntimeError, match=r"would break \d+ foreign keys"):
        migrations.upgrade(empty)
    assert migrations.current_revision(empty) != "abcdef012345"
    assert connection.scalar(text("SELECT count(*) FROM users")) == 3
    assert "nickname" not in {column["name"] for column in inspect(connection).get_columns("users")}
