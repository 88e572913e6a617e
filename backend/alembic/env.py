"""Alembic's environment: the synchronous URL of the service's own settings, and guards that SQLite needs."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from app.core.settings import Settings
from app.db.url import database_url, sync_connect_args
from app.models import Base


def migrate(connection: Connection) -> None:
    """Run the migrations on a connection.

    On SQLite a batch change copies a table and drops the old one: with foreign keys on, their cascades would delete
    the children and report success. They are off meanwhile, and checked before the one transaction ends.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:
        _begin_without_foreign_keys(connection)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=is_sqlite,
        compare_type=True,
        user_module_prefix="types.",
        compare_server_default=True,
        # MySQL commits at each DDL statement: a revision that fails there must not be repeated from the start.
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    if is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()):
        raise RuntimeError(f"the migration would break {len(broken)} foreign keys")
    connection.commit()


def _begin_without_foreign_keys(connection: Connection) -> None:
    """Begin a transaction that Alembic leaves to us. Python's driver would begin none before DDL."""
    driver: Any = connection.connection.driver_connection
    driver.isolation_level = None
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def run() -> None:
    """Use the connection that the caller holds, or make one."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        migrate(connection)
        return
    settings = context.config.attributes["settings"] = Settings.load()
    url = database_url(settings)
    engine = create_engine(url.synchronous, poolclass=NullPool, connect_args=sync_connect_args(url, settings))
    with engine.connect() as own_connection:
        migrate(own_connection)


run()
