"""Stopping replies: here, from another worker, twice, too late; and deleting what is being written."""

import asyncio
from uuid import UUID

import httpx

from app.chat.models import Conversation
from app.chat.repository import ConversationRepository
from app.chat.responses.repository import EventRepository, ResponseRepository
from app.chat.usage.models import UsageRecord
from app.chat.usage.repository import UsageRecordRepository
from app.core.ids import new_id
from tests.chat.responses.stage import Caller, LiveApp
from tests.support import register
from tools.provider import Outcome

SLOW = "c+words=400+gap=0.02"


async def test_cancelling_keeps_the_text_and_closes_the_call(live_app: LiveApp, caller: Caller) -> None:
    response_id = await caller.begin(SLOW)
    await live_app.text_of(response_id)
    answer = await caller.http.post(f"/responses/{response_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["cancel_requested_at"] is not None
    text = answer.json()["text"]
    assert text.startswith("word-1 word-2")
    message = await live_app.message(answer.json()["message_id"])
    assert (message.status, message.content) == ("cancelled", text)
    heard = await caller.follow(response_id)
    assert (heard.text, heard.names[-1]) == (text, "cancelled")
    assert answer.json()["usage"]["usage_source"] == "estimated"
    assert [attempt["status"] for attempt in answer.json()["attempts"]] == ["cancelled"]
    assert await live_app.provider.is_quiet()
    assert live_app.provider.requests[-1].outcome is Outcome.CLIENT_GONE


async def test_thoughts_are_paid_for_though_no_word_came(live_app: LiveApp, caller: Caller) -> None:
    """Otherwise a model that thinks for long is free of charge to whoever stops it before its first word."""
    response_id = await caller.begin("c+reasoning=300+stall=200")
    assert await live_app.provider.until_sent(200)
    await asyncio.sleep(0.05)
    answer = await caller.http.post(f"/responses/{response_id}/cancel")
    assert (answer.json()["status"], answer.json()["text"]) == ("cancelled", "")
    assert answer.json()["usage"]["tokens_completion"] > 100


async def test_cancelling_again_or_too_late_changes_nothing(caller: Caller) -> None:
    response_id = await caller.begin(SLOW)
    answers = await asyncio.gather(*(caller.http.post(f"/responses/{response_id}/cancel") for _ in range(5)))
    assert {answer.json()["status"] for answer in answers} == {"cancelled"}
    finished = (await caller.send(model="test/x")).json()
    again = await caller.http.post(f"/responses/{finished['id']}/cancel")
    assert again.json() == finished


async def test_any_worker_can_cancel(live_app: LiveApp, other_worker: LiveApp, caller: Caller) -> None:
    response_id = await caller.begin(SLOW)
    await live_app.text_of(response_id)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with other_worker.client() as http:
        answer = await http.post(f"/responses/{response_id}/cancel", headers=caller.http.headers)
    assert loop.time() - begun < 3.0, "a second, on a machine that has nothing else to do"
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert (await live_app.response(response_id)).status == "cancelled"
    assert await live_app.provider.is_quiet()


async def test_deleting_the_conversation_stops_the_reply_and_leaves_nothing(live_app: LiveApp, caller: Caller) -> None:
    response_id = await caller.begin(SLOW)
    following = asyncio.create_task(caller.follow(response_id))
    await live_app.text_of(response_id)
    async with live_app.services.database.session() as session:
        assert await ConversationRepository(session, live_app.services.clock).delete(UUID(caller.conversation_id))
        await session.commit()
    heard = await following
    assert heard.names == ["created", "output_text.delta"], "no last event: the reply is gone"
    assert await live_app.provider.is_quiet()
    await _settled(live_app, response_id)
    async with live_app.services.database.read_session() as session:
        assert await ResponseRepository(session, live_app.services.clock).get(UUID(response_id)) is None
        assert await EventRepository(session).after(UUID(response_id), 0) == []
    assert (await caller.http.get(f"/responses/{response_id}")).status_code == 404


async def test_an_expired_conversation_stops_its_reply(live_app: LiveApp, caller: Caller) -> None:
    """A long conversation is gone at once, though its rows go by and by."""
    response_id = await caller.begin(SLOW)
    await live_app.text_of(response_id)
    services = live_app.services
    async with services.database.session() as session:
        values = {Conversation.expires_at: services.clock.now()}
        await ConversationRepository(session, services.clock).update(UUID(caller.conversation_id), values)
        await session.commit()
    assert await live_app.provider.is_quiet()
    assert (await caller.http.get(f"/responses/{response_id}")).status_code == 404
    assert (await caller.http.post(f"/responses/{response_id}/cancel")).status_code == 404
    await _settled(live_app, response_id)


async def _settled(live_app: LiveApp, response_id: str) -> None:
    """What a reply has used counts, though it is gone."""
    services = live_app.services
    for _ in range(200):
        async with services.database.read_session() as session:
            records = UsageRecordRepository(session, services.clock)
            if await records.get_by(UsageRecord.response_id, UUID(response_id)):
                return
        await asyncio.sleep(0.02)
    raise AssertionError("nothing is settled")


async def test_nobody_cancels_or_reads_anothers_reply(
    live_app: LiveApp, caller: Caller, client: httpx.AsyncClient
) -> None:
    stranger = await register(client)
    response_id = await caller.begin(SLOW)
    message_id = str((await live_app.response(response_id)).message_id)
    unknown_id = str(new_id())
    for method, path, body in (
        ("GET", "/responses/{}", {}),
        ("GET", "/responses/{}?stream=true", {}),
        ("POST", "/responses/{}/cancel", {}),
        ("POST", "/messages/{}/regenerate", {}),
        ("POST", "/messages/{}/continue", {}),
        ("POST", "/messages/{}/edit", {"content": "x"}),
        ("POST", "/conversations/{}/messages", {"content": "x"}),
    ):
        mine = {"/r": response_id, "/m": message_id, "/c": caller.conversation_id}[path[:2]]
        answers = [
            await caller.http.request(method, path.format(id_), json=body, headers=stranger.headers)
            for id_ in (mine, unknown_id)
        ]
        assert [answer.status_code for answer in answers] == [404, 404], path
        assert answers[0].json()["code"] == answers[1].json()["code"]
    assert (await live_app.response(response_id)).cancel_requested_at is None
    await caller.http.post(f"/responses/{response_id}/cancel")
