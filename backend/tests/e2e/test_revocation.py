"""Instant revocation between the worker processes of one host, over real sockets."""

import base64
import itertools
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import LiveServer, serving
from tests.support import API, PASSWORD
from tools.databases import fresh_database

WORKERS = 4
REPETITIONS = 200
MAX_CONNECTIONS = 400


@pytest.fixture(scope="module")
def workers(server_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[HTTPConnection]]:
    """One connection to each of four workers of one host."""
    with (
        fresh_database(server_url) as url,
        serving(tmp_path_factory.mktemp("server"), DATABASE_URL=url, WORKERS=str(WORKERS), DRAIN_SECONDS="0") as server,
    ):
        connections = connect_to_each_worker(server)
        yield connections
        for connection in connections:
            connection.close()


def connect_to_each_worker(server: LiveServer) -> list[HTTPConnection]:
    """Open connections until every worker has accepted one; the kernel decides who does."""
    port = int(server.url.rpartition(":")[2])
    found: dict[int, HTTPConnection] = {}
    for _ in range(MAX_CONNECTIONS):
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        call(connection, "GET", "/health/live")
        if found.setdefault(owner_of(connection, server.process.pid), connection) is not connection:
            connection.close()
        if len(found) == WORKERS:
            return list(found.values())
    raise AssertionError(f"only {len(found)} of {WORKERS} workers accept connections")


def owner_of(connection: HTTPConnection, supervisor: int) -> int:
    """The worker process that holds the other end of a connection, as /proc tells."""
    here, there = connection.sock.getsockname()[1], connection.sock.getpeername()[1]
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (inode,) = [row[9] for row in rows if row[1].endswith(f":{there:04X}") and row[2].endswith(f":{here:04X}")]
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for child in children:
        for descriptor in Path(f"/proc/{child}/fd").iterdir():
            if descriptor.is_symlink() and str(descriptor.readlink()) == f"socket:[{inode}]":
                return int(child)
    raise AssertionError("no worker holds the connection")


def call(
    connection: HTTPConnection, method: str, path: str, *, token: str | None = None, body: Any = None
) -> tuple[int, Any]:
    """Status and document of one request."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text else None


def session_of(token: str) -> str:
    """The session that an access token belongs to."""
    payload = token.split(".")[1]
    sid: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sid"]
    return sid


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells which worker has a connection")
def test_the_other_workers_refuse_the_very_next_request(workers: list[HTTPConnection]) -> None:
    """S2: four workers, 200 sessions ended at each of them in turn, 0 misses at each other one."""
    credentials = {"email": "ada@example.com", "password": PASSWORD}
    assert call(workers[0], "POST", f"{API}/auth/register", body=credentials)[0] == 201
    misses = 0
    pairs = itertools.cycle(itertools.permutations(workers, 2))
    for number, (here, there) in zip(range(REPETITIONS), pairs, strict=False):
        token = call(here, "POST", f"{API}/auth/login", body=credentials)[1]["access_token"]
        assert call(there, "GET", f"{API}/users/me", token=token)[0] == 200
        if number % 2:
            ended, _ = call(here, "POST", f"{API}/auth/logout", token=token)
        else:
            ended, _ = call(here, "DELETE", f"{API}/users/me/sessions/{session_of(token)}", token=token)
        assert ended == 204
        misses += call(there, "GET", f"{API}/users/me", token=token)[0] != 401
    assert misses == 0
