"""Asking for replies: the forms of the answer, the tree that they grow, what is refused, and asking twice."""

import asyncio
from typing import Any

import httpx
import pytest

from app.chat.usage.types import LimitScope, Metric
from tests.chat.responses.stage import Caller, LiveApp
from tests.chat.stage import make_guest
from tests.chat.usage.support import limit
from tests.support import register
from tools.streams import listen


async def post(caller: Caller, path: str, **body: Any) -> httpx.Response:
    """Ask for a reply."""
    return await caller.http.post(path, json=body)


async def reply(caller: Caller, path: str, **body: Any) -> dict[str, Any]:
    """A reply that is over."""
    answer = await post(caller, path, **body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_reply_is_told_with_everything_about_it(live_app: LiveApp, caller: Caller) -> None:
    params = {"temperature": 0.5, "stop": ["END"]}
    answer = await caller.send("Hello there", model="test/m+actual=m-2026", params=params)
    said = answer.json()
    assert (said["status"], said["text"], said["finish_reason"]) == ("complete", "You said: Hello there", "stop")
    assert (said["model_requested"], said["model_used"], said["provider"]) == ("test/m+actual=m-2026", "m-2026", "test")
    assert said["params"] == params
    assert said["usage"]["tokens_total"] == said["usage"]["tokens_prompt"] + said["usage"]["tokens_completion"] > 0
    assert said["usage"]["cost_usd"] == "0.000000000"
    assert 0 <= said["ttft_ms"] <= said["completion_time_ms"]
    question = await live_app.message(said["parent_id"])
    assert (question.role, question.content, question.parent_id) == ("user", "Hello there", None)
    message = await live_app.message(said["message_id"])
    assert (message.role, message.content, message.status, message.seq) == ("assistant", said["text"], "complete", 2)
    assert (await caller.http.get(f"/responses/{said['id']}")).json() == said
    sent = live_app.provider.requests[-1].body
    assert (sent["temperature"], sent["stop"], sent["max_tokens"]) == (0.5, ["END"], 4096)


async def test_every_model_is_told_what_a_person_prefers(live_app: LiveApp, caller: Caller) -> None:
    """Before the conversation's own system prompt."""
    caller.conversation_id = await live_app.conversation(caller.owner, system_prompt="Be brief.")
    for wanted, told in (("Answer in Latin.", "Answer in Latin.\n\nBe brief."), ("", "Be brief.")):
        await caller.http.put("/preferences/chat.instructions", json={"value": wanted})
        assert (await caller.send("hello")).status_code == 200
        assert live_app.provider.requests[-1].body["messages"][0] == {"role": "system", "content": told}
    said = (await caller.send("hello")).json()
    await caller.http.put("/preferences/chat.instructions", json={"value": "Answer in Greek."})
    await reply(caller, f"/messages/{said['message_id']}/regenerate")
    assert live_app.provider.requests[-1].body["messages"][0]["content"] == "Answer in Greek.\n\nBe brief."


async def test_a_slow_reply_is_answered_202_and_goes_on(
    live_app: LiveApp, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.chat.responses.desk._PART_OF_TIMEOUT", 0.01)
    answer = await caller.send(model="test/s+first=1")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert answer.headers["location"] == f"/api/v1/responses/{answer.json()['id']}"
    assert (await live_app.ended(answer.json()["id"])).status == "complete"


async def test_a_background_reply_is_answered_at_once(live_app: LiveApp, caller: Caller) -> None:
    answer = await caller.send(model="test/b+first=0.2", background=True)
    assert (answer.status_code, answer.json()["status"], answer.json()["text"]) == (202, "queued", "")
    assert (await live_app.message(answer.json()["message_id"])).status == "queued"
    row = await live_app.ended(answer.json()["id"])
    assert row.status == "complete"


async def test_what_is_there_can_be_read_while_it_is_written(live_app: LiveApp, caller: Caller) -> None:
    response_id = await caller.begin("r+words=200+gap=0.01")
    await live_app.text_of(response_id)
    now = (await caller.http.get(f"/responses/{response_id}")).json()
    assert now["status"] == "streaming"
    assert now["text"].startswith("word-1 word-2")
    assert (await live_app.message(now["message_id"])).status == "streaming"
    await live_app.ended(response_id)


async def test_the_model_sees_the_path_and_nothing_beside_it(live_app: LiveApp, caller: Caller) -> None:
    first = (await caller.send("one")).json()
    second = (await caller.send("two")).json()
    edited = await reply(caller, f"/messages/{second['parent_id']}/edit", content="three", model="test/x")
    path = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "You said: one"}]
    assert live_app.provider.requests[-1].body["messages"] == [*path, {"role": "user", "content": "three"}]
    question = await live_app.message(edited["parent_id"])
    assert str(question.parent_id) == first["message_id"]
    assert str(question.edited_from_id) == second["parent_id"]
    again = await reply(caller, f"/messages/{first['message_id']}/regenerate")
    assert live_app.provider.requests[-1].body["messages"] == path[:1]
    assert again["parent_id"] == first["parent_id"]
    assert again["message_id"] != first["message_id"]


async def test_system_prompt_and_parent(live_app: LiveApp, caller: Caller) -> None:
    conversation_id = await live_app.conversation(caller.owner, system_prompt="Be brief.")
    path = f"/conversations/{conversation_id}/messages"
    first = await reply(caller, path, content="one")
    await reply(caller, path, content="two")
    parts = [{"type": "text", "text": "three"}, {"type": "text", "text": "four"}]
    branch = await reply(caller, path, parts=parts, parent=first["message_id"])
    assert live_app.provider.requests[-1].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "You said: one"},
        {"role": "user", "content": "three\n\nfour"},
    ]
    question = await live_app.message(branch["parent_id"])
    assert question.parts == parts


async def test_a_broken_reply_is_continued_beside_itself(live_app: LiveApp, caller: Caller) -> None:
    broken = await caller.hear(model="test/b+words=9+cut=3")
    row = await live_app.response(broken.response_id)
    path = f"/messages/{row.message_id}/continue"
    body = {"model": "test/b+text=%20and%20more", "stream": True}
    async with caller.http.stream("POST", path, json=body) as answer:
        heard = await listen(answer)
    assert heard.text == "word-1 word-2 word-3 and more"
    sent = live_app.provider.requests[-1].body["messages"]
    assert sent[-2] == {"role": "assistant", "content": "word-1 word-2 word-3"}
    assert sent[-1]["role"] == "user"
    continued = await live_app.response(heard.response_id)
    message = await live_app.message(continued.message_id)
    assert (message.content, message.edited_from_id) == (heard.text, row.message_id)
    assert (await live_app.message(row.message_id)).content == "word-1 word-2 word-3"
    assert continued.tokens_completion == 3, "what was there before is not counted again"
    complete = await post(caller, f"/messages/{continued.message_id}/continue")
    assert (complete.status_code, complete.json()["code"]) == (409, "reply_complete")


async def test_a_failed_reply_without_text_is_simply_made_again(live_app: LiveApp, caller: Caller) -> None:
    failed = await caller.hear(model="test/f+status=500")
    row = await live_app.response(failed.response_id)
    again = await reply(caller, f"/messages/{row.message_id}/continue", model="test/x")
    assert again["text"] == "You said: one two three"
    assert live_app.provider.requests[-1].body["messages"] == [{"role": "user", "content": "one two three"}]


async def test_what_cannot_be_answered(live_app: LiveApp, caller: Caller) -> None:
    said = (await caller.send()).json()
    running = await caller.begin("r+words=200+gap=0.02")
    unfinished = (await live_app.response(running)).message_id
    refusals = [
        (await caller.send(), 409, "reply_in_progress"),
        (await caller.send(parent=str(unfinished)), 409, "reply_in_progress"),
        (await post(caller, f"/messages/{unfinished}/regenerate"), 409, "reply_in_progress"),
        (await post(caller, f"/messages/{unfinished}/continue"), 409, "reply_in_progress"),
        (await post(caller, f"/messages/{said['parent_id']}/regenerate"), 409, "not_a_reply"),
        (await post(caller, f"/messages/{said['message_id']}/edit", content="x"), 409, "not_editable"),
        (await caller.send(parent=said["id"]), 404, "message_not_found"),
        (await caller.send(parent=said["message_id"], model="nobody/has-it"), 422, "model_not_found"),
        (await caller.send(stream=True, background=True), 422, "validation_failed"),
        (await caller.send(parts=[{"type": "text", "text": "x"}]), 422, "validation_failed"),
        (await post(caller, f"/conversations/{caller.conversation_id}/messages"), 422, "validation_failed"),
        (await caller.send(params={"temperature": 3}), 422, "validation_failed"),
        (await caller.send(params={"n": 3}), 422, "validation_failed"),
        (await caller.send(""), 422, "validation_failed"),
        (await caller.send("a\x00b"), 422, "validation_failed"),
    ]
    for answer, status, code in refusals:
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    count = (await caller.http.get(f"/conversations/{caller.conversation_id}/tree")).json()["items"]
    assert len(count) == 4, "refusals have stored nothing"
    await caller.http.post(f"/responses/{running}/cancel")


async def test_of_two_messages_at_once_one_is_answered(caller: Caller) -> None:
    answers = await asyncio.gather(*(caller.send(model="test/x+first=0.3") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


@pytest.mark.parametrize("form", [{}, {"stream": True}, {"background": True}])
async def test_the_same_key_asks_no_model_twice(live_app: LiveApp, caller: Caller, form: dict[str, Any]) -> None:
    before = len(live_app.provider.requests)
    headers = {"Idempotency-Key": "once-1"}
    path = f"/conversations/{caller.conversation_id}/messages"
    body = {"content": "one", "model": "test/i+first=0.1", **form}
    answers = [await caller.http.post(path, json=body, headers=headers) for _ in range(2)]
    answers += await asyncio.gather(*(caller.http.post(path, json=body, headers=headers) for _ in range(3)))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, *["true"] * 4]
    await asyncio.sleep(0.3)
    answers.append(await caller.http.post(path, json=body, headers=headers))
    if not form.get("stream"):
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert (answers[-1].status_code, answers[-1].json()["status"]) == (200, "complete")
    else:
        assert len({answer.text for answer in answers}) == 1
    assert len(live_app.provider.requests) == before + 1
    other = await caller.http.post(path, json=body | {"content": "two"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_quota_is_reserved_before_and_settled_after(live_app: LiveApp, caller: Caller) -> None:
    await limit(live_app.services, LimitScope.USER, Metric.MESSAGES, 2)
    first = await caller.send()
    assert first.headers["ratelimit"].startswith('"user-messages";r=1')
    await caller.hear(model="test/q+status=500")
    assert (await caller.send()).status_code == 200, "a failed reply is given back"
    refused = await caller.send()
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")


async def test_nobody_has_more_replies_at_once_than_he_may(live_app: LiveApp, caller: Caller) -> None:
    most = live_app.services.settings.max_replies_per_owner
    running = []
    for _ in range(most):
        conversation_id = await live_app.conversation(caller.owner)
        body = {"content": "x", "model": "test/m+words=500+gap=0.02", "background": True}
        answer = await caller.http.post(f"/conversations/{conversation_id}/messages", json=body)
        assert answer.status_code == 202
        running.append(answer.json()["id"])
    refused = await caller.send()
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_replies")
    assert int(refused.headers["retry-after"]) > 0
    for response_id in running:
        await caller.http.post(f"/responses/{response_id}/cancel")
    assert (await caller.send()).status_code == 200


async def test_a_guest_has_replies_and_takes_them_along(live_app: LiveApp, app: Any, client: httpx.AsyncClient) -> None:
    guest = await make_guest(client)
    conversation_id = await live_app.conversation(guest.owner)
    headers = {"Guest-Token": guest.token}
    async with live_app.client() as http:
        said = await http.post(f"/conversations/{conversation_id}/messages", json={"content": "x"}, headers=headers)
        assert (said.status_code, said.json()["status"]) == (200, "complete")
        mine = await http.get(f"/responses/{said.json()['id']}", headers=headers)
        assert mine.json() == said.json()
        assert (await http.get(f"/responses/{said.json()['id']}")).status_code == 401
    account = await register(client)
    claimed = await client.post("/api/v1/conversations/claim", headers={**account.headers, "Guest-Token": guest.token})
    assert claimed.is_success, claimed.text
    assert (await account.get(f"/responses/{said.json()['id']}")).json() == said.json()
