"""Databases for one run: made, filled with 100,000 users, dropped."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from passlib.context import CryptContext
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from tools.bench.machine import CAN_PIN, LOAD_CORE, pin

ADMIN_EMAIL = "admin@example.com"
PASSWORD = secrets.token_urlsafe(16)
USERS = 100_000

_PLAIN_SCHEMA = """
CREATE TABLE users (
    id serial PRIMARY KEY, email varchar UNIQUE NOT NULL, username varchar UNIQUE, hashed_password varchar NOT NULL,
    is_active boolean DEFAULT true, is_superuser boolean DEFAULT false,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now()
);
CREATE INDEX ix_users_email ON users (email);
CREATE INDEX ix_users_username ON users (username);
"""
_IS_ADMIN = "(g = 1)"
_EMAIL = f"CASE WHEN {_IS_ADMIN} THEN '{ADMIN_EMAIL}' ELSE 'person' || g || '@example.com' END"
_CREATED = "date_trunc('second', now()) - make_interval(secs => %(users)s - g)"
_MILLISECONDS = f"(extract(epoch FROM {_CREATED}) * 1000)::bigint"
_VALUES = {
    "id": f"overlay(overlay(gen_random_uuid()::text placing left(lpad(to_hex({_MILLISECONDS}), 12, '0'), 8) || '-' ||"
    f" right(lpad(to_hex({_MILLISECONDS}), 12, '0'), 4) from 1) placing '7' from 15)::uuid",
    "email": _EMAIL,
    "email_normalized": _EMAIL,
    "full_name": "'Person ' || g",
    "full_name_normalized": "'person ' || g",
    "hashed_password": "%(hash)s",
    "is_active": "true",
    "is_superuser": _IS_ADMIN,
    "role": f"CASE WHEN {_IS_ADMIN} THEN 'admin' ELSE 'user' END",
    "auth_version": "1",
    "row_version": "1",
    "created_at": _CREATED,
    "updated_at": _CREATED,
}


def server_url() -> URL:
    """The PostgreSQL server to measure on: `TEST_POSTGRES_URL`, or the local one."""
    given = os.environ.get("TEST_POSTGRES_URL") or "postgresql://postgres@127.0.0.1:5432/postgres"
    return make_url(given).set(drivername="postgresql")


def text(url: URL) -> str:
    """The URL with its password, as drivers want it."""
    return url.render_as_string(hide_password=False)


@contextmanager
def connect(url: URL) -> Iterator[psycopg.Connection]:
    """A connection in autocommit mode."""
    with psycopg.connect(text(url), autocommit=True) as connection:
        yield connection


@contextmanager
def database(name: str) -> Iterator[URL]:
    """An empty database of its own, dropped at the end."""
    full_name = f"merit_bench_{name}_{secrets.token_hex(3)}"
    with connect(server_url()) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(full_name)))
    try:
        yield server_url().set(database=full_name)
    finally:
        with connect(server_url()) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(full_name)))


def email_of(number: int) -> str:
    """The address of a seeded user; number 1 is the administrator."""
    return ADMIN_EMAIL if number == 1 else f"person{number}@example.com"


def seed_plain(url: URL) -> None:
    """The table of the peers, filled."""
    with connect(url) as connection:
        connection.execute(_PLAIN_SCHEMA)
        columns = ["email", "hashed_password", "is_active", "is_superuser", "created_at", "updated_at"]
        _fill(connection, columns, CryptContext(schemes=["bcrypt"], bcrypt__rounds=12).hash(PASSWORD))


def seed_merit(url: URL) -> None:
    """Our own table, made by our migrations, filled. Columns that may stay empty stay empty."""
    with connect(url) as connection:
        rows = connection.execute(
            "SELECT column_name, is_nullable = 'YES' OR column_default IS NOT NULL"
            " FROM information_schema.columns WHERE table_name = 'users' AND table_schema = current_schema()"
        ).fetchall()
        unknown = sorted(name for name, optional in rows if not optional and name not in _VALUES)
        if unknown:
            raise SystemExit(f"bench: users has columns the seed does not know: {', '.join(unknown)}")
        columns = [name for name, _ in rows if name in _VALUES]
        _fill(connection, columns, CryptContext(schemes=["bcrypt_sha256"], bcrypt_sha256__rounds=12).hash(PASSWORD))


def _fill(connection: psycopg.Connection, columns: list[str], password_hash: str) -> None:
    """Inserts the users in one statement; they all share one password hash."""
    names = ", ".join(columns)
    values = ", ".join(_VALUES[name] for name in columns)
    statement = f"INSERT INTO users ({names}) SELECT {values} FROM generate_series(1, {USERS}) AS g"  # noqa: S608
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(statement.encode(), {"hash": password_hash, "users": USERS})
    connection.execute("VACUUM ANALYZE users")


def pin_backends(urls: list[URL]) -> tuple[int, int]:
    """Puts the PostgreSQL processes that serve these databases on the load's core: (pinned, all)."""
    if not CAN_PIN:
        return 0, 0
    names = [url.database for url in urls]
    with connect(server_url()) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname = ANY(%s)", [names]).fetchall()
    return sum(pin(pid, LOAD_CORE) for (pid,) in rows), len(rows)


def transactions(url: URL) -> int:
    """Transactions committed and rolled back in a database so far; with autocommit, each statement is one."""
    with connect(server_url()) as connection:
        row = connection.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s", [url.database]
        ).fetchone()
    return int(row[0]) if row else 0
