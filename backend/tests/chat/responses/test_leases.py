"""Who may write a reply: leases, the reaper, overtaken generators, lost databases, and a server that stops."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.chat.responses.engine import ReplyEngine
from app.chat.responses.models import Response, ResponseEvent
from app.chat.responses.repository import ResponseRepository
from app.chat.responses.writer import DraftWriter
from app.chat.usage.schemas import PriceCreate
from app.chat.usage.types import PriceUnit
from tests.chat.responses.stage import Caller, LiveApp, live, providers
from tests.chat.usage.support import load
from tests.support import ManualClock, make_settings
from tools.provider import Provider
from tools.streams import Heard

SLOW = "l+words=400+gap=0.02"


async def expire(live_app: LiveApp, response_id: str, **values: object) -> None:
    """Let a reply's lease have run out."""
    services = live_app.services
    async with services.database.session() as session:
        ago = services.clock.now() - timedelta(seconds=1)
        columns = {getattr(Response, name): value for name, value in values.items()}
        await ResponseRepository(session, services.clock).update(
            UUID(response_id), {Response.lease_expires_at: ago, **columns}
        )
        await session.commit()


async def test_an_overtaken_generator_writes_nothing_more(
    live_app: LiveApp, other_worker: LiveApp, caller: Caller
) -> None:
    """A slow one loses its reply to whoever finds its lease run out; whoever follows it sees the end all the same."""
    response_id = await caller.begin(SLOW)
    following = asyncio.create_task(caller.follow(response_id))
    await live_app.text_of(response_id)
    ended = 0
    while not ended:  # the generator may have renewed the lease in between
        await expire(live_app, response_id)
        ended = await other_worker.services.replies.reaper.sweep()
    heard = await following
    row = await live_app.response(response_id)
    message = await live_app.message(row.message_id)
    assert (row.status, row.error_code, message.status) == ("incomplete", "interrupted", "incomplete")
    assert message.content == heard.text != ""
    assert heard.names[-1] == "incomplete"
    assert await live_app.provider.is_quiet()
    await asyncio.sleep(0.3)
    assert (await caller.follow(response_id)).events == heard.events
    assert (await live_app.response(response_id)).last_event_seq == row.last_event_seq


async def test_two_reapers_end_a_reply_once(live_app: LiveApp, other_worker: LiveApp, caller: Caller) -> None:
    response_id = await dead(live_app, caller)
    counts = await asyncio.gather(*(app.services.replies.reaper.sweep() for app in (live_app, other_worker) * 3))
    assert sum(counts) == 1
    heard = await caller.follow(response_id)
    assert heard.names == ["created", "output_text.delta", "usage", "incomplete"]
    assert [event.id for event in heard.events] == list(range(1, len(heard.events) + 1))
    row = await live_app.response(response_id)
    assert (await live_app.message(row.message_id)).content == heard.text
    assert row.tokens_completion == -(-len(heard.text) // 4)


async def test_a_cancelled_reply_of_a_dead_process_is_cancelled(live_app: LiveApp, caller: Caller) -> None:
    response_id = await dead(live_app, caller)
    services = live_app.services
    async with services.database.session() as session:
        assert await ResponseRepository(session, services.clock).request_cancel(UUID(response_id))
        await session.commit()
    assert await services.replies.reaper.sweep() == 1
    row = await live_app.response(response_id)
    assert (row.status, row.error_code) == ("cancelled", None)


async def dead(live_app: LiveApp, caller: Caller) -> str:
    """A reply whose generator is gone without a word; its id."""
    response_id = await caller.begin(SLOW)
    await live_app.text_of(response_id)
    engine: ReplyEngine = live_app.services.replies.engine
    await expire(live_app, response_id, lease_owner="a process that died")
    async with asyncio.timeout(5):
        while UUID(response_id) in engine.generating:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.01)
    return response_id


async def test_what_a_killed_process_had_asked_for_is_known_and_paid(
    live_app: LiveApp, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed says nothing; whom it had called was stored when it did."""

    async def killed(*_: object) -> None:
        return

    monkeypatch.setattr(ReplyEngine, "_settle", killed)
    price = PriceCreate(match_pattern="l+*", provider="test", unit=PriceUnit.OUTPUT, price=Decimal("0.001"))
    await load(live_app.services, price)
    response_id = await dead(live_app, caller)
    told = (await caller.http.get(f"/responses/{response_id}")).json()
    assert [(call["status"], call["ended_at"]) for call in told["attempts"]] == [("running", None)]
    assert await live_app.services.replies.reaper.sweep() == 1
    told = (await caller.http.get(f"/responses/{response_id}")).json()
    assert (told["model_used"], told["provider"]) == (SLOW, "test")
    [call] = told["attempts"]
    assert (call["number"], call["provider"], call["model"], call["status"]) == (1, "test", SLOW, "failed")
    assert (call["error"], call["ended_at"]) == ("interrupted", ANY)
    usage = told["usage"]
    assert usage["price_sheet"] == {
        "match_pattern": "l+*", "provider": "test", "tier": "standard", "prices": {"output": "0.001000000000000"},
    }  # fmt: skip
    assert Decimal(usage["cost_usd"]) == usage["tokens_completion"] * Decimal("0.001") > 0


async def test_a_process_killed_before_the_first_word_leaves_its_trail(
    live_app: LiveApp, caller: Caller, database_url: str, provider: Provider, tmp_path: Path
) -> None:
    """The call that failed, and the one that was under way."""
    broken = {"name": "broken", "base_url": provider.url("status=500"), "models": ["l*"]}
    settings = make_settings(
        database_url, tmp_path, llm_providers=[broken, *providers(provider)], reply_drain_seconds=0
    )
    async with live(settings, provider) as app, app.client() as http:
        http.headers.update(caller.http.headers)
        answer = await Caller(http, caller.owner, caller.conversation_id).send(
            model="l+first=5+times=1", background=True
        )
        response_id = str(answer.json()["id"])
        async with asyncio.timeout(5):
            while not (row := await app.response(response_id)).model_used or row.provider != "test":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert row.status == "queued"
        await expire(live_app, response_id, lease_owner="a process that died")
        assert await live_app.services.replies.reaper.sweep() == 1
        told = (await caller.http.get(f"/responses/{response_id}")).json()
    calls = [(call["number"], call["provider"], call["status"]) for call in told["attempts"]]
    assert calls == [(1, "broken", "failed"), (2, "test", "failed")]
    assert [call["error"].partition(":")[0] for call in told["attempts"]] == ["server_error", "interrupted"]


async def test_an_event_is_dated_when_its_text_was_there(
    live_app: LiveApp, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when the database was ready for it: what was said meanwhile comes with the next one."""
    original = ResponseRepository.advance

    async def slow(*arguments: Any) -> frozenset[UUID]:
        held = await original(*arguments)
        await asyncio.sleep(0.3)
        fenced.append(live_app.services.clock.now())
        return held

    fenced: list[datetime] = []
    monkeypatch.setattr(ResponseRepository, "advance", slow)
    heard = await caller.hear(model="test/a+words=10+gap=0.02")
    async with live_app.services.database.read_session() as session:
        is_it = (ResponseEvent.response_id == UUID(heard.response_id), ResponseEvent.seq == 2)
        [(created_at,)] = await session.rows(select(ResponseEvent.created_at).where(*is_it))
    assert fenced[0] - created_at >= timedelta(seconds=0.3)


async def test_a_living_lease_is_left_alone(live_app: LiveApp, caller: Caller, clock: ManualClock) -> None:
    response_id = await caller.begin("l+first=0.3")
    clock.advance(seconds=9)
    assert await live_app.services.replies.reaper.sweep() == 0
    clock.reset()
    assert (await live_app.ended(response_id)).status == "complete"


async def test_the_reaper_looks_by_itself(
    database_url: str, provider: Provider, caller: Caller, tmp_path: Path, live_app: LiveApp
) -> None:
    response_id = await dead(live_app, caller)
    settings = make_settings(database_url, tmp_path, reply_sweep_seconds=0.1)
    async with live(settings, provider) as app:
        assert (await app.ended(response_id)).status == "incomplete"


async def test_leases_are_renewed_while_a_model_is_silent(
    live_app: LiveApp,
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    provider: Provider,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("app.chat.responses.writer._RENEWALS_PER_LEASE", 100)
    settings = make_settings(database_url, tmp_path, llm_providers=providers(provider), reply_drain_seconds=0)
    async with live(settings, provider) as app, app.client() as http:
        http.headers.update(caller.http.headers)
        response_id = await Caller(http, caller.owner, caller.conversation_id).begin("l+first=0.6")
        before = (await app.response(response_id)).lease_expires_at
        await asyncio.sleep(0.3)
        after = (await app.response(response_id)).lease_expires_at
        assert before is not None
        assert after is not None
        assert after - before > timedelta(seconds=0.1)
        assert (await app.ended(response_id)).status == "complete"


async def test_a_database_that_is_away_delays_a_reply_and_loses_nothing(
    live_app: LiveApp, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the text nor the end."""
    monkeypatch.setattr("app.chat.responses.engine._AGAIN_SECONDS", 0.02)
    outages = iter([True] * 6)

    def failing(original: object) -> object:
        async def call(*arguments: object) -> object:
            if next(outages, False):
                raise OperationalError("SELECT", None, Exception("away"))
            return await original(*arguments)  # type: ignore[operator]

        return call

    response_id = await caller.begin("a+words=20+gap=0.02")
    monkeypatch.setattr(DraftWriter, "_store", failing(DraftWriter._store))
    monkeypatch.setattr(ReplyEngine, "_store", failing(ReplyEngine._store))
    row = await live_app.ended(response_id)
    assert row.status == "complete"
    expected = " ".join(f"word-{number}" for number in range(1, 21))
    assert (await live_app.message(row.message_id)).content == expected
    assert (await caller.follow(response_id)).text == expected
    assert next(outages, None) is None


async def test_a_server_that_stops_lets_short_replies_end_and_keeps_the_text_of_long_ones(
    database_url: str, provider: Provider, live_app: LiveApp, caller: Caller, tmp_path: Path
) -> None:
    settings = make_settings(database_url, tmp_path, llm_providers=providers(provider), reply_drain_seconds=3.0)
    async with live(settings, provider) as stopping, stopping.client() as http:
        http.headers.update(caller.http.headers)
        other_id = await live_app.conversation(caller.owner)
        short = await Caller(http, caller.owner, caller.conversation_id).begin("s+words=20+gap=0.02")
        there = Caller(http, caller.owner, other_id)
        long = await there.begin(SLOW)
        heard = Heard()
        following = asyncio.create_task(there.follow(long, heard=heard))
        await stopping.text_of(long)
        async with asyncio.timeout(5):
            while len(heard.events) < 2:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.01)
        stopping.server._begin_drain()
        cut = await asyncio.wait_for(following, 2)
        assert cut.names == ["created", "output_text.delta"]
    assert (await live_app.response(short)).status == "complete"
    row = await live_app.response(long)
    message = await live_app.message(row.message_id)
    assert (row.status, row.error_code, message.status) == ("incomplete", "server_stopped", "incomplete")
    assert message.content.startswith(cut.text)
    rest = await caller.follow(long, cut.last_id)
    assert cut.text + rest.text == message.content


async def test_a_reply_may_take_so_long_and_no_longer(
    database_url: str, provider: Provider, caller: Caller, tmp_path: Path
) -> None:
    settings = make_settings(
        database_url, tmp_path, llm_providers=providers(provider), reply_timeout_seconds=0.5, reply_drain_seconds=0
    )
    async with live(settings, provider) as app, app.client() as http:
        http.headers.update(caller.http.headers)
        heard = await Caller(http, caller.owner, caller.conversation_id).hear(model=f"test/{SLOW}")
    assert (heard.names[-1], heard.events[-1].data["error_code"]) == ("incomplete", "reply_timeout")
    assert heard.text != ""


async def test_a_process_writes_so_many_replies_and_no_more(
    database_url: str, provider: Provider, caller: Caller, tmp_path: Path
) -> None:
    settings = make_settings(
        database_url, tmp_path, llm_providers=providers(provider), max_replies=1, reply_drain_seconds=0
    )
    async with live(settings, provider) as app, app.client() as http:
        http.headers.update(caller.http.headers)
        there = Caller(http, caller.owner, caller.conversation_id)
        response_id = await there.begin(SLOW)
        other = Caller(http, caller.owner, await app.conversation(caller.owner))
        refused = await other.send()
        assert (refused.status_code, refused.json()["code"]) == (503, "replies_busy")
        assert int(refused.headers["retry-after"]) > 0
        await http.post(f"/responses/{response_id}/cancel")
        assert (await other.send()).status_code == 200
