"""Many callers at once on a real server: one account, one successor, and nobody is told of a fault of ours."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.e2e.server import LiveServer, serving
from tests.support import API, PASSWORD, register
from tools.databases import fresh_database


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of two workers whose queue for hashing is longer than the crowd."""
    settings = {"WORKERS": "2", "HASH_QUEUE_SIZE": "200", "DRAIN_SECONDS": "0"}
    with (
        fresh_database(os.environ.get("TEST_DATABASE_URL") or None) as url,
        serving(tmp_path_factory.mktemp("server"), DATABASE_URL=url, **settings) as server,
    ):
        yield server


@pytest.fixture
async def crowd(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a connection for each of its requests."""
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=server.url, timeout=20, limits=limits) as client:
        yield client


async def test_a_hundred_parallel_registrations_make_one_account(crowd: httpx.AsyncClient) -> None:
    """Promise 5, R2: one 201, ninety-nine 409 that name the reason, no 5xx; the account works."""
    bodies = [
        {"email": email, "password": PASSWORD}
        for email in ("Grace@example.com", "grace@EXAMPLE.com")
        for _ in range(50)
    ]
    answers = await asyncio.gather(*(crowd.post(f"{API}/auth/register", json=body) for body in bodies))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 99}
    assert {answer.json().get("code") for answer in answers} == {None, "email_taken"}
    login = await crowd.post(f"{API}/auth/login", json={"email": "grace@example.com", "password": PASSWORD})
    assert login.status_code == 200


async def test_fifty_parallel_refreshes_of_one_token_make_one_successor(crowd: httpx.AsyncClient) -> None:
    """Promise 5, F1: all are answered 200 with the same successor, which works; the session has gone one step."""
    account = await register(crowd)
    body = {"refresh_token": account.refresh_token}
    answers = await asyncio.gather(*(crowd.post(f"{API}/auth/refresh", json=body) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {200: 50}
    (successor,) = {answer.json()["refresh_token"] for answer in answers}
    assert successor.split(".")[2] == "2"
    renewed = await crowd.post(f"{API}/auth/refresh", json={"refresh_token": successor})
    assert renewed.status_code == 200
    account.access_token = answers[-1].json()["access_token"]
    assert (await account.get("/users/me")).status_code == 200
