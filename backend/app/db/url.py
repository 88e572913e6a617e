"""The URLs of one database: asynchronous for the service, synchronous for Alembic."""

import ssl
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.errors import ConfigurationError
from app.core.settings import DatabaseTls, Settings, is_local_host

_DRIVERS = {
    "sqlite": ("sqlite+aiosqlite", "sqlite"),
    "postgresql": ("postgresql+asyncpg", "postgresql+psycopg"),
    "mysql": ("mysql+asyncmy", "mysql+pymysql"),
}
_ALIASES = {"postgres": "postgresql", "mariadb": "mysql"}
_TLS_OF_SSLMODE = {
    "disable": DatabaseTls.OFF,
    "allow": DatabaseTls.OFF,
    "prefer": DatabaseTls.OFF,
    "require": DatabaseTls.REQUIRE,
    "verify-ca": DatabaseTls.VERIFY,
    "verify-full": DatabaseTls.VERIFY,
}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """One database, however a person wrote its URL. `backend` is sqlite, postgresql or mysql."""

    backend: str
    asynchronous: URL
    synchronous: URL
    tls: DatabaseTls

    @property
    def is_local(self) -> bool:
        """Whether the database is on this machine, so that nothing crosses a network."""
        if self.backend == "sqlite":
            return True
        hosts = self.asynchronous.query.get("host", self.asynchronous.host)
        return all(map(is_local_host, hosts if isinstance(hosts, tuple) else (hosts,)))


def parse_database_url(text: str, *, setting: str, tls: DatabaseTls = DatabaseTls.OFF) -> DatabaseUrl:
    """Understand the forms people write: `postgres://`, `mysql+pymysql://`, with or without a driver.

    Raises:
        ConfigurationError: not a URL, an unsupported database, or SQLite in memory.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError(setting, "is not a database URL") from None
    name = url.get_backend_name()
    backend = _ALIASES.get(name, name)
    if backend not in _DRIVERS:
        raise ConfigurationError(setting, "must be a sqlite, postgresql or mysql URL")
    if backend == "sqlite" and (not url.database or url.database == ":memory:" or "mode" in url.query):
        raise ConfigurationError(setting, "must name a file; a database in memory cannot be shared by connections")
    sslmode = url.query.get("sslmode") or url.query.get("ssl")
    if sslmode is not None:
        if sslmode not in _TLS_OF_SSLMODE:
            raise ConfigurationError(setting, "has an unknown sslmode")
        tls = max(tls, _TLS_OF_SSLMODE[str(sslmode)], key=list(DatabaseTls).index)  # the stricter of the two
        url = url.difference_update_query(["sslmode", "ssl"])
    if backend == "mysql":
        url = url.update_query_dict({"charset": "utf8mb4"})
    asynchronous, synchronous = _DRIVERS[backend]
    return DatabaseUrl(
        backend=backend,
        asynchronous=url.set(drivername=asynchronous),
        synchronous=url.set(drivername=synchronous),
        tls=tls,
    )


def database_url(settings: Settings) -> DatabaseUrl:
    """The primary database: `DATABASE_URL`, else `POSTGRES_*`, else SQLite under the data directory."""
    if settings.database_url is not None:
        text = settings.database_url.get_secret_value()
    elif settings.postgres_server is not None:
        text = _postgres_url(settings, settings.postgres_server).render_as_string(hide_password=False)
    else:
        text = URL.create("sqlite", database=str(settings.data_dir / "merit.db")).render_as_string()
    return _checked(parse_database_url(text, setting="DATABASE_URL", tls=settings.db_tls), settings, "DATABASE_URL")


def _postgres_url(settings: Settings, server: str) -> URL:
    """The URL of `POSTGRES_*`; a server that begins with a slash is the folder of a socket, as libpq has it."""
    is_socket = server.startswith("/")
    return URL.create(
        "postgresql",
        username=settings.postgres_user,
        password=settings.postgres_password.get_secret_value() or None,
        host=None if is_socket else server,
        port=settings.postgres_port,
        database=settings.postgres_db,
        query={"host": server} if is_socket else {},
    )


def replica_url(settings: Settings) -> DatabaseUrl | None:
    """The read replica of `DATABASE_REPLICA_URL`, if there is one.

    Raises:
        ConfigurationError: not a usable URL, or not one of a server of the primary's kind.
    """
    if settings.database_replica_url is None:
        return None
    name = "DATABASE_REPLICA_URL"
    url = parse_database_url(settings.database_replica_url.get_secret_value(), setting=name, tls=settings.db_tls)
    if url.backend == "sqlite" or url.backend != database_url(settings).backend:
        raise ConfigurationError(name, "must be a database server of the same kind as DATABASE_URL")
    return _checked(url, settings, name)


def _checked(url: DatabaseUrl, settings: Settings, name: str) -> DatabaseUrl:
    if settings.is_production and not url.is_local and url.tls is DatabaseTls.OFF:
        raise ConfigurationError("DB_TLS", f"must be 'require' or 'verify' in production: {name} is on another host")
    return url


def tls_context(url: DatabaseUrl, settings: Settings) -> ssl.SSLContext | None:
    """The TLS client context for a database connection, or None where TLS is off."""
    if url.tls is DatabaseTls.OFF:
        return None
    context = ssl.create_default_context(cafile=str(settings.db_tls_ca_file) if settings.db_tls_ca_file else None)
    if url.tls is DatabaseTls.REQUIRE:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def sync_connect_args(url: DatabaseUrl, settings: Settings) -> dict[str, Any]:
    """Arguments for the synchronous driver that Alembic uses; they say the same as the asynchronous ones."""
    if url.backend == "postgresql":
        args: dict[str, Any] = {"connect_timeout": max(1, round(settings.db_connect_timeout))}
        if url.tls is not DatabaseTls.OFF:
            args["sslmode"] = "verify-full" if url.tls is DatabaseTls.VERIFY else "require"
        if settings.db_tls_ca_file:
            args["sslrootcert"] = str(settings.db_tls_ca_file)
        return args
    return mysql_login(url, settings) if url.backend == "mysql" else {"timeout": 30.0}


def mysql_login(url: DatabaseUrl, settings: Settings) -> dict[str, Any]:
    """What both MySQL drivers take for connecting. They would send a password in Latin-1, the server knows UTF-8."""
    args: dict[str, Any] = {"connect_timeout": max(1, round(settings.db_connect_timeout))}
    if url.asynchronous.password:
        args["password"] = url.asynchronous.password.encode()
    context = tls_context(url, settings)
    return args | ({"ssl": context} if context else {})
