"""Small versions of the drills of replies: a server is killed in the midst of streams, and many streams leave room."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from tools.drill import crowd, streams
from tools.drill.client import Client
from tools.drill.report import Verdict
from tools.drill.site import new_person, site
from tools.drill.streams import client_of
from tools.provider import Outcome, Provider
from tools.streams import listen


@pytest.mark.timeout(180)  # two servers are started, and a lease must run out
async def test_replies_survive_kill_9(server_url: str | None, tmp_path: Path) -> None:
    """Promise 9, with short leases: the question is there, the text is resumed to the byte, and it has an end."""
    with site(server_url, tmp_path) as place:
        result = await streams.drill(place, 1, 7, REPLY_LEASE_SECONDS="1", REPLY_SWEEP_SECONDS="0.3")
    assert result.verdict is Verdict.PASS, (result, result.violations + result.shortfalls)


async def begin_stream(http: httpx.AsyncClient) -> httpx.Response:
    """A reply that goes on for minutes, of which the first words have come."""
    made = (await http.post("/conversations", json={"default_model": "test/long+words=1000+gap=0.5"})).json()
    request = http.build_request(
        "POST", f"/conversations/{made['id']}/messages", json={"content": "go", "stream": True}
    )
    answer = await http.send(request, stream=True)
    await listen(answer, until_length=1)
    return answer


@pytest.mark.timeout(120)  # a server is started
async def test_streams_hold_no_connection(server_url: str | None, tmp_path: Path) -> None:
    """Promise 10, in small: ten times as many replies as connections are under way, and everything else is served.

    If each held one, the third would never begin.
    """
    streams, pool = 20, 2
    async with Provider() as provider:
        settings = {
            "LLM_PROVIDERS": json.dumps([{"name": "test", "base_url": provider.url(), "max_concurrency": streams}]),
            "DB_POOL_SIZE": str(pool),
            "MAX_REPLIES_PER_OWNER": str(streams),
            "REQUEST_TIMEOUT_SECONDS": "30",  # a busy machine is no fault
        }
        with site(server_url, tmp_path) as place:
            server = place.start(**settings)
            try:
                await asyncio.to_thread(server.wait_until_ready)
                async with Client(server.port) as client:
                    person = await new_person(client)
                async with client_of(server, person) as http:
                    answers = [await begin_stream(http) for _ in range(streams)]
                    for method, path, body in crowd.OTHERS.values():
                        assert (await http.request(method, path, json=body)).is_success, path
                    assert provider.outcomes == [Outcome.RUNNING] * streams
                    for answer in answers:
                        await answer.aclose()
            finally:
                server.kill()
