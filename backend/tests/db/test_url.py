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
from app.db.url import DatabaseUrl, listen_url, parse_database_url, replica_url, sync_connect_args, tls_context
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
        "mysql://u:hunter2@h/d?ssl-mode=maybe",
    ],
)
def test_what_cannot_be_used_is_refused_without_its_text(written: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(written)
    assert caught.value.setting == "DATABASE_URL"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("postgresql://u:hunter2@h/d?pgbouncer=true", "pgbouncer"),
        ("postgresql://u:hunter2@h/d?application_name=x&%0Aserver_settings=hunter2", " server_settings"),
        ("postgresql://u@h/d?application_name=x&application_name=hunter2", "application_name"),
        ("mysql://u:hunter2@h/d?init_command=DROP", "init_command"),
        ("sqlite:///x.db?cache=shared", "cache"),
    ],
)
def test_an_option_that_no_driver_takes_is_named(written: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^DATABASE_URL has the option '{name}'") as caught:
        parse(written)
    assert "hunter2" not in str(caught.value)


def test_options_of_the_server_reach_both_drivers() -> None:
    """What hosted databases hand out, with what asyncpg has no name for."""
    url = parse(
        "postgresql://u@h/d?application_name=x&options=-c%20geqo%3Doff&connect_timeout=5&channel_binding=require"
    )
    assert url.session == {"application_name": "x", "options": "-c geqo=off"}
    assert not url.asynchronous.query
    assert url.synchronous.query == url.session
    assert not parse("sqlite:///x.db?check_same_thread=False").asynchronous.query


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", DatabaseTls.OFF),
        ("?sslmode=disable", DatabaseTls.OFF),
        ("?sslmode=prefer", DatabaseTls.OFF),
        ("?ssl=require", DatabaseTls.REQUIRE),
        ("?ssl=true", DatabaseTls.REQUIRE),
        ("?sslmode=require&application_name=x", DatabaseTls.REQUIRE),
        ("?sslmode=require&channel_binding=require", DatabaseTls.REQUIRE),
        ("?sslmode=verify-ca", DatabaseTls.VERIFY),
        ("?sslmode=verify-full", DatabaseTls.VERIFY),
        ("?sslmode=require&sslrootcert=/ca.pem", DatabaseTls.VERIFY),
        ("?sslrootcert=system", DatabaseTls.VERIFY),
    ],
)
def test_the_sslmode_of_a_url_becomes_tls_for_both_drivers(query: str, tls: DatabaseTls) -> None:
    url = parse(f"postgresql://u@db.internal/d{query}")
    assert url.tls is tls
    assert not url.asynchronous.query
    modes = {DatabaseTls.OFF: "disable", DatabaseTls.REQUIRE: "require", DatabaseTls.VERIFY: "verify-full"}
    assert sync_connect_args(url, settings_of())["sslmode"] == modes[tls]


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("ssl-mode=DISABLED", DatabaseTls.OFF),
        ("ssl-mode=PREFERRED", DatabaseTls.OFF),
        ("ssl_mode=REQUIRED", DatabaseTls.REQUIRE),
        ("sslmode=require", DatabaseTls.REQUIRE),
        ("ssl-mode=VERIFY_CA", DatabaseTls.VERIFY),
        ("ssl-mode=VERIFY_IDENTITY&charset=latin1", DatabaseTls.VERIFY),
        ("ssl-ca=/ca.pem", DatabaseTls.VERIFY),
    ],
)
def test_the_ssl_mode_of_mysql_is_understood(query: str, tls: DatabaseTls) -> None:
    url = parse(f"mysql://u@db.internal/d?{query}")
    assert url.tls is tls
    assert url.asynchronous.query == url.synchronous.query == {"charset": "utf8mb4"}


def test_certificates_are_checked_against_what_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL's own file, else DB_TLS_CA_FILE, else the system's, which libpq has to be shown."""
    file = tmp_path / "ours.pem"
    settings = settings_of(
        db_tls="verify",
        db_tls_ca_file=file,
        database_url="postgresql://h/d",
        database_replica_url="postgresql://r/d?sslrootcert=other.pem",
    )
    replica = replica_url(settings)
    assert replica is not None
    assert sync_connect_args(read_url(settings), settings)["sslrootcert"] == str(file)
    assert sync_connect_args(replica, settings)["sslrootcert"] == "other.pem"
    with pytest.raises(ConfigurationError, match=r"^DB_TLS_CA_FILE "):
        tls_context(read_url(settings))
    system = parse("postgresql://h/d?sslrootcert=system")
    file.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert sync_connect_args(system, settings_of())["sslrootcert"] == str(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert sync_connect_args(system, settings_of())["sslrootcert"] == "system"


def test_tls_checks_certificates_where_it_shall() -> None:
    assert tls_context(parse("mysql://h/d")) is None
    encrypting = tls_context(parse("mysql://h/d?ssl=require"))
    assert encrypting is not None
    assert (encrypting.check_hostname, encrypting.verify_mode) == (False, ssl.CERT_NONE)
    verifying = tls_context(parse("mysql://h/d?ssl=verify-full"))
    assert verifying is not None
    assert (verifying.check_hostname, verifying.verify_mode) == (True, ssl.CERT_REQUIRED)
    with_tls, without = (sync_connect_args(parse(f"mysql://h/d{query}"), settings_of()) for query in ("?ssl=true", ""))
    assert isinstance(with_tls["ssl"], ssl.SSLContext)
    assert "ssl_disabled" not in with_tls
    assert without["ssl_disabled"] is True
    for scheme in ("postgresql", "mysql"):
        settings = settings_of(database_url=f"{scheme}://u@db.internal/d", db_tls=DatabaseTls.REQUIRE)
        assert Database(settings, Failpoints()).url.tls is DatabaseTls.REQUIRE


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


def test_notices_go_past_a_pooler_where_a_url_says_so() -> None:
    primary, direct = "postgresql://u@localhost/d", "postgres://u@localhost:5433/d"
    assert listen_url(settings_of(database_url=primary)) == parse(primary)
    assert listen_url(settings_of(database_url=primary, db_pooler="pgbouncer")) is None
    assert listen_url(settings_of(database_url=primary, db_pooler="pgbouncer", database_listen_url=direct)) == parse(
        direct
    )
    assert listen_url(settings_of(database_url="mysql://localhost/d")) is None
    for database, other in [(primary, "mysql://localhost/d"), ("sqlite:///x.db", direct)]:
        with pytest.raises(ConfigurationError, match=r"^DATABASE_LISTEN_URL"):
            listen_url(settings_of(database_url=database, database_listen_url=other))


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


# Written like this by people, their tools and hosted databases: scheme, options, a question to the server, the answer.
FORMS: dict[str, list[tuple[str, str, str, Any]]] = {
    "sqlite": [("sqlite", "", "SELECT 1", 1), ("sqlite+aiosqlite", "?check_same_thread=False", "SELECT 1", 1)],
    "postgresql": [
        ("postgres", "", "SHOW geqo", "on"),
        ("postgresql+asyncpg", "?application_name=ours&connect_timeout=5", "SHOW application_name", "ours"),
        ("postgresql+psycopg2", "?options=-c%20geqo%3Doff", "SHOW geqo", "off"),
        ("postgresql", "?sslmode=disable&channel_binding=prefer&target_session_attrs=any", "SELECT 1", 1),
    ],
    "mysql": [
        ("mysql", "", "SELECT @@character_set_client", "utf8mb4"),
        ("mariadb", "?charset=latin1&connect_timeout=5", "SELECT @@character_set_client", "utf8mb4"),
        ("mysql+pymysql", "?ssl-mode=DISABLED", "SELECT 1", 1),
    ],
}


async def test_every_form_reaches_the_database_at_hand(database_url: str, tmp_path: Path) -> None:
    """Both drivers take every option that is let through."""
    server = make_url(database_url)
    for scheme, options, query, expected in FORMS[server.get_backend_name()]:
        written = server.set(drivername=scheme).render_as_string(hide_password=False) + options
        await _connect_both(make_settings(written, tmp_path), query, expected)


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
