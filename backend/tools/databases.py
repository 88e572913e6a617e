"""Databases for tests and checks: made empty, lent, and dropped."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url

SYNC_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}


@contextmanager
def fresh_database(url: str | None) -> Iterator[str]:
    """Lend the URL of an empty database: a SQLite file, or a database beside the one that `url` names.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the server of `url` is away or grants no new database.
        KeyError: `url` is of another kind than PostgreSQL, MySQL or MariaDB.
    """
    if url is None:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'test.db'}"
        return
    server = make_url(url)
    server = server.set(drivername=SYNC_DRIVERS[server.get_backend_name()])
    name = f"{server.database}_{secrets.token_hex(4)}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        force = " WITH (FORCE)" if server.get_backend_name() == "postgresql" else ""
        _execute(server, f"DROP DATABASE {name}{force}")


def find_pgbouncer() -> str | None:
    """Return the path of an installed pgbouncer, which Debian puts where only root looks; None without one."""
    return shutil.which("pgbouncer", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))


def _execute(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
