"""Liveness never asks the database; readiness names what is missing."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api import health
from app.api.drain import Drain
from app.main import Services
from app.routing import serve
from tests.statements import recorded_sql


class Database:
    """Healthy, until a test says otherwise."""

    fault: Exception | None = None
    delay = 0.0
    notes: tuple[str, ...] = ()
    asked = 0

    async def check(self, seconds: float) -> None:
        self.asked += 1
        async with asyncio.timeout(seconds):
            await asyncio.sleep(self.delay)
        if self.fault is not None:
            raise self.fault

    def warnings(self) -> list[str]:
        return list(self.notes)


class Migrations:
    """At the newest revision, until a test says otherwise."""

    answer: bool | Exception = True

    async def is_current(self, seconds: float) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class House:
    """An application with nothing but its health."""

    def __init__(self) -> None:
        self.database, self.migrations, self.drain = Database(), Migrations(), Drain()
        self.app = FastAPI()
        serve(self.app, health.router)
        self.app.state.merit = SimpleNamespace(
            database=self.database, checkup=health.Checkup(self.database, self.migrations)
        )

    async def get(self, path: str) -> httpx.Response:
        """Ask, with the drain flag in the scope as the server puts it there."""

        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "state": {"drain": self.drain}}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://test") as client:
            return await client.get(path)


@pytest.fixture
def house() -> House:
    return House()


async def test_a_living_process_says_so_whatever_the_database_does(house: House) -> None:
    house.database.fault = OSError()
    house.drain.is_draining = True
    response = await house.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert house.database.asked == 0


async def test_ready_when_everything_is(house: House) -> None:
    house.database.notes = ("this version is old",)
    response = await house.get("/health/ready")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json() == {
        "status": "ready",
        "checks": {"database": "ok", "schema_revision": "ok", "draining": False},
        "warnings": ["this version is old"],
    }


@pytest.mark.parametrize("fault", [OSError("password=hunter2"), TimeoutError(), LookupError()])
async def test_not_ready_without_a_database(house: House, fault: Exception) -> None:
    house.database.fault = fault
    response = await house.get("/health/ready")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json()["checks"] == {"database": "failed", "schema_revision": "failed", "draining": False}
    assert "hunter2" not in response.text


async def test_the_database_has_its_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    house.database.delay = 5
    assert (await house.get("/health/ready")).json()["checks"]["database"] == "failed"


@pytest.mark.parametrize("answer", [False, OSError()])
async def test_not_ready_with_an_old_schema(house: House, answer: bool | Exception) -> None:
    house.migrations.answer = answer
    response = await house.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "schema_revision": "failed", "draining": False}


async def test_not_ready_on_the_way_out(house: House) -> None:
    house.drain.is_draining = True
    response = await house.get("/health/ready")
    assert (response.status_code, response.json()["checks"]["draining"]) == (503, True)


async def test_many_who_ask_at_once_are_one_question(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs a token to ask, so that asking must not cost the database anything by the number."""
    house.database.delay = 0.02
    answers = await asyncio.gather(*(house.get("/health/ready") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert house.database.asked == 1
    house.database.fault = OSError()
    house.drain.is_draining = True
    assert (await house.get("/health/ready")).json()["checks"]["draining"] is True
    assert house.database.asked == 1
    monkeypatch.setattr(health, "FRESH_SECONDS", 0)
    assert (await house.get("/health/ready")).json()["checks"]["database"] == "failed"
    assert house.database.asked == 2


async def test_who_gives_up_leaves_the_look_to_the_next(house: House) -> None:
    house.database.delay = 5
    first = asyncio.create_task(house.get("/health/ready"))
    while not house.database.asked:  # noqa: ASYNC110 - the double sets no event
        await asyncio.sleep(0)
    house.database.delay = 0
    first.cancel()
    assert (await house.get("/health/ready")).status_code == 200
    assert house.database.asked == 2


async def test_the_database_is_asked_once_a_quarter_of_a_second(services: Services, client: httpx.AsyncClient) -> None:
    await asyncio.sleep(health.FRESH_SECONDS)
    with recorded_sql(services.database) as sent:
        for _ in range(5):
            assert (await client.get("/health/ready")).status_code == 200
    assert len([one for one in sent if "SELECT 1" in one]) == 1
