"""The drills themselves: they must be able to fail, and to say that too little was done."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr

from app.core.settings import Settings
from app.main import create_app
from tools.drill import (
    backups,
    callers,
    crowd,
    deployment,
    disclosure,
    inputs,
    jobs,
    kills,
    outages,
    races,
    rotation,
    streams,
)
from tools.drill.__main__ import FULL, PARTS, Run, shares, unanswered
from tools.drill.client import Client, RefusedError, UnknownOutcomeError
from tools.drill.corpus import dump_json
from tools.drill.outages import RECOVERY_SECONDS, Event, judge
from tools.drill.proxy import Fault, proxied
from tools.drill.report import PAGE, Result, Verdict, at_least, table, write
from tools.drill.requests import nasty_attempts, random_attempt, read_operations
from tools.drill.site import Person
from tools.drill.statistics import kolmogorov_smirnov
from tools.server import free_port

SEVERAL: dict[Any, str] = {
    outages: outages.PROMISE,
    races: races.REGISTRATIONS,
    disclosure: disclosure.PROMISE,
}
"""The drills that have several results, with the promise of one."""
ONE: dict[Any, str] = {
    module: module.PROMISE for module in (backups, callers, crowd, deployment, inputs, jobs, kills, rotation, streams)
}
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
    page.write_text("before\n<!-- drill core: begin -->\nold\n<!-- drill core: end -->\nafter\n")
    write("core", "new", page)
    assert page.read_text() == "before\n<!-- drill core: begin -->\nnew\n<!-- drill core: end -->\nafter\n"
    with pytest.raises(ValueError, match="has no"):
        write("long", "new", page)


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
    operation, *_ = read_operations(DOCUMENT)
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


def test_every_route_gets_the_corpus() -> None:
    """Those that the document does not tell of too; the pages that show it and the health checks take nothing."""
    app = create_app(Settings(secret_key=SecretStr("an-arbitrary-key-of-more-than-32-bytes")))
    routes = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, APIRoute) and not str(route.path).startswith("/health/")
        for method in route.methods or ()
    }
    operations = read_operations(app.openapi())
    assert routes == {(operation.method, operation.path) for operation in operations}
    forms = {each.path: {item.name for item in each.fields} for each in operations if each.name == f"POST {each.path}"}
    assert forms["/account/password/reset"] == {"token", "new_password"}
    assert forms["/account/invitation"] == {"token", "password", "full_name", "username"}


async def test_an_answer_to_head_has_no_body() -> None:
    """RFC 9110 section 9.3.2: whatever length it tells of, nothing comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, Client(server.sockets[0].getsockname()[1]) as client:
        assert [(await client.request("HEAD", "/")).body for _ in range(2)] == [b"", b""]


async def test_every_promise_of_the_page_has_a_row_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A promise without a drill, or a drill without a row, fails this test; so does a part without its marks."""
    page = PAGE.read_text(encoding="utf-8")
    promised = {int(number) for number in re.findall(r"^\| (\d+) \| ", page, re.MULTILINE)}
    assert promised == {number for numbers in PARTS.values() for number in numbers}
    assert all(f"<!-- drill {part}: {edge} -->" in page for part in PARTS for edge in ("begin", "end"))
    for module, promise in (SEVERAL | ONE).items():
        result = Result(promise, "SQLite", 1, 1, "figure")

        async def drilled(*_: object, found: Any = [result] if module in SEVERAL else result, **__: object) -> Any:
            return found

        monkeypatch.setattr(module, "drill", drilled)
    sites: Any = [SimpleNamespace(backend=backend) for backend in ("sqlite", "postgresql")]
    run = Run(sites, FULL, seed=1)
    await run.carry_out(promised)
    rows = re.findall(r"^\| (\d+) ", table(run.results), re.MULTILINE)
    assert {int(number) for number in rows} == promised
    assert unanswered(run.results, promised) == []
    assert unanswered(run.results[1:], [99]) == ["VOID: promise 99 has no row"]
    assert {result.promise for result in run.results} == {*SEVERAL.values(), *ONE.values()}


def test_the_operations_are_counted_in_the_document() -> None:
    document = create_app(Settings(secret_key=SecretStr("an-arbitrary-key-of-more-than-32-bytes"))).openapi()
    told = sum(
        method in {"get", "put", "post", "delete", "patch"}
        for path, item in document["paths"].items()
        if not path.startswith("/health/")
        for method in item
    )
    operations = read_operations(document)
    assert f" {told} operations and {len(operations) - told} beside them" in inputs.figure(inputs.Tally(), operations)


def test_a_failed_cell_of_the_callers_table_is_a_violation(tmp_path: Path) -> None:
    report = tmp_path / "callers.xml"

    def judged(operations: int, beside: str = "") -> Result:
        told = f'<properties><property name="{callers.OPERATIONS}" value="{operations}"/></properties>'
        report.write_text(f'<testsuite><testcase name="table">{told}</testcase>{beside}</testsuite>')
        return callers.judge("SQLite", report)

    assert judged(120).verdict is Verdict.PASS
    assert judged(3).verdict is Verdict.VOID
    assert judged(120, '<testcase name="other"><failure/></testcase>').violations == ["other"]
