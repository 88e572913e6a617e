"""Links to conversations: what strangers see, and above all what they do not."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from structlog.testing import capture_logs

from app.auth.models import AuditEvent
from app.chat.models import Conversation, Message
from app.chat.sharing import service as sharing
from app.chat.sharing.models import ConversationShare
from app.chat.types import MessageRole, MessageStatus
from app.main import Services
from tests.auth.credentials import token_of
from tests.chat.stage import converse, make_guest, say, talk
from tests.conftest import AppFactory, client_of
from tests.support import API, Account, ManualClock, register

SECRET_PROMPT = "You are the secret prompt"
PASSWORD = "open sesame 42"  # not a secret: of one test's link


async def share(account: Account, conversation_id: str, **members: Any) -> dict[str, Any]:
    answer = await account.request("POST", f"/conversations/{conversation_id}/shares", json=members)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return dict(answer.json())


async def opened(client: httpx.AsyncClient, token: str, **query: Any) -> httpx.Response:
    """As somebody without an account."""
    return await client.get(f"{API}/shares/{token}", params=query)


def texts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == httpx.codes.OK, answer.text
    return [item["content"] for item in answer.json()["items"]]


@pytest.fixture
async def conversation(services: Services, account: Account) -> str:
    """Two messages on the active branch."""
    made = await converse(account, title="Recursion", system_prompt=SECRET_PROMPT)
    await talk(services, account, made["id"], 2)
    return str(made["id"])


async def test_a_stranger_reads_what_was_shared(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str
) -> None:
    issued = await share(account, conversation)
    answer = await opened(client, issued["token"])
    assert texts(answer) == ["message 0", "message 1"]
    body = answer.json()
    assert (body["title"], body["mode"], body["next_cursor"]) == ("Recursion", "snapshot", None)
    assert set(body["items"][0]) == {"role", "content", "model", "status", "created_at"}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_nothing_else_leaks(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str
) -> None:
    """Neither prompts, tools, notes and other branches, nor who it is."""
    root, reply = (await account.get(f"/conversations/{conversation}/messages")).json()["items"]
    parent = Message(id=UUID(root["id"]))
    for role in (MessageRole.SYSTEM, MessageRole.DEVELOPER, MessageRole.TOOL):
        parent = await say(services, account, conversation, f"hidden {role}", parent=parent, role=role)
    await say(services, account, conversation, "hidden branch", parent=Message(id=UUID(root["id"])))
    failed = await say(
        services, account, conversation, "hidden half", parent=parent, role=MessageRole.ASSISTANT,
        status=MessageStatus.STREAMING, extra_data={"hidden": "note"},
    )  # fmt: skip
    last = await say(services, account, conversation, "the end", parent=failed, extra_data={"hidden": "note"})
    for members in ({"leaf_message_id": str(last.id)}, {"mode": "live"}):
        answer = await opened(client, (await share(account, conversation, **members))["token"])
        assert texts(answer) == ["message 0", "the end"]
        for secret in (
            "hidden",
            SECRET_PROMPT,
            account.id,
            account.email,
            "ada",
            conversation,
            str(last.id),
            reply["id"],
        ):
            assert secret not in answer.text


async def test_a_snapshot_stays_and_a_live_link_follows(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str
) -> None:
    snapshot, live = [(await share(account, conversation, mode=mode))["token"] for mode in ("snapshot", "live")]
    first = (await account.get(f"/conversations/{conversation}/messages")).json()["items"][0]
    await say(services, account, conversation, "other branch", parent=Message(id=UUID(first["id"])))
    await account.request("PATCH", f"/conversations/{conversation}", json={"title": "Renamed"})
    assert texts(await opened(client, snapshot)) == ["message 0", "message 1"]
    assert (await opened(client, snapshot)).json()["title"] == "Recursion"
    assert texts(await opened(client, live)) == ["message 0", "other branch"]
    assert (await opened(client, live)).json()["title"] == "Renamed"


async def test_pages_lead_upwards(services: Services, client: httpx.AsyncClient, account: Account) -> None:
    made = await converse(account)
    await talk(services, account, made["id"], 7)
    token = ""
    last_cursor: str | None = None
    for mode in ("snapshot", "live"):
        token = (await share(account, made["id"], mode=mode))["token"]
        found: list[str] = []
        cursor = None
        while True:
            page = await opened(client, token, limit=3, **({"cursor": cursor} if cursor else {}))
            found = texts(page) + found
            last_cursor, cursor = cursor, page.json()["next_cursor"]
            if cursor is None:
                break
        assert found == [f"message {n}" for n in range(7)]
    root = (await account.get(f"/conversations/{made['id']}/messages")).json()["items"][0]
    await say(services, account, made["id"], "new branch", parent=Message(id=UUID(root["id"])))
    gone = await opened(client, token, cursor=last_cursor)
    assert (gone.status_code, gone.json()["code"]) == (422, "invalid_cursor"), "of a branch that is shown no more"


async def test_what_has_ended_is_unknown_to_strangers_and_gone_for_its_owner(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str, clock: ManualClock
) -> None:
    stranger = await register(client)
    revoked, expired, wiped = [await share(account, conversation, expires_in=60 * (n % 2 or 99)) for n in range(3)]
    path = f"/conversations/{conversation}/shares/{revoked['share']['id']}"
    for _ in range(2):
        assert (await account.request("DELETE", path)).status_code == 204
    clock.advance(seconds=61)
    unknown = await opened(client, "shr_" + "0" * 22 + "_" + "0" * 60)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "share_not_found")
    hide = {"request_id": None}
    for issued in (revoked, expired):
        path = f"/shares/{issued['token']}"
        for answer in (await client.get(API + path), await stranger.get(path)):
            assert answer.json() | hide == unknown.json() | hide
        mine = await account.get(path)
        assert (mine.status_code, mine.json()["code"]) == (410, "share_gone")
    assert texts(await opened(client, wiped["token"])) == ["message 0", "message 1"]
    assert (await account.request("DELETE", f"/conversations/{conversation}")).status_code == 204
    for answer in (await opened(client, wiped["token"]), await account.get(f"/shares/{wiped['token']}")):
        assert answer.status_code == 404


async def test_links_of_a_disabled_account_are_unknown(
    client: httpx.AsyncClient, account: Account, admin: Account, conversation: str
) -> None:
    token = (await share(account, conversation))["token"]
    assert (await admin.request("POST", f"/admin/users/{account.id}/disable")).is_success
    assert (await opened(client, token)).status_code == 404


async def test_the_links_of_an_expired_conversation_are_unknown(
    services: Services, client: httpx.AsyncClient, account: Account, clock: ManualClock
) -> None:
    made = await converse(account, expires_in=60)
    await talk(services, account, made["id"], 1)
    token = (await share(account, made["id"]))["token"]
    clock.advance(seconds=61)
    assert (await opened(client, token)).status_code == 404


@pytest.mark.parametrize("change", ["flip", "cut", "other", "empty", "nonsense", "long"])
async def test_made_up_tokens_are_refused(
    client: httpx.AsyncClient, account: Account, conversation: str, change: str
) -> None:
    token = (await share(account, conversation))["token"]
    made_up = {
        "flip": token[:-1] + ("0" if token[-1] != "0" else "1"),
        "cut": token[:-1],
        "other": "pat" + token[3:],
        "empty": "shr",
        "nonsense": "..%2f..%2fetc",
        "long": "shr_" + "0" * 190,
    }[change]
    assert (await opened(client, made_up)).status_code == 404


async def test_no_log_holds_a_token(make_app: AppFactory, account: Account, conversation: str) -> None:
    """Not even where no route matches, so that its template cannot stand for the path."""
    token = (await share(account, conversation))["token"]
    async with make_app() as app, client_of(app) as client:
        with capture_logs() as lines:
            for path in (token, f"{token}/", f"{token}/more", f"x/{token}"):
                await client.get(f"{API}/shares/{path}")
    assert len([line for line in lines if line["event"] == "request"]) == 4
    assert not any(token[4:40] in str(line) for line in lines)


async def test_nobody_shares_what_is_not_theirs(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str
) -> None:
    stranger, guest = await register(client), await make_guest(client)
    other = await converse(stranger)
    (foreign,) = await talk(services, stranger, other["id"], 1)
    path = f"/conversations/{conversation}/shares"
    issued = await share(account, conversation)
    for method in ("GET", "POST"):
        assert (await stranger.request(method, path, json={})).json()["code"] == "conversation_not_found"
        assert (await guest.request(method, path, json={})).status_code == 401
    answer = await account.request("POST", path, json={"leaf_message_id": str(foreign.id)})
    assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")
    for caller, where in (
        (stranger, f"{path}/{issued['share']['id']}"),
        (account, f"/conversations/{other['id']}/shares/{issued['share']['id']}"),
    ):
        assert (await caller.request("DELETE", where)).json()["code"] == "share_not_found"
    assert (await opened(client, issued["token"])).status_code == 200


async def test_a_password_is_asked_for(client: httpx.AsyncClient, account: Account, conversation: str) -> None:
    token = (await share(account, conversation, password=PASSWORD))["token"]
    refused = await opened(client, token)
    assert (refused.status_code, refused.json()["code"]) == (403, "share_password_required")
    assert "message 0" not in refused.text
    path = f"{API}/shares/{token}"
    wrong = await client.post(path, json={"password": "open sesame 43"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "share_password_wrong")
    right = await client.post(path, params={"limit": 1}, json={"password": PASSWORD})
    assert texts(right) == ["message 1"]
    assert right.headers["cache-control"] == "no-store"
    query = {"limit": 1, "cursor": right.json()["next_cursor"]}
    assert texts(await client.post(path, params=query, json={"password": PASSWORD})) == ["message 0"]
    assert (await opened(client, token, **query)).status_code == 403, "a cursor is no password"
    assert texts(await account.get(f"/shares/{token}")) == ["message 0", "message 1"], "its owner needs none"
    for scope, status in (("profile:read", 403), ("chat:read", 200)):
        script = await token_of(account, scope)
        assert (await script.request("GET", f"/shares/{token}")).status_code == status, "nor do those who may read it"
    open_link = (await share(account, conversation))["token"]
    answer = await client.post(f"{API}/shares/{open_link}", json={"password": "any"})
    assert texts(answer) == ["message 0", "message 1"]


async def test_guesses_are_throttled(app: FastAPI, account: Account, conversation: str, clock: ManualClock) -> None:
    """Also parallel ones; the right password does not count."""
    clock.stop()
    path = f"{API}/shares/{(await share(account, conversation, password=PASSWORD))['token']}"
    async with client_of(app, address="203.0.113.9") as attacker:
        for _ in range(12):
            assert (await attacker.post(path, json={"password": PASSWORD})).status_code == 200
        answers = await asyncio.gather(*(attacker.post(path, json={"password": f"guess {n}"}) for n in range(20)))
        codes = [answer.json()["code"] for answer in answers]
        assert set(codes) == {"share_password_wrong", "share_throttled"}
        assert codes.count("share_password_wrong") <= sharing.PASSWORD_POLICY.free + 1
        throttled = await attacker.post(path, json={"password": PASSWORD})
        assert (throttled.status_code, throttled.json()["code"]) == (429, "share_throttled")
        assert int(throttled.headers["retry-after"]) > 0
    async with client_of(app, address="198.51.100.7") as friend:
        assert (await friend.post(path, json={"password": PASSWORD})).status_code == 200, "elsewhere it goes on"


@pytest.mark.parametrize(
    "members",
    [
        {"mode": "eternal"},
        {"mode": "live", "leaf_message_id": "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"},
        {"expires_in": 59},
        {"expires_in": 10**10},
        {"expires_in": "60"},
        {"password": "short"},
        {"password": "x" * 257},
        {"password": "a\u0000bcdefg"},
        {"surprise": True},
    ],
    ids=range(9),
)
async def test_what_is_no_link_is_refused(account: Account, conversation: str, members: dict[str, Any]) -> None:
    answer = await account.request("POST", f"/conversations/{conversation}/shares", json=members)
    assert answer.status_code == 422
    assert (await account.get("/shares")).json()["items"] == []


async def test_only_what_is_there_can_be_shared(
    services: Services, client: httpx.AsyncClient, account: Account
) -> None:
    made = await converse(account)
    path = f"/conversations/{made['id']}/shares"
    assert (await account.request("POST", path, json={})).json()["code"] == "nothing_to_share"
    assert texts(await opened(client, (await share(account, made["id"], mode="live"))["token"])) == []
    root = await say(services, account, made["id"], role=MessageRole.ASSISTANT, status=MessageStatus.STREAMING)
    assert (await account.request("POST", path, json={})).json()["code"] == "nothing_to_share"
    asked = await say(services, account, made["id"], "asked", parent=root)
    await say(services, account, made["id"], "", parent=asked, role=MessageRole.ASSISTANT, status=MessageStatus.QUEUED)
    issued = await share(account, made["id"])
    assert issued["share"]["leaf_message_id"] == str(asked.id), "a reply on its way is no part of a snapshot"


async def test_links_are_listed_without_their_tokens(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str
) -> None:
    issued = [await share(account, conversation, password=PASSWORD if n else None) for n in range(3)]
    other = await converse(account)
    await share(account, other["id"], mode="live")
    page = (await account.get(f"/conversations/{conversation}/shares", params={"limit": 2})).json()
    rest = (await account.get(f"/conversations/{conversation}/shares", params={"cursor": page["next_cursor"]})).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == [one["share"]["id"] for one in issued[::-1]]
    assert [item["has_password"] for item in page["items"] + rest["items"]] == [True, True, False]
    everything = await account.get("/shares")
    assert len(everything.json()["items"]) == 4
    async with services.database.read_session() as session:
        rows = (await session.execute(select(ConversationShare.token_hash, ConversationShare.password_hash))).all()
    for one in issued:
        assert one["token"] not in everything.text
        assert one["token"].encode() not in [row.token_hash for row in rows]
    assert all(row.password_hash is None or PASSWORD not in row.password_hash for row in rows)


async def test_making_and_revoking_is_on_record(services: Services, account: Account, conversation: str) -> None:
    issued = await share(account, conversation)
    path = f"/conversations/{conversation}/shares/{issued['share']['id']}"
    assert (await account.request("DELETE", path)).status_code == 204
    async with services.database.read_session() as session:
        events = (await session.execute(select(AuditEvent).order_by(AuditEvent.sequence))).scalars().all()
    assert [event.action for event in events][-2:] == ["share_created", "share_revoked"]
    assert events[-1].detail == {"share_id": issued["share"]["id"], "conversation_id": conversation}
    assert all(issued["token"] not in str(event.detail) for event in events)


async def test_an_account_has_so_many_links(
    account: Account, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended ones make room."""
    monkeypatch.setattr(sharing, "MAX_SHARES", 2)
    first, _ = [await share(account, conversation) for _ in range(2)]
    path = f"/conversations/{conversation}/shares"
    full = await account.request("POST", path, json={})
    assert (full.status_code, full.json()["code"]) == (409, "too_many_shares")
    await account.request("DELETE", f"{path}/{first['share']['id']}")
    await share(account, conversation)
    assert len((await account.get("/shares")).json()["items"]) == 2


async def test_views_are_counted_by_all_workers(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str, make_app: AppFactory
) -> None:
    """In memory at first: opening a link writes nothing."""
    issued = await share(account, conversation)
    other = await share(account, conversation, mode="live")

    async def count() -> list[int]:
        return [item["view_count"] for item in (await account.get("/shares")).json()["items"]]

    for _ in range(3):
        await opened(client, issued["token"])
    assert await count() == [0, 0]
    async with make_app() as elsewhere, client_of(elsewhere) as visitor:
        for token in (issued["token"], issued["token"], other["token"]):
            await opened(visitor, token)
        await asyncio.gather(services.chat.share_views.write(), elsewhere.state.merit.chat.share_views.write())
        assert await count() == [1, 5]
        await opened(visitor, other["token"])
    assert await count() == [2, 5], "a worker that stops writes what it has"


async def test_links_are_forgotten_a_month_after_their_end(
    services: Services, account: Account, conversation: str, clock: ManualClock
) -> None:
    await share(account, conversation, expires_in=60)
    await share(account, conversation)
    await services.jobs.run_due()
    clock.advance(days=29)
    await services.jobs.run_due()
    async with services.database.writer.begin() as connection:
        await connection.execute(update(Conversation).values(expires_at=None))
    assert await _stored(services) == 2
    clock.advance(days=2)
    await services.jobs.run_due()
    assert await _stored(services) == 1


async def _stored(services: Services) -> int:
    async with services.database.read_session() as session:
        return len((await session.execute(select(ConversationShare.id))).all())
