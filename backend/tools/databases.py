"""Databases for tests and checks: made empty, lent, and dropped."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url

MEMORY = Path("/dev/shm")  # noqa: S108 - the file system in memory that Linux has
ENOUGH_BYTES = 1 << 30  # containers may have 64 MiB of it
SYNC_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}

_POSTGRES_FOLDERS = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)


def given_urls() -> list[str | None]:
    """None for SQLite, which is always there, and the databases that TEST_POSTGRES_URL and TEST_MYSQL_URL name."""
    return [None, *filter(None, (os.environ.get(name) for name in ("TEST_POSTGRES_URL", "TEST_MYSQL_URL")))]


@contextmanager
def fresh_database(url: str | None, *, is_durable: bool = True) -> Iterator[str]:
    """Lend the URL of an empty database: a SQLite file, or a database beside the one that `url` names.

    Unless `is_durable`, commits need not reach the disk where that can be had for one database alone: tests commit so
    often that they would mostly wait for it.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the server of `url` is away or grants no new database.
        KeyError: `url` is of another kind than PostgreSQL, MySQL or MariaDB.
    """
    if url is None:
        with tempfile.TemporaryDirectory(dir=None if is_durable else _memory()) as folder:
            yield f"sqlite:///{Path(folder) / 'test.db'}"
        return
    server = make_url(url)
    server = server.set(drivername=SYNC_DRIVERS[server.get_backend_name()])
    name = f"{server.database}_{secrets.token_hex(4)}"
    _execute(server, f"CREATE DATABASE {name}")
    if not is_durable and server.get_backend_name() == "postgresql":
        _execute(server, f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        force = " WITH (FORCE)" if server.get_backend_name() == "postgresql" else ""
        _execute(server, f"DROP DATABASE {name}{force}")


def _memory() -> Path | None:
    is_roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES
    return MEMORY if is_roomy else None


def find_pgbouncer() -> str | None:
    """Return the path of an installed pgbouncer, which Debian puts where only root looks; None without one."""
    return shutil.which("pgbouncer", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))


def find_postgres_programs() -> Path | None:
    """Return the folder of PostgreSQL's server programs, which Debian keeps off the PATH; None without them."""
    initdb = shutil.which("initdb", path=os.pathsep.join((os.environ.get("PATH", ""), *_POSTGRES_FOLDERS)))
    return None if initdb is None else Path(initdb).parent


def _execute(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
