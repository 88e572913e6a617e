"""Behind a real pgbouncer in transaction mode, where each transaction may meet another server connection."""

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url, text

from app.auth.models import User
from app.auth.repository import UserRepository
from app.core.settings import DatabasePooler
from app.main import Services, create_app
from tests.conftest import client_of, started
from tests.support import API, make_settings, register, skip_or_fail
from tools.databases import find_pgbouncer

CONFIGURATION = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
server_reset_query =
"""


@pytest.fixture
def pooled_url(services: Services, unused_tcp_port: int) -> Iterator[str]:
    """The URL of the test database through a pooler with fewer connections than clients."""
    url = make_url(services.settings.database_url.get_secret_value() if services.settings.database_url else "")
    if url.get_backend_name() != "postgresql":
        pytest.skip("only PostgreSQL has a pooler")
    program = find_pgbouncer()
    if program is None:
        skip_or_fail("pgbouncer is not installed", "REQUIRE_PGBOUNCER")
    with tempfile.TemporaryDirectory() as folder:
        yield from _pooler(url, program, Path(folder), unused_tcp_port)


def _pooler(url: URL, program: str, folder: Path, port: int) -> Iterator[str]:
    file = folder / "pgbouncer.ini"
    folder.chmod(0o755)  # pgbouncer refuses to run as root, and another user must be able to read this
    (folder / "users.txt").write_text(f'"{url.username}" "{url.password or ""}"\n')
    values = {"host": url.host, "port": url.port or 5432, "listen_port": port, "folder": folder}
    user = f" user={url.username}" + (f" password={url.password}" if url.password else "")
    file.write_text(CONFIGURATION.format(**values).replace("\n\n[pgb", f"{user} dbname={url.database}\n\n[pgb"))
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([program, *as_user, str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (process.stdout.read() if process.stdout else b"").decode()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.communicate(timeout=5)


async def test_everything_works_through_a_pooler(services: Services, pooled_url: str, tmp_path: Path) -> None:
    """`DB_POOLER=pgbouncer`: no statement is remembered on a connection that the next transaction will not have."""
    settings = make_settings(pooled_url, tmp_path / "data", db_pooler=DatabasePooler.PGBOUNCER)
    async with started(create_app(settings)) as app, client_of(app) as client:
        account = await register(client)
        database = app.state.merit.database

        async def use() -> None:
            assert (await account.get("/users/me")).status_code == 200
            async with database.session() as session:
                users = UserRepository(session, services.clock)
                assert await users.update_where(values={User.auth_version: User.auth_version})
                await session.commit()

        await asyncio.gather(*(use() for _ in range(60)))
        async with database.reader.connect() as connection:
            await connection.execute(text("SELECT 1"))
        me = (await account.get("/users/me")).json()
        assert me["email"] == account.email


async def test_hosts_behind_a_pooler_hear_of_each_other(services: Services, pooled_url: str, tmp_path: Path) -> None:
    """`DATABASE_LISTEN_URL` goes past it: a logout at one host is refused by the next request at the other."""
    direct = services.settings.database_url
    pooled = {"db_pooler": DatabasePooler.PGBOUNCER, "database_listen_url": direct}
    one, two = (create_app(make_settings(pooled_url, tmp_path / name, **pooled)) for name in ("one", "two"))
    async with started(one), started(two), client_of(one) as here, client_of(two) as there:
        account = await register(here)
        for _ in range(20):
            assert (await there.get(f"{API}/users/me", headers=account.headers)).status_code == 200
            assert (await account.request("POST", "/auth/logout")).status_code == 204
            assert (await there.get(f"{API}/users/me", headers=account.headers)).status_code == 401
            await account.login()
