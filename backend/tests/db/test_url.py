"""A database URL is understood however a person writes it, and leads both drivers to the same place."""

import secrets
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import URL, create_engine, make_url, text

from app.core.errors import ConfigurationError
from app.core.settings import DatabaseTls, Environment, Settings
from app.db.engine import Database
from app.db.failpoints import Failpoints
from app.db.url import DatabaseUrl, parse_database_url, replica_url, sync_connect_args, tls_context
from app.db.url import database_url as read_url
from tests.support import SECRET_KEY, make_settings
from tools.databases import SYNC_DRIVERS

NASTY_PASSWORD = "p@ss:w/o?r#d%41&=+ \"'`\\$[]{}|^~<>,;é!*()"  # not a secret: of a user that lives for one test


def settings_of(**values: Any) -> Settings:
    return Settings(_env_file=None, secret_key=SecretStr(SECRET_KEY), **values)


def parse(url: str) -> DatabaseUrl:
    return parse_database_url(url, setting="DATABASE_URL")


@pytest.mark.parametrize(
    ("written", "asynchronous", "synchronous"),
    [
        ("sqlite:///./x.db", "sqlite+aiosqlite:///./x.db", "sqlite:///./x.db"),
        ("sqlite+aiosqlite:////srv/x.db", "sqlite+aiosqlite:////srv/x.db", "sqlite:////srv/x.db"),
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h:1/d", "postgresql+asyncpg://u@h:1/d", "postgresql+psycopg://u@h:1/d"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql+asyncpg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("mysql://u@h/d", "mysql+asyncmy://u@h/d?charset=utf8mb4", "mysql+pymysql://u@h/d?charset=utf8mb4"),
        ("mysql+pymysql://u@h/d", "mysql+asyncmy://u@h/d?charset=utf8mb4", "mysql+pymysql://u@h/d?charset=utf8mb4"),
        ("mysql+aiomysql://u@h/d", "mysql+asyncmy://u@h/d?charset=utf8mb4", "mysql+pymysql://u@h/d?charset=utf8mb4"),
        (
            "mariadb://u@h/d?charset=utf8",
            "mysql+asyncmy://u@h/d?charset=utf8mb4",
            "mysql+pymysql://u@h/d?charset=utf8mb4",
        ),
    ],
)
def test_every_form_gives_both_drivers(written: str, asynchronous: str, synchronous: str) -> None:
    url = parse(written)
    assert url.asynchronous.render_as_string(hide_password=False) == asynchronous
    assert url.synchronous.render_as_string(hide_password=False) == synchronous


@pytest.mark.parametrize(
    "written",
    [
        "hunter2",
        "",
        "postgresql://u:hunter2@h:port/d",
        "oracle://u:hunter2@h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "postgresql://u:hunter2@h/d?sslmode=maybe",
    ],
)
def test_what_cannot_be_used_is_refused_without_its_text(written: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(written)
    assert caught.value.setting == "DATABASE_URL"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", DatabaseTls.OFF),
        ("?sslmode=disable", DatabaseTls.OFF),
        ("?sslmode=prefer", DatabaseTls.OFF),
        ("?ssl=require", DatabaseTls.REQUIRE),
        ("?sslmode=require&application_name=x", DatabaseTls.REQUIRE),
        ("?sslmode=verify-ca", DatabaseTls.VERIFY),
        ("?sslmode=verify-full", DatabaseTls.VERIFY),
    ],
)
def test_the_sslmode_of_a_url_becomes_tls_for_both_drivers(query: str, tls: DatabaseTls) -> None:
    url = parse(f"postgresql://u@db.internal/d{query}")
    assert url.tls is tls
    assert not {"ssl", "sslmode"} & (url.asynchronous.query.keys() | url.synchronous.query.keys())
    assert sync_connect_args(url, settings_of()).get("sslmode") == {
        DatabaseTls.REQUIRE: "require",
        DatabaseTls.VERIFY: "verify-full",
    }.get(tls)


def test_tls_checks_certificates_where_it_shall(tmp_path: Path) -> None:
    bundle = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    settings = settings_of(db_tls_ca_file=bundle)
    assert tls_context(parse("mysql://h/d"), settings) is None
    encrypting = tls_context(parse("mysql://h/d?ssl=require"), settings)
    assert encrypting is not None
    assert (encrypting.check_hostname, encrypting.verify_mode) == (False, ssl.CERT_NONE)
    verifying = tls_context(parse("mysql://h/d?ssl=verify-full"), settings_of())
    assert verifying is not None
    assert (verifying.check_hostname, verifying.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert sync_connect_args(parse("postgresql://h/d"), settings)["sslrootcert"] == bundle
    assert isinstance(sync_connect_args(parse("mysql://h/d?ssl=require"), settings)["ssl"], ssl.SSLContext)
    assert "ssl" not in sync_connect_args(parse("mysql://h/d"), settings)
    for scheme in ("postgresql", "mysql"):
        with_tls = settings_of(database_url=f"{scheme}://u@db.internal/d", db_tls=DatabaseTls.REQUIRE)
        assert Database(with_tls, Failpoints()).url.tls is DatabaseTls.REQUIRE


@pytest.mark.parametrize("name", ["database_url", "database_replica_url"])
def test_production_wants_tls_to_another_host(name: str) -> None:
    """Start-up: a non-local database without TLS stops the start."""
    values = {"database_url": "postgresql://u@127.0.0.1/d", name: "postgresql://u:hunter2@db.internal/d"}
    remote = settings_of(environment=Environment.PRODUCTION, **values)
    with pytest.raises(ConfigurationError, match=f"^DB_TLS .*{name.upper()}") as caught:
        assert (read_url(remote), replica_url(remote)) is None
    assert "hunter2" not in str(caught.value)
    encrypted = remote.model_copy(update={"db_tls": DatabaseTls.REQUIRE})
    assert read_url(encrypted).backend == "postgresql"


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("sqlite:///x.db", True),
        ("postgresql:///d", True),
        ("postgresql://u@localhost/d", True),
        ("postgresql://u@[::1]/d", True),
        ("postgresql://u@/d?host=/var/run/postgresql", True),
        ("postgresql://u@/d?host=localhost&host=db.internal", False),
        ("mysql://u@10.0.0.1/d", False),
    ],
)
def test_what_crosses_a_network_is_known(url: str, is_local: bool) -> None:
    assert parse(url).is_local is is_local


def test_without_a_url_it_is_postgres_settings_or_the_embedded_database(tmp_path: Path) -> None:
    assert read_url(settings_of(data_dir=tmp_path)).synchronous == URL.create(
        "sqlite", database=str(tmp_path / "merit.db")
    )
    parts = {"postgres_user": "m", "postgres_password": NASTY_PASSWORD, "postgres_db": "d"}
    remote = read_url(settings_of(postgres_server="db.internal", postgres_port=6543, **parts)).asynchronous
    assert (remote.username, remote.password, remote.host, remote.port, remote.database) == (
        "m",
        NASTY_PASSWORD,
        "db.internal",
        6543,
        "d",
    )
    socket = read_url(settings_of(postgres_server="/var/run/postgresql", **parts))
    assert (socket.asynchronous.host, socket.asynchronous.query["host"]) == (None, "/var/run/postgresql")
    assert socket.is_local


def test_a_replica_is_of_the_primarys_kind() -> None:
    assert replica_url(settings_of()) is None
    primary = "postgresql://u@localhost/d"
    replica = replica_url(settings_of(database_url=primary, database_replica_url="postgres://u@localhost/e"))
    assert replica is not None
    assert replica.synchronous.database == "e"
    for database, other in [(primary, "mysql://localhost/d"), ("sqlite:///x.db", "sqlite:///y.db")]:
        with pytest.raises(ConfigurationError, match=r"^DATABASE_REPLICA_URL"):
            replica_url(settings_of(database_url=database, database_replica_url=other))


@contextmanager
def user_with_a_nasty_password(server: URL) -> Iterator[URL]:
    """The URL of a user of the server that lives as long as the block."""
    name = f"nasty_{secrets.token_hex(4)}"
    kind = server.get_backend_name()
    administrator = create_engine(server.set(drivername=SYNC_DRIVERS[kind]), isolation_level="AUTOCOMMIT")
    with closing(administrator.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        driver: Any = connection.driver_connection
        if kind == "postgresql":
            driver.autocommit = True
            cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD {sql.Literal(NASTY_PASSWORD).as_string(driver)}")
            drop = f"DROP ROLE {name}"
        else:
            cursor.execute(f"CREATE USER {name}@'%' IDENTIFIED BY {driver.escape(NASTY_PASSWORD)}")
            cursor.execute(f"GRANT ALL ON {server.database}.* TO {name}@'%'")
            drop = f"DROP USER {name}@'%'"
        try:
            yield server.set(username=name, password=NASTY_PASSWORD)
        finally:
            cursor.execute(drop)
    administrator.dispose()


async def test_a_password_of_special_characters_reaches_the_server(database_url: str, tmp_path: Path) -> None:
    """Both drivers let a real user in whose password needs escaping everywhere it can."""
    server = make_url(database_url)
    if server.get_backend_name() == "sqlite":
        odd = tmp_path / "fold er#1 %41é"
        await _connect_both(settings_of(data_dir=odd), "SELECT 1", 1)
        assert (odd / "merit.db").exists()
        return
    is_postgres = server.get_backend_name() == "postgresql"
    query = "SELECT current_user" if is_postgres else "SELECT substring_index(user(), '@', 1)"
    with user_with_a_nasty_password(server) as url:
        await _connect_both(make_settings(url.render_as_string(hide_password=False), tmp_path), query, url.username)
        if is_postgres:
            parts = settings_of(
                postgres_server=url.host,
                postgres_port=url.port or 5432,
                postgres_user=url.username,
                postgres_password=NASTY_PASSWORD,
                postgres_db=url.database,
            )
            await _connect_both(parts, query, url.username)


async def _connect_both(settings: Settings, query: str, expected: Any) -> None:
    database = Database(settings, Failpoints())
    async with database.reader.connect() as connection:
        assert await connection.scalar(text(query)) == expected
    await database.close()
    url = read_url(settings)
    engine = create_engine(url.synchronous, connect_args=sync_connect_args(url, settings))
    with engine.connect() as synchronous:
        assert synchronous.scalar(text(query)) == expected
    engine.dispose()
