"""The schema's history: upgrading, and knowing whether a database is at its newest revision."""

import asyncio
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, NullPool, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from app.core.errors import ConfigurationError
from app.core.settings import BACKEND_DIR, Settings
from app.db.engine import Database
from app.db.url import database_url, sync_connect_args

logging.getLogger("alembic").setLevel(logging.WARNING)  # at INFO it tells what any start does

_LOCK_NAME = "merit-migrations"
_LOCK_KEY = 5_170_814_127  # any number; it names the lock among PostgreSQL's advisory ones
_LOCK_WAIT_SECONDS = 60


def alembic_config() -> Config:
    """Alembic's configuration, whatever the current directory is."""
    config = Config(str(BACKEND_DIR / "alembic.ini"))
    config.set_main_option("script_location", str(BACKEND_DIR / "alembic"))
    return config


@cache
def head_revision() -> str:
    """The newest revision of the code."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise RuntimeError("there are no migrations")
    return head


class Migrations:
    """What readiness asks of the schema."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_current(self, seconds: float) -> bool:
        """Whether the database is at the newest revision.

        Raises:
            TimeoutError, DBAPIError: it cannot be read within `seconds`.
        """
        async with asyncio.timeout(seconds), self._database.reader.connect() as connection:
            if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
                return False
            found = await connection.scalars(text("SELECT version_num FROM alembic_version"))
            return set(found) == {head_revision()}


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Bring the database to a revision, alone: a second process waits for the first.

    Raises:
        ConfigurationError: the database cannot be reached.
    """
    with _locked(settings) as connection:
        command.upgrade(_bound(connection), revision)


def downgrade(settings: Settings, revision: str, *, is_confirmed: bool) -> None:
    """Take the database back to an older revision, which may drop data.

    Raises:
        ConfigurationError: in production without confirmation, or the database cannot be reached.
    """
    if settings.is_production and not is_confirmed:
        raise ConfigurationError("ENVIRONMENT", "is production: a downgrade drops data; confirm it with --yes")
    with _locked(settings) as connection:
        command.downgrade(_bound(connection), revision)


def current_revision(settings: Settings) -> str | None:
    """The revision that the database is at, or None for an empty one."""
    with _locked(settings) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def _bound(connection: Connection) -> Config:
    config = alembic_config()
    config.attributes["connection"] = connection
    return config


@contextmanager
def _locked(settings: Settings) -> Iterator[Connection]:
    """A connection of the synchronous driver, under a lock that one migrating process holds at a time.

    Raises:
        ConfigurationError: the database cannot be reached, or the lock is not free within a minute (MySQL).
    """
    url = database_url(settings)
    settings.make_data_dir()
    engine = create_engine(url.synchronous, poolclass=NullPool, connect_args=sync_connect_args(url, settings))
    try:
        with (settings.data_dir / "migrations.lock").open("w") as lock_file, _connected(engine) as connection:
            fcntl.flock(lock_file, fcntl.LOCK_EX)  # among the processes of this host; the database's own among hosts
            match url.backend:
                case "postgresql":
                    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK_KEY})
                case "mysql":
                    lock = {"name": _LOCK_NAME, "wait": _LOCK_WAIT_SECONDS}
                    if not connection.scalar(text("SELECT GET_LOCK(:name, :wait)"), lock):
                        raise ConfigurationError("DATABASE_URL", "is locked: another process is migrating")
            connection.commit()  # commit: the lock outlives the transaction that took it
            yield connection
    finally:
        engine.dispose()


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except DBAPIError as error:
        raise ConfigurationError("DATABASE_URL", f"cannot be reached ({type(error.orig).__name__})") from None
