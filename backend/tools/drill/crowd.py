"""Promise 10: many streams leave room: a hundred replies under way hold no connection that other requests wait for."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import httpx

from tools.drill.client import Client
from tools.drill.report import Result, at_least
from tools.drill.site import API, DrillError, Person, Site, new_person
from tools.provider import Provider
from tools.streams import listen

PROMISE = "10 streams leave room"
STREAMS = 100
POOL_SIZE = 5
P99_MS = 250.0
_WORDS = 150
_MODEL = f"test/crowd+words={_WORDS}+gap=0.15"
_TEXT = " ".join(f"word-{number}" for number in range(1, _WORDS + 1))
_START_APART_SECONDS = 0.1
_ASK_APART_SECONDS = 0.1
_LEAST_ASKS = 50
_PATIENCE_SECONDS = 60.0
OTHERS: Mapping[str, tuple[str, str, dict[str, str] | None]] = {
    "a profile": ("GET", "/users/me", None),
    "a list": ("GET", "/conversations?limit=20", None),
    "a search": ("GET", "/search?q=number", None),
    "a write": ("POST", "/conversations", {"default_model": "merit/echo"}),
}
"""What else is asked for while replies are under way."""


@dataclass
class Seen:
    """What was seen of one crowd: seconds between events, and how long each other request took.

    `under_way` counts the streams that have begun and are not over; `in_full` the asks answered while that was all.
    """

    gaps: list[float] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in OTHERS})
    failures: list[str] = field(default_factory=list)
    under_way: int = 0
    in_full: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OTHERS, 0))

    def p99_ms(self, name: str) -> float:
        """The 99th percentile of one kind."""
        times = sorted(self.times[name])
        return times[int(len(times) * 0.99)] * 1000 if times else float("inf")


async def _converse(client: httpx.AsyncClient) -> str:
    """A new conversation; its id.

    Raises:
        DrillError: the service refused it.
    """
    made = await client.post("/conversations", json={"default_model": _MODEL})
    if not made.is_success:
        raise DrillError(f"no conversation could be made: {made.text}")
    return str(made.json()["id"])


async def _stream(client: httpx.AsyncClient, conversation_id: str, number: int, seen: Seen) -> None:
    """Listen to one reply."""
    await asyncio.sleep(number * _START_APART_SECONDS)
    body = {"content": f"Number {number}", "stream": True}
    async with client.stream("POST", f"/conversations/{conversation_id}/messages", json=body) as answer:
        if not answer.is_success:
            seen.failures.append(f"stream {number} was refused: {(await answer.aread())[:200]!r}")
            return
        arrivals = [time.monotonic()]
        seen.under_way += 1
        async with asyncio.timeout(_PATIENCE_SECONDS):
            heard = await listen(answer, on_event=lambda: arrivals.append(time.monotonic()))
        seen.under_way -= 1
    seen.gaps += [after - before for before, after in pairwise(arrivals)]
    if heard.text != _TEXT:
        seen.failures.append(f"stream {number} was {heard.text[:60]!r}… {heard.names}")


async def _ask_on(name: str, person: Person, port: int, seen: Seen) -> None:
    """Ask for one thing again and again."""
    method, path, body = OTHERS[name]
    async with Client(port) as client:
        while True:
            began = time.monotonic()
            answer = await client.request(method, f"{API}{path}", token=person.access_token, json=body)
            seen.times[name].append(time.monotonic() - began)
            seen.in_full[name] += seen.under_way == STREAMS
            if not answer.is_success:
                seen.failures.append(f"{name} was answered {answer.status}")
            await asyncio.sleep(_ASK_APART_SECONDS)


async def drill(site: Site) -> Result:
    """Stream many replies over a pool of few connections, and ask for other things all the time."""
    seen = Seen()
    async with Provider() as provider:
        providers = [{"name": "test", "base_url": provider.url(), "max_concurrency": STREAMS}]
        settings = {
            "LLM_PROVIDERS": json.dumps(providers),
            "DB_POOL_SIZE": str(POOL_SIZE),
            "MAX_REPLIES_PER_OWNER": str(STREAMS),
        }
        async with site.running(**settings) as server:
            async with Client(server.port) as client:
                person = await new_person(client)
            headers = {"Authorization": f"Bearer {person.access_token}"}
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(
                base_url=f"{server.url}{API}", headers=headers, limits=limits, timeout=_PATIENCE_SECONDS
            ) as http:
                ids = [await _converse(http) for _ in range(STREAMS)]
                asking = [asyncio.create_task(_ask_on(name, person, server.port, seen)) for name in OTHERS]
                await asyncio.gather(*(_stream(http, id_, number, seen) for number, id_ in enumerate(ids)))
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)
    return _result(site, seen)


def _result(site: Site, seen: Seen) -> Result:
    times = {name: seen.p99_ms(name) for name in OTHERS}
    gaps = sorted(seen.gaps)
    late = gaps[int(len(gaps) * 0.99)] * 1000 if gaps else float("inf")
    listed = ", ".join(f"{name} {took:.0f}" for name, took in times.items())
    slow = [
        f"p99 of {name} was {took:.0f} ms, {P99_MS:.0f} are promised" for name, took in times.items() if took > P99_MS
    ]
    return Result(
        PROMISE,
        site.name,
        sum(len(found) for found in seen.times.values()),
        0,
        f"{STREAMS} streams, pool of {POOL_SIZE}: p99 of {listed}, between events {late:.0f} ms",
        violations=[*seen.failures, *slow],
        shortfalls=[
            line
            for name, count in seen.in_full.items()
            for line in at_least(_LEAST_ASKS, count, f"times {name} beside all streams")
        ],
    )
