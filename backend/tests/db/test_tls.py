"""TLS to the database: a real server, and two drivers that must not differ in whom they trust."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from app.core.settings import Settings
from app.db.engine import Database, asyncpg_connect
from app.db.failpoints import Failpoints
from app.db.url import database_url, sync_connect_args
from tests.certificates import make_certificate
from tests.support import SECRET_KEY, skip_or_fail
from tools.databases import find_postgres_programs

_IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
_REFUSED = "refused"


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server that offers TLS; `other` is a certificate that it does not have."""

    port: int
    certificate: Path
    other: Path

    def settings(self, query: str = "", *, host: str = "localhost", **values: Any) -> Settings:
        """Settings that lead to it."""
        url = f"postgresql://postgres@{host}:{self.port}/postgres{query.format(certificate=self.certificate)}"
        return Settings(_env_file=None, secret_key=SecretStr(SECRET_KEY), database_url=SecretStr(url), **values)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A cluster that lives as long as these tests."""
    programs = find_postgres_programs()
    if programs is None:
        skip_or_fail("PostgreSQL's server programs are not installed", "REQUIRE_POSTGRES_PROGRAMS")
    as_user: list[str] = []
    if os.geteuid() == 0:  # as whom PostgreSQL refuses to run
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            skip_or_fail("setpriv is needed to run as another user", "REQUIRE_SETPRIV")
        as_user = [setpriv, "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificate, other = (make_certificate(folder / file) for file in ("server.pem", "other.pem"))
        (folder / "server.pem").chmod(0o600)
        if as_user:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "nobody", "nogroup")
        yield from _cluster(programs, as_user, folder, Server(_free_port(), certificate, other))


def _cluster(programs: Path, as_user: list[str], folder: Path, server: Server) -> Iterator[Server]:
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, f"{programs}/{program}", f"--pgdata={data}", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

    run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--locale=C.UTF-8")
    options = {
        "port": server.port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": server.certificate,
        "ssl_key_file": folder / "server.pem",
    }
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in options.items())
    run("pg_ctl", "start", "--wait", "--silent", f"--log={folder / 'log'}")
    try:
        yield server
    finally:
        run("pg_ctl", "stop", "--mode=immediate", "--silent")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def _asynchronous(settings: Settings) -> object:
    database = Database(settings, Failpoints())
    try:
        async with database.reader.connect() as connection:
            return await connection.scalar(text(_IS_ENCRYPTED))
    except OSError:
        return _REFUSED
    finally:
        await database.close()


async def _listener(settings: Settings) -> object:
    try:
        connection = await asyncpg_connect(database_url(settings), settings)
    except OSError:
        return _REFUSED
    is_encrypted = await connection.fetchval(_IS_ENCRYPTED)
    await connection.close()
    return is_encrypted


def _synchronous(settings: Settings) -> object:
    url = database_url(settings)
    engine = create_engine(url.synchronous, connect_args=sync_connect_args(url, settings), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return connection.scalar(text(_IS_ENCRYPTED))
    except OperationalError as error:
        return _REFUSED if "certificate" in str(error) else error


@pytest.mark.parametrize(
    ("tls", "trusts", "expected"),
    [
        ("off", None, False),
        ("require", None, True),
        ("require", "other", True),
        ("verify", "certificate", True),
        ("verify", "other", _REFUSED),
        ("verify", None, _REFUSED),
    ],
)
async def test_every_connection_trusts_the_same(server: Server, tls: str, trusts: str | None, expected: object) -> None:
    """`off` never encrypts by itself, `require` looks at no certificate, `verify` at the one that is named."""
    settings = server.settings(db_tls=tls, db_tls_ca_file=trusts and getattr(server, trusts))
    found = (await _asynchronous(settings), await _listener(settings), _synchronous(settings))
    assert found == (expected, expected, expected)


async def test_the_name_of_the_server_is_checked(server: Server) -> None:
    settings = server.settings(host="127.0.0.1", db_tls="verify", db_tls_ca_file=server.certificate)
    assert (await _asynchronous(settings), _synchronous(settings)) == (_REFUSED, _REFUSED)


async def test_the_certificates_of_the_system_are_the_same_for_both(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    settings = server.settings(db_tls="verify")
    assert (await _asynchronous(settings), _synchronous(settings)) == (True, True)


@pytest.mark.parametrize("query", ["?sslmode=require&channel_binding=require", "?sslrootcert={certificate}"])
async def test_what_the_url_says_counts(server: Server, query: str) -> None:
    settings = server.settings(query)
    assert (await _asynchronous(settings), _synchronous(settings)) == (True, True)
