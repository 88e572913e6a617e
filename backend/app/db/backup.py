"""Verified copies of the embedded SQLite database, taken while the service runs, and their way back.

Copying the file of a running service is no backup: what the write-ahead log holds is missing or half there. SQLite's
online backup (sqlite.org/backup.html) copies one consistent state and stops no reader or writer.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.core.settings import Settings
from app.db.url import database_url


class BackupError(Exception):
    """No copy was made or restored; the message says why."""


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A copy that was read back: its size, its rows in all tables, and its schema's revision."""

    path: Path
    size_bytes: int
    rows: int
    revision: str


def embedded_database(settings: Settings) -> Path:
    """The file of the embedded database.

    Raises:
        BackupError: the service uses a database server, which has its own program for this.
    """
    url = database_url(settings)
    programs = {"postgresql": "pg_dump", "mysql": "mariadb-dump --single-transaction"}
    if url.backend in programs:
        raise BackupError(f"the database is a {url.backend} server; use {programs[url.backend]}")
    return Path(url.synchronous.database or "")


def back_up(database: Path, copy: Path) -> BackupReport:
    """Copy the database to a new file, which appears under its name only when it is complete and verified.

    Raises:
        BackupError: there is no database, the copy exists already, or it did not pass its verification.
    """
    if not database.is_file():
        raise BackupError(f"there is no database at {database}")
    if copy.exists():
        raise BackupError(f"{copy} exists already")
    with _new_file(copy) as partial:
        _copy(database, partial)
        report = _verify(partial)
    return BackupReport(copy, report.size_bytes, report.rows, report.revision)


def restore(copy: Path, database: Path) -> BackupReport:
    """Put a verified copy in the database's place, and keep what stood there as `<name>.before-restore`.

    Raises:
        BackupError: the copy is damaged, or a service still uses the database. Nothing is changed then.
    """
    if not copy.is_file():
        raise BackupError(f"there is no copy at {copy}")
    _verify(copy)
    with _new_file(database) as partial:
        _copy(copy, partial)
        report = _verify(partial)
        if database.exists():
            _require_unused(database)
            database.replace(database.with_name(f"{database.name}.before-restore"))
    return BackupReport(database, report.size_bytes, report.rows, report.revision)


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """A file beside `target`, for its owner's eyes only, that takes the name `target` when the block succeeds."""
    partial = target.with_name(f"{target.name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    try:
        yield partial
        _sync(partial)
        partial.replace(target)
        _sync(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    try:
        with closing(_open(source, "ro")) as reading, closing(_open(target, "rw")) as writing:
            reading.backup(
                writing
            )  # in one step: the copy of a database that is written to would begin again and again
            writing.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise BackupError(f"{source} cannot be copied: {error}") from error


def _verify(path: Path) -> BackupReport:
    """Read every page, index and reference.

    Raises:
        BackupError: something is wrong, or it is not a database of this service.
    """
    try:
        with closing(_open(path, "ro")) as connection:
            faults = connection.execute("PRAGMA integrity_check(1)").fetchall()
            if faults != [("ok",)] or connection.execute("PRAGMA foreign_key_check").fetchone():
                raise BackupError(f"{path} is damaged")
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            rows = sum(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables)  # noqa: S608
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise BackupError(f"{path} is not a database of this service, or is damaged") from error
    return BackupReport(path, path.stat().st_size, rows, revision)


def _require_unused(database: Path) -> None:
    """Leave the write-ahead mode, which only a sole user of the file can; its log is merged into the file by that.

    Raises:
        BackupError: another process has the database open.
    """
    try:
        with closing(_open(database, "rw")) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        raise BackupError(f"{database} is in use; stop the service first") from error


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=1.0, isolation_level=None)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
