"""The schema's history: upgrading, and knowing whether a database is at its newest revision.

Alembic is imported where it is needed: a worker that only asks for the revision saves 10 MiB.
"""

import asyncio
import fcntl
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, NullPool, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from app.core.errors import ConfigurationError
from app.core.settings import BACKEND_DIR, Settings
from app.db.engine import Database
from app.db.failpoints import Failpoints
from app.db.url import database_url, sync_connect_args

if TYPE_CHECKING:
    from alembic.config import Config

logging.getLogger("alembic").setLevel(logging.WARNING)  # at INFO it tells what any start does

_LOCK_NAME = "merit-migrations"
_LOCK_KEY = 5_170_814_127  # any number; it names the lock among PostgreSQL's advisory ones
_LOCK_WAIT_SECONDS = 60
_SCRIPTS = BACKEND_DIR / "alembic"
_REVISION = re.compile(r'^(revision|down_revision) = "(\w+)"$', re.MULTILINE)


def alembic_config() -> "Config":
    """Alembic's configuration, whatever the current directory is."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config(str(BACKEND_DIR / "alembic.ini"))
    config.set_main_option("script_location", str(_SCRIPTS))
    return config


@cache
def head_revision() -> str:
    """The newest revision of the code: the one that no other comes after."""
    named: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for path in (_SCRIPTS / "versions").glob("*.py"):
        for name, revision in _REVISION.findall(path.read_text()):
            named[name].add(revision)
    [head] = named["revision"] - named["down_revision"]
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


async def is_current(settings: Settings) -> bool:
    """Whether the database can be reached and is at the newest revision.

    It is asked by the driver of the application: one that goes on to serve saves the 9 MiB of the synchronous one.
    """
    database = Database(settings, Failpoints())
    try:
        return await Migrations(database).is_current(settings.db_connect_timeout)
    except (DBAPIError, OSError, TimeoutError):
        return False
    finally:
        await database.close()


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Bring the database to a revision, alone: a second process waits for the first.

    Raises:
        ConfigurationError: the database cannot be reached.
    """
    from alembic import command  # noqa: PLC0415 - see above

    with _locked(settings) as connection:
        command.upgrade(_bound(connection, settings), revision)


def downgrade(settings: Settings, revision: str, *, is_confirmed: bool) -> None:
    """Take the database back to an older revision, which may drop data.

    Raises:
        ConfigurationError: in production without confirmation, or the database cannot be reached.
    """
    if settings.is_production and not is_confirmed:
        raise ConfigurationError("ENVIRONMENT", "is production: a downgrade drops data; confirm it with --yes")
    from alembic import command  # noqa: PLC0415 - see above

    with _locked(settings) as connection:
        command.downgrade(_bound(connection, settings), revision)


def current_revision(settings: Settings) -> str | None:
    """The revision that the database is at, or None for an empty one."""
    with _locked(settings) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def _bound(connection: Connection, settings: Settings) -> "Config":
    config = alembic_config()
    config.attributes |= {"connection": connection, "settings": settings}
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
