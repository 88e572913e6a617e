"""Copies of a SQLite file that is being written to, and their way back."""

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.settings import Settings
from app.db.backup import BackupError, back_up, embedded_database, restore

REVISION = "2026_01_01_first"
ENTRIES = "SELECT count(*) FROM entries"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database as the service leaves it: a write-ahead log, a revision, and rows that point at each other."""
    path = tmp_path / "merit.db"
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (REVISION,))
        connection.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, pair INTEGER REFERENCES entries(id))")
    return path


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the pragmas of the service."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def value(path: Path, query: str) -> int:
    """The one number that a query gives."""
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute(query).fetchone()[0]
        return number


@contextmanager
def writing(path: Path) -> Iterator[list[int]]:
    """Write pairs of rows, each pair in a transaction, until the block ends; gives the pairs that are committed."""
    committed = [0]
    stop = threading.Event()

    def write() -> None:
        with closing(connect(path)) as connection:
            while not stop.is_set():
                connection.execute("BEGIN IMMEDIATE")
                first = connection.execute("INSERT INTO entries (pair) VALUES (NULL)").lastrowid
                connection.execute("INSERT INTO entries (pair) VALUES (?)", (first,))
                connection.execute("COMMIT")
                committed[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield committed
    finally:
        stop.set()
        thread.join()


def test_copies_under_load_hold_every_committed_pair_and_no_half_one(database: Path, tmp_path: Path) -> None:
    with writing(database) as committed:
        for number in range(10):
            while committed[0] < 20 * (number + 1):
                threading.Event().wait(0.001)
            before = committed[0]
            report = back_up(database, tmp_path / f"copy{number}.db")
            rows = value(report.path, ENTRIES)
            assert rows % 2 == 0
            assert rows >= 2 * before
            assert (report.rows, report.revision) == (rows + 1, REVISION)


def test_a_copy_is_one_file_that_only_its_owner_reads(database: Path, tmp_path: Path) -> None:
    report = back_up(database, tmp_path / "backups" / "copy.db")
    assert [path.name for path in report.path.parent.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(report.path.stat().st_mode) == 0o600
    assert report.size_bytes == report.path.stat().st_size


def test_a_restored_database_has_the_rows_of_the_copy_and_keeps_the_replaced_one(
    database: Path, tmp_path: Path
) -> None:
    with closing(connect(database)) as connection:
        connection.execute("INSERT INTO entries (id) VALUES (1)")
    copy = back_up(database, tmp_path / "copy.db").path
    with closing(connect(database)) as connection:
        connection.execute("INSERT INTO entries (id) VALUES (2)")
    assert restore(copy, database).rows == 2
    assert value(database, ENTRIES) == 1
    assert value(database.with_name("merit.db.before-restore"), ENTRIES) == 2
    assert not list(tmp_path.glob("merit.db-*"))


def test_a_copy_can_be_restored_where_nothing_is(database: Path, tmp_path: Path) -> None:
    copy = back_up(database, tmp_path / "copy.db").path
    restore(copy, tmp_path / "new" / "merit.db")
    assert value(tmp_path / "new" / "merit.db", ENTRIES) == 0


def test_a_database_in_use_is_not_replaced(database: Path, tmp_path: Path) -> None:
    copy = back_up(database, tmp_path / "copy.db").path
    with closing(connect(database)) as connection:
        connection.execute(ENTRIES).fetchall()
        with pytest.raises(BackupError, match="is in use; stop the service first"):
            restore(copy, database)
        connection.execute("INSERT INTO entries (id) VALUES (3)")
    assert value(database, ENTRIES) == 1
    assert not list(tmp_path.glob("*.partial"))


def test_a_damaged_copy_is_refused_and_changes_nothing(database: Path, tmp_path: Path) -> None:
    with closing(connect(database)) as connection:
        connection.executemany("INSERT INTO entries (id) VALUES (?)", [(number,) for number in range(5000)])
    copy = back_up(database, tmp_path / "copy.db").path
    content = bytearray(copy.read_bytes())
    content[8192 : 8192 + 4096] = bytes(4096)
    copy.write_bytes(content)
    with pytest.raises(BackupError, match="damaged"):
        restore(copy, database)
    assert value(database, ENTRIES) == 5000


def test_broken_references_are_damage(database: Path, tmp_path: Path) -> None:
    with closing(connect(database)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("INSERT INTO entries (pair) VALUES (77)")
    with pytest.raises(BackupError, match="is damaged"):
        back_up(database, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))


@pytest.mark.parametrize("content", [b"", b"no database at all, only some text " * 200])
def test_what_is_no_database_of_the_service_is_refused(tmp_path: Path, content: bytes) -> None:
    stranger = tmp_path / "stranger.db"
    stranger.write_bytes(content)
    with pytest.raises(BackupError, match=r"not a database of this service|cannot be copied"):
        restore(stranger, tmp_path / "merit.db")
    with pytest.raises(BackupError):
        back_up(stranger, tmp_path / "copy.db")
    assert not (tmp_path / "merit.db").exists()


def test_nothing_is_overwritten_or_made_up(database: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    with pytest.raises(BackupError, match="there is no database"):
        back_up(missing, tmp_path / "copy.db")
    with pytest.raises(BackupError, match="there is no copy"):
        restore(missing, database)
    with pytest.raises(BackupError, match="exists already"):
        back_up(database, database)


@pytest.mark.parametrize(
    ("url", "program"), [("postgresql://u@localhost/d", "pg_dump"), ("mysql://u@localhost/d", "mariadb-dump")]
)
def test_a_server_has_its_own_program(url: str, program: str) -> None:
    with pytest.raises(BackupError, match=program):
        embedded_database(Settings(secret_key=SecretStr("s" * 40), database_url=SecretStr(url)))


def test_the_embedded_database_is_the_file_of_the_url(tmp_path: Path) -> None:
    url = SecretStr(f"sqlite:///{tmp_path}/x.db")
    assert embedded_database(Settings(secret_key=SecretStr("s" * 40), database_url=url)) == tmp_path / "x.db"
