"""The URLs of one database: asynchronous for the service, synchronous for Alembic."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.addresses import is_local_host
from app.core.errors import ConfigurationError
from app.core.settings import DatabasePooler, DatabaseTls, Settings
from app.core.text import clean_header

_DRIVERS = {
    "sqlite": ("sqlite+aiosqlite", "sqlite"),
    "postgresql": ("postgresql+asyncpg", "postgresql+psycopg"),
    "mysql": ("mysql+asyncmy", "mysql+pymysql"),
}
_ALIASES = {"postgres": "postgresql", "mariadb": "mysql"}
_TLS_OF_MODE = {
    # libpq's sslmode, which PostgreSQL's and many other drivers share
    "disable": DatabaseTls.OFF,
    "allow": DatabaseTls.OFF,
    "prefer": DatabaseTls.OFF,
    "require": DatabaseTls.REQUIRE,
    "verify-ca": DatabaseTls.VERIFY,
    "verify-full": DatabaseTls.VERIFY,
    # MySQL's ssl-mode, in lower case
    "disabled": DatabaseTls.OFF,
    "preferred": DatabaseTls.OFF,
    "required": DatabaseTls.REQUIRE,
    "verify_ca": DatabaseTls.VERIFY,
    "verify_identity": DatabaseTls.VERIFY,
    # what other drivers call `ssl`
    "false": DatabaseTls.OFF,
    "true": DatabaseTls.REQUIRE,
}
_SSLMODE_OF_TLS = {
    DatabaseTls.OFF: "disable",
    DatabaseTls.REQUIRE: "require",
    DatabaseTls.VERIFY: "verify-full",
}
_SYSTEM = "system"
"""What libpq calls the certificates that the system trusts."""
_LONGEST_SHOWN_NAME = 40


class _Use(Enum):
    """What becomes of an option that people write behind the `?` of a URL."""

    DRIVERS = auto()  # both drivers know it by this name
    SESSION = auto()  # the server's business: psycopg takes it as it is, asyncpg among the settings of the session
    TLS = auto()
    CA_FILE = auto()
    OURS = auto()  # left out: the service decides it, or asyncpg cannot do it


_OPTIONS = {
    "sqlite": {"check_same_thread": _Use.OURS, "timeout": _Use.OURS},
    "postgresql": {
        "host": _Use.DRIVERS,
        "port": _Use.DRIVERS,
        "target_session_attrs": _Use.DRIVERS,
        "application_name": _Use.SESSION,
        "options": _Use.SESSION,
        "ssl": _Use.TLS,
        "sslmode": _Use.TLS,
        "sslrootcert": _Use.CA_FILE,
        "channel_binding": _Use.OURS,  # asyncpg has none; DB_TLS=verify keeps strangers out as well
        "connect_timeout": _Use.OURS,  # DB_CONNECT_TIMEOUT
    },
    "mysql": {
        "unix_socket": _Use.DRIVERS,
        "ssl": _Use.TLS,
        "sslmode": _Use.TLS,
        "ssl-mode": _Use.TLS,
        "ssl_mode": _Use.TLS,
        "ssl-ca": _Use.CA_FILE,
        "ssl_ca": _Use.CA_FILE,
        "charset": _Use.OURS,  # always utf8mb4
        "connect_timeout": _Use.OURS,  # DB_CONNECT_TIMEOUT
    },
}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """One database, however a person wrote its URL. `backend` is sqlite, postgresql or mysql.

    `ca_file` is what certificates are checked against, the system's where it is None; `session` are options of the
    server for each session, which the synchronous URL holds too.
    """

    backend: str
    asynchronous: URL
    synchronous: URL
    tls: DatabaseTls
    ca_file: Path | None = None
    session: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Whether the database is on this machine, so that nothing crosses a network."""
        if self.backend == "sqlite":
            return True
        hosts = self.asynchronous.query.get("host", self.asynchronous.host)
        return all(map(is_local_host, hosts if isinstance(hosts, tuple) else (hosts,)))


def parse_database_url(
    text: str, *, setting: str, tls: DatabaseTls = DatabaseTls.OFF, ca_file: Path | None = None
) -> DatabaseUrl:
    """Understand the forms people write: `postgres://`, `mysql+pymysql://`, with or without a driver, with options.

    Of `tls` and what the URL says, the stricter holds. A URL that names certificates means them to be looked at.

    Raises:
        ConfigurationError: not a URL, an unsupported database, SQLite in memory, or an option that is not known.
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
    options = _options_by_use(url, backend, setting)
    for mode in options[_Use.TLS].values():
        if mode.lower() not in _TLS_OF_MODE:
            raise ConfigurationError(setting, "has an unknown sslmode")
        tls = _stricter(tls, _TLS_OF_MODE[mode.lower()])
    for name in options[_Use.CA_FILE].values():
        tls, ca_file = DatabaseTls.VERIFY, None if name == _SYSTEM else Path(name)
    kept = {key: url.query[key] for key in options[_Use.DRIVERS]}
    if backend == "mysql":
        kept["charset"] = "utf8mb4"
    session = options[_Use.SESSION]
    asynchronous, synchronous = _DRIVERS[backend]
    url = url.set(query=kept)
    return DatabaseUrl(
        backend=backend,
        asynchronous=url.set(drivername=asynchronous),
        synchronous=url.set(drivername=synchronous).update_query_dict(session),
        tls=tls,
        ca_file=ca_file,
        session=session,
    )


def _options_by_use(url: URL, backend: str, setting: str) -> dict[_Use, dict[str, str]]:
    options: dict[_Use, dict[str, str]] = {use: {} for use in _Use}
    for name, value in url.query.items():
        use = _OPTIONS[backend].get(name)
        if use is None:
            shown = clean_header(name, _LONGEST_SHOWN_NAME)
            raise ConfigurationError(setting, f"has the option '{shown}', which the service does not know")
        if not isinstance(value, str) and use is not _Use.DRIVERS:
            raise ConfigurationError(setting, f"has the option '{name}' twice")
        options[use][name] = str(value)
    return options


def _stricter(one: DatabaseTls, other: DatabaseTls) -> DatabaseTls:
    return max(one, other, key=list(DatabaseTls).index)


def database_url(settings: Settings) -> DatabaseUrl:
    """The primary database: `DATABASE_URL`, else `POSTGRES_*`, else SQLite under the data directory."""
    if settings.database_url is not None:
        text = settings.database_url.get_secret_value()
    elif settings.postgres_server is not None:
        text = _postgres_url(settings, settings.postgres_server).render_as_string(hide_password=False)
    else:
        text = URL.create("sqlite", database=str(settings.data_dir / "merit.db")).render_as_string()
    return _parse_setting(text, settings, "DATABASE_URL")


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
    url = _parse_setting(settings.database_replica_url.get_secret_value(), settings, name)
    if url.backend == "sqlite" or url.backend != database_url(settings).backend:
        raise ConfigurationError(name, "must be a database server of the same kind as DATABASE_URL")
    return url


def listen_url(settings: Settings) -> DatabaseUrl | None:
    """Where this process can wait for notices: `DATABASE_LISTEN_URL`, which goes past a pooler, else the primary.

    None where nobody can: on other databases than PostgreSQL, and behind a pooler without that setting.

    Raises:
        ConfigurationError: not a usable URL, or not one of PostgreSQL.
    """
    primary = database_url(settings)
    if settings.database_listen_url is None:
        can_listen = primary.backend == "postgresql" and settings.db_pooler is not DatabasePooler.PGBOUNCER
        return primary if can_listen else None
    name = "DATABASE_LISTEN_URL"
    url = _parse_setting(settings.database_listen_url.get_secret_value(), settings, name)
    if {url.backend, primary.backend} != {"postgresql"}:
        raise ConfigurationError(name, "must be the PostgreSQL database of DATABASE_URL")
    return url


def _parse_setting(text: str, settings: Settings, name: str) -> DatabaseUrl:
    url = parse_database_url(text, setting=name, tls=settings.db_tls, ca_file=settings.db_tls_ca_file)
    if settings.is_production and not url.is_local and url.tls is DatabaseTls.OFF:
        raise ConfigurationError("DB_TLS", f"must be 'require' or 'verify' in production: {name} is on another host")
    return url


def tls_context(url: DatabaseUrl) -> ssl.SSLContext | None:
    """The TLS client context for a database connection, or None where TLS is off.

    Raises:
        ConfigurationError: the certificates to check against cannot be read.
    """
    if url.tls is DatabaseTls.OFF:
        return None
    if url.tls is DatabaseTls.REQUIRE:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=url.ca_file)
    except OSError:
        raise ConfigurationError(
            "DB_TLS_CA_FILE", "(or the URL's own) holds no certificates that can be read"
        ) from None


def sync_connect_args(url: DatabaseUrl, settings: Settings) -> dict[str, Any]:
    """Arguments for the synchronous driver that Alembic uses; they say the same as the asynchronous ones.

    Raises:
        ConfigurationError: the certificates to check against cannot be read.
    """
    if url.backend == "sqlite":
        return {"timeout": 30.0}
    if url.backend == "mysql":
        # Left to itself, pymysql encrypts where it can, and so reaches what asyncmy does not.
        return mysql_login(url, settings) | ({"ssl_disabled": True} if url.tls is DatabaseTls.OFF else {})
    args: dict[str, Any] = {
        "connect_timeout": max(1, round(settings.db_connect_timeout)),
        "sslmode": _SSLMODE_OF_TLS[url.tls],
    }
    if url.tls is DatabaseTls.VERIFY:
        args["sslrootcert"] = str(url.ca_file or _system_certificates())
    return args


def _system_certificates() -> str:
    """The certificates that Python trusts, for libpq, whose own idea of where they are is that of its build."""
    paths = ssl.get_default_verify_paths()
    candidates = (paths.cafile or "", f"{paths.capath}/ca-certificates.crt")
    return next((path for path in candidates if Path(path).is_file()), _SYSTEM)


def mysql_login(url: DatabaseUrl, settings: Settings) -> dict[str, Any]:
    """What both MySQL drivers take for connecting. They would send a password in Latin-1, the server knows UTF-8.

    Raises:
        ConfigurationError: the certificates to check against cannot be read.
    """
    args: dict[str, Any] = {"connect_timeout": max(1, round(settings.db_connect_timeout))}
    if url.asynchronous.password:
        args["password"] = url.asynchronous.password.encode()
    context = tls_context(url)
    return args | ({"ssl": context} if context else {})
