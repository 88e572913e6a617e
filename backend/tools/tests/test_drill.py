"""The drills themselves: they must be able to fail, and to say that too little was done."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from tools.drill.__main__ import shares
from tools.drill.client import Client, RefusedError, UnknownOutcomeError
from tools.drill.corpus import dump_json
from tools.drill.outages import RECOVERY_SECONDS, Event, judge
from tools.drill.proxy import Fault, proxied
from tools.drill.report import Result, Verdict, at_least, table, write
from tools.drill.requests import nasty_attempts, random_attempt, read_operations
from tools.drill.site import Person
from tools.drill.statistics import kolmogorov_smirnov
from tools.server import free_port

PERSON = Person(UUID(int=1), "ada@example.com", refresh_token="rt1.x")
DOCUMENT = {
    "paths": {
        "/health/live": {"get": {"operationId": "live"}},
        "/things/{thing_id}": {
            "patch": {
                "operationId": "change_thing",
                "security": [{"Bearer": []}],
                "parameters": [
                    {
                        "name": "thing_id",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "format": "uuid"},
                    },
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 3}},
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
            }
        },
    },
    "components": {
        "schemas": {
            "Thing": {
                "required": ["kind"],
                "properties": {
                    "kind": {"$ref": "#/components/schemas/Kind"},
                    "name": {"anyOf": [{"type": "null"}, {"type": "string", "examples": ["spoon"]}]},
                },
            },
            "Kind": {"enum": ["fork", "knife"]},
        }
    },
}


@pytest.mark.parametrize(
    ("violations", "shortfalls", "verdict"),
    [
        ([], [], Verdict.PASS),
        ([], at_least(10, 9, "kills"), Verdict.VOID),
        (["lost"], [], Verdict.FAIL),
        (["lost"], at_least(10, 9, "kills"), Verdict.FAIL),
    ],
)
def test_a_drill_that_did_too_little_is_void(violations: list[str], shortfalls: list[str], verdict: Verdict) -> None:
    result = Result("1", "SQLite", 9, 1, "figure", violations, shortfalls)
    assert result.verdict is verdict
    assert f"| {verdict}" in table([result])


def test_the_table_is_written_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- drill: begin -->\nold\n<!-- drill: end -->\nafter\n")
    write("new", page)
    assert page.read_text() == "before\n<!-- drill: begin -->\nnew\n<!-- drill: end -->\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no"):
        write("new", page)


def test_samples_of_one_source_are_told_from_samples_of_two() -> None:
    chance = random.Random(2)  # noqa: S311 - to be repeatable
    first, second = ([chance.gauss(10, 1) for _ in range(300)] for _ in range(2))
    assert kolmogorov_smirnov(first, second)[1] > 0.05
    assert kolmogorov_smirnov(first, [value + 0.5 for value in second])[1] < 0.001
    assert kolmogorov_smirnov(first, first) == (0.0, 1.0)


def outage(**status_of: int) -> list[Event]:
    """An outage from second 10 to 12 in which everything was right, but for the statuses given."""
    statuses = {"before": 200, "during": 503, "after": 200, "live": 200} | status_of
    events = [Event("live", second, second + 0.01, statuses["live"]) for second in (9.0, 11.0, 13.0)]
    for kind in ("read", "write", "login"):
        events.append(Event(kind, 9.0, 9.1, statuses["before"]))
        events += [Event(kind, 10.2 + step, 10.3 + step, statuses["during"], True) for step in (0, 0.5, 1)]
        events.append(Event(kind, 12.1, 12.2, statuses["after"], True))
    return events


def test_an_outage_is_judged() -> None:
    assert judge(outage(), 10.0, 12.0, RECOVERY_SECONDS).violations == []
    late = [*outage(), Event("read", 10.5, 15.6, 503, has_retry_after=True)]
    mute = [*outage(), Event("read", 10.5, 10.6, 503)]
    for events in (outage(before=500), outage(during=200), outage(after=503), outage(live=503), late, mute):
        assert judge(events, 10.0, 12.0, RECOVERY_SECONDS).violations, events
    assert judge(outage(), 10.0, 11.5, RECOVERY_SECONDS).violations


def test_requests_are_made_from_the_document() -> None:
    [operation] = read_operations(DOCUMENT)
    assert (operation.name, operation.method, operation.needs_token) == ("change_thing", "PATCH", True)
    plain, *nasty = nasty_attempts(operation, PERSON, PERSON)
    assert plain.path() == f"/things/{PERSON.id}"
    assert plain.content() == b'{"kind": "fork"}'
    assert {"/things/%00", f"/things/{PERSON.id}?limit=-1"} <= {attempt.path() for attempt in nasty}
    assert b'{"kind": NaN}' in {attempt.content() for attempt in nasty}
    assert any(len(attempt.content() or b"") == 10_000_000 for attempt in nasty)
    chance = random.Random(1)  # noqa: S311 - to be repeatable
    drawn = {random_attempt(operation, PERSON, PERSON, chance).content() for _ in range(20)}
    assert len(drawn) > 5


def test_what_json_forbids_can_be_sent() -> None:
    assert dump_json({"a": float("nan"), "b": "\ud800"}) == b'{"a": NaN, "b": "\\ud800"}'


@pytest.mark.parametrize(("total", "parts"), [(25, [9, 8, 8]), (2, [1, 1, 0])])
def test_work_is_shared_evenly(total: int, parts: list[int]) -> None:
    assert shares(total, 3) == parts


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[int]:
    """A server that gives every request this answer, and then hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1]


async def test_three_outcomes_are_told_apart() -> None:
    async with server(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}") as port, Client(port) as client:
        answer = await client.request("POST", "/", json={})
        assert (answer.status, answer.is_success, answer.json()) == (201, True, {})
    async with server(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{") as port, Client(port) as client:
        with pytest.raises(UnknownOutcomeError):
            await client.request("POST", "/", json={})
    async with Client(free_port()) as client:
        with pytest.raises(RefusedError):
            await client.request("POST", "/", json={})


@pytest.mark.parametrize("fault", list(Fault))
async def test_the_proxy_breaks_and_heals(fault: Fault) -> None:
    async with (
        server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port,
        proxied(port) as proxy,
        Client(proxy.port, timeout=0.2) as client,
    ):
        assert (await client.request("GET", "/")).status == 200
        await proxy.fail(fault)
        with pytest.raises((RefusedError, UnknownOutcomeError)):
            await client.request("GET", "/")
        await proxy.heal()
        assert (await client.request("GET", "/")).status == 200
