"""Hashing does not hold up anyone else, measured from outside over real sockets."""

import asyncio
import statistics
import time
from collections.abc import Iterator

import pytest

from tests.e2e.server import LiveServer, serving
from tests.support import API, PASSWORD
from tools.databases import fresh_database
from tools.drill.client import Client

EMAIL = "ada@example.com"
LOGINS = 50
LEAST_SAMPLES = 20
MAX_SECONDS = 0.05


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with one thread for hashing, room for all the logins, and hashes that take a moment."""
    settings = {"HASH_WORKERS": "1", "HASH_QUEUE_SIZE": "60", "BCRYPT_ROUNDS": "9", "REQUEST_TIMEOUT_SECONDS": "30"}
    with (
        fresh_database(None) as url,
        serving(
            tmp_path_factory.mktemp("server"), DATABASE_URL=url, RATE_LIMITS="off", DRAIN_SECONDS="0", **settings
        ) as server,
    ):
        yield server


async def log_in(client: Client, path: str = "login") -> int:
    """The status of a login, or of the registration before it."""
    answer = await client.request("POST", f"{API}/auth/{path}", json={"email": EMAIL, "password": PASSWORD})
    client.close()
    return answer.status


async def health_while_hashing(port: int) -> tuple[list[float], float]:
    """How long each health request took while the logins waited for their hashes, and one login's share, in seconds."""
    crowd = [Client(port, timeout=30) for _ in range(LOGINS)]
    async with Client(port) as prober:
        for client in (prober, *crowd):  # every connection stands before the clock runs
            assert (await client.request("GET", "/health/live")).is_success
        started = time.perf_counter()
        logins = asyncio.gather(*(log_in(client) for client in crowd))
        await asyncio.sleep(0)  # all of them are sent
        seconds: list[float] = []
        while not logins.done():
            answer = await prober.request("GET", "/health/live")
            assert answer.is_success
            seconds.append(answer.seconds)
            await asyncio.sleep(0.005)
    assert await logins == [200] * LOGINS
    return seconds, (time.perf_counter() - started) / LOGINS


async def test_health_answers_quickly_while_fifty_logins_hash(server: LiveServer) -> None:
    """P12: nine of ten within 50 ms, and without waiting for a hash; a machine that stumbled is given one more try."""
    assert await log_in(Client(server.port), "register") == 201
    measured = []
    for _ in range(2):
        seconds, share = await health_while_hashing(server.port)
        assert len(seconds) >= LEAST_SAMPLES
        median, slow = statistics.median(seconds), statistics.quantiles(seconds, n=10)[8]
        if median <= slow < min(MAX_SECONDS, share / 2):
            return
        measured.append(f"median {median:.3f} s, 90th percentile {slow:.3f} s, one login {share:.3f} s")
    pytest.fail("; ".join(measured))
