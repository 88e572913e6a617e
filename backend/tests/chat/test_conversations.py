"""Conversations: making, reading, changing and deleting them."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from app.chat.models import Conversation, Message
from app.core.ids import new_id
from app.main import Services
from tests.auth.stage import code_of
from tests.chat.stage import Caller, GuestCaller, converse, folder, say, talk, writing
from tests.conftest import AppFactory, client_of
from tests.support import API, Account, ManualClock


async def test_what_is_made_is_found_again(account: Account) -> None:
    made = await converse(account, title=" Recursion ", tags=["b", "a", "b"], settings={"temperature": 0.5})
    assert (made["title"], made["title_source"], made["tags"]) == ("Recursion", "user", ["a", "b"])
    assert (made["kind"], made["message_count"], made["active_leaf_id"]) == ("chat", 0, None)
    assert made["last_message_at"] == made["created_at"]
    answer = await account.get(f"/conversations/{made['id']}")
    assert answer.json() == made
    assert answer.headers["etag"] == '"1"'


async def test_a_guest_has_conversations_too(services: Services, guest: GuestCaller) -> None:
    made = await converse(guest, system_prompt="Be brief.")
    await say(services, guest, made["id"])
    (listed,) = (await guest.get("/conversations")).json()["items"]
    assert (listed["title"], listed["title_source"], listed["message_count"]) == ("Hello", "heuristic", 1)
    assert "system_prompt" not in listed
    assert (await guest.get(f"/conversations/{made['id']}")).json()["system_prompt"] == "Be brief."


async def test_the_model_is_the_one_named_else_preferred_else_the_services(
    account: Account, guest: GuestCaller
) -> None:
    assert (await converse(account))["default_model"] == "merit/echo"
    await account.request("PATCH", "/preferences", json={"chat.default_model": "openai/gpt-4o-mini"})
    assert (await converse(account))["default_model"] == "openai/gpt-4o-mini"
    assert (await converse(account, default_model="ollama/llama3"))["default_model"] == "ollama/llama3"
    assert (await converse(guest))["default_model"] == "merit/echo"
    await account.request("PATCH", "/preferences", json={"chat.default_model": "x" * 200})
    assert (await converse(account))["default_model"] == "merit/echo", "a name that no conversation can hold"


async def test_a_repeated_request_makes_one(account: Account) -> None:
    for path, body in (("/conversations", {"title": "Once"}), ("/folders", {"name": "Once"})):
        headers = {"Idempotency-Key": "one"}
        first, second = [await account.request("POST", path, json=body, headers=headers) for _ in range(2)]
        assert first.status_code == second.status_code == 201
        assert first.json() == second.json()
        assert first.headers.get("etag") == second.headers.get("etag")
        assert len((await account.get(path)).json()["items"]) == 1


async def test_members_change_one_by_one(services: Services, account: Account, clock: ManualClock) -> None:
    made = await converse(account, title="Recursion", tags=["school"], system_prompt="Be brief.")
    path = f"/conversations/{made['id']}"
    said = await talk(services, account, made["id"], 2)
    changes: list[dict[str, Any]] = [
        {"title": "Loops"},
        {"default_model": "openai/gpt-4o-mini"},
        {"folder_id": await folder(account)},
        {"folder_id": None},
        {"is_pinned": True},
        {"is_archived": True},
        {"active_leaf_id": str(said[0].id)},
        {"system_prompt": None},
        {"settings": {"temperature": 1}},
        {"tags": ["b", "a"]},
        {"tags": []},
        {"workspace_path": "/path/to/project"},
    ]
    before = (await account.get(path)).json()
    for change in changes:
        clock.advance(seconds=1)
        answer = await account.request("PATCH", path, json=change)
        after = answer.json()
        expected = {**before, **change, **({"tags": sorted(change["tags"])} if "tags" in change else {})}
        expected |= {"updated_at": after["updated_at"], "archived_at": after["archived_at"]}
        assert after == expected
        assert after["updated_at"] > before["updated_at"]
        assert (await account.get(path)).headers["etag"] == answer.headers["etag"]
        before = after
    assert before["archived_at"] is not None
    answer = await account.request("PATCH", path, json={"is_archived": True})
    assert answer.json()["archived_at"] == before["archived_at"], "it was archived then, and not now"
    assert (await account.request("PATCH", path, json={"is_archived": False})).json()["archived_at"] is None


async def test_expiry_counts_from_the_request(account: Account, clock: ManualClock) -> None:
    clock.stop()
    made = await converse(account, expires_in=3600)
    assert datetime.fromisoformat(made["expires_at"]) == clock.now() + timedelta(hours=1)
    path = f"/conversations/{made['id']}"
    clock.advance(seconds=60)
    changed = (await account.request("PATCH", path, json={"expires_in": 60})).json()
    assert datetime.fromisoformat(changed["expires_at"]) == clock.now() + timedelta(minutes=1)
    assert (await account.request("PATCH", path, json={"expires_in": None})).json()["expires_at"] is None
    temporary = await converse(account, is_temporary=True)
    assert datetime.fromisoformat(temporary["expires_at"]) == clock.now() + timedelta(days=1)
    path = f"/conversations/{temporary['id']}"
    assert (await account.request("PATCH", path, json={"expires_in": None})).json()["expires_at"] is not None


async def test_a_persons_title_stays(services: Services, account: Account) -> None:
    made = await converse(account)
    path = f"/conversations/{made['id']}"
    first = await say(services, account, made["id"], "How do loops work? And why?")
    assert (await account.get(path)).json()["title"] == "How do loops work?"
    await say(services, account, made["id"], "Something else", parent=first)
    assert (await account.get(path)).json()["title"] == "How do loops work?", "set once"
    await account.request("PATCH", path, json={"title": "Loops"})
    await say(services, account, made["id"], "A third thing", parent=first)
    answer = (await account.get(path)).json()
    assert (answer["title"], answer["title_source"]) == ("Loops", "user")
    cleared = (await account.request("PATCH", path, json={"title": None})).json()
    assert (cleared["title"], cleared["title_source"]) == (None, "none")


async def test_a_stale_change_is_refused(services: Services, account: Account) -> None:
    made = await converse(account)
    path = f"/conversations/{made['id']}"
    etag = (await account.get(path)).headers["etag"]
    await say(services, account, made["id"])
    for method in ("PATCH", "DELETE"):
        answer = await account.request(method, path, json={"title": "x"}, headers={"If-Match": etag})
        assert code_of(answer) == (412, "precondition_failed"), "a message came in between"
    etag = (await account.get(path)).headers["etag"]
    assert (await account.request("DELETE", path, headers={"If-Match": etag})).status_code == 204
    assert code_of(await account.get(path)) == (404, "conversation_not_found")


async def test_of_two_changes_at_once_one_wins(account: Account) -> None:
    made = await converse(account)
    requests = [
        account.request("PATCH", f"/conversations/{made['id']}", json={"title": f"{n}"}, headers={"If-Match": '"1"'})
        for n in range(8)
    ]
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*requests))
    assert statuses == [200] + [412] * 7


@pytest.mark.parametrize("count", [3, 501])
async def test_a_deleted_one_is_gone_with_its_messages(services: Services, account: Account, count: int) -> None:
    """A long one is gone at once, too; its rows go by and by."""
    made = await converse(account, client_session_id="session456", tags=["school"])
    said = await talk(services, account, made["id"], 3)
    async with writing(services) as session:
        await session.execute(update(Conversation).values(message_count=count))
    assert (await account.request("DELETE", f"/conversations/{made['id']}")).status_code == 204
    assert (await account.get("/conversations")).json()["items"] == []
    for path in (f"/conversations/{made['id']}", f"/conversations/{made['id']}/messages", f"/messages/{said[0].id}"):
        assert (await account.get(path)).status_code == 404
    assert (await account.request("DELETE", f"/conversations/{made['id']}")).status_code == 404
    await converse(account, client_session_id="session456")
    await services.jobs.run_due()
    async with services.database.read_session() as session:
        left = [await session.scalar(select(func.count()).select_from(table)) for table in (Conversation, Message)]
    assert left == [1, 0]


async def test_a_client_session_has_one_conversation(
    account: Account, stranger: Account, guest: GuestCaller, clock: ManualClock
) -> None:
    made = await converse(account, client_session_id="s", expires_in=60)
    refused = await account.request("POST", "/conversations", json={"client_session_id": "s"})
    assert code_of(refused) == (409, "client_session_taken")
    for other in (stranger, guest):
        assert (await converse(other, client_session_id="s"))["client_session_id"] == "s"
    clock.advance(seconds=61)
    assert (await converse(account, client_session_id="s"))["id"] != made["id"], "the former has expired"


@pytest.mark.parametrize("is_guest", [False, True])
async def test_there_are_only_so_many(make_app: AppFactory, account: Account, is_guest: bool) -> None:
    """Also for requests at the same time."""
    name = "chat_max_guest_conversations" if is_guest else "chat_max_conversations"
    async with make_app(**{name: 2}) as app, client_of(app) as client:
        headers = account.headers
        if is_guest:
            headers = {"Guest-Token": (await client.post(f"{API}/guests")).json()["token"]}
        requests = [client.post(f"{API}/conversations", json={}, headers=headers) for _ in range(6)]
        answers = await asyncio.gather(*requests)
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]
    assert {code_of(answer)[1] for answer in answers if answer.is_error} == {"too_many_conversations"}


@pytest.mark.parametrize(
    "members",
    [
        {"title": ""},
        {"title": "x" * 201},
        {"title": "two\nlines"},
        {"title": "nul\x00"},
        {"default_model": ""},
        {"default_model": "x" * 129},
        {"system_prompt": "x" * 16_001},
        {"settings": []},
        {"settings": {"a": "x" * 20_000}},
        {"settings": {"deep": [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}},
        {"tags": ["x"] * 21},
        {"tags": ["x" * 65]},
        {"tags": [" "]},
        {"tags": None},
        {"is_temporary": "yes"},
        {"expires_in": 59},
        {"expires_in": 10**12},
        {"expires_in": "60"},
        {"folder_id": "x"},
        {"workspace_path": "x" * 1025},
        {"client_session_id": "x" * 129},
        {"user_id": str(new_id())},
        {"kind": "assessment"},
    ],
)
async def test_bad_input_is_refused(account: Account, members: dict[str, Any]) -> None:
    answer = await account.request("POST", "/conversations", json=members)
    assert code_of(answer) == (422, "validation_failed")
    assert (await account.get("/conversations")).json()["items"] == []


@pytest.mark.parametrize(
    "name", ["default_model", "settings", "tags", "is_pinned", "is_archived", "active_leaf_id", "message_count"]
)
async def test_what_must_be_there_cannot_be_taken_away(account: Account, name: str) -> None:
    made = await converse(account)
    answer = await account.request("PATCH", f"/conversations/{made['id']}", json={name: None})
    assert code_of(answer) == (422, "validation_failed")


async def test_every_text_comes_back_as_it_was(account: Account, guest: GuestCaller) -> None:
    text = "“Ünïcødé” 🧑‍🚀 \u202e\u0301 <script>'\"%_\\"
    callers: list[Caller] = [account, guest]
    for caller in callers:
        made = await converse(caller, title=text, tags=[text], system_prompt=f"{text}\n{text}", settings={text: text})
        found = (await caller.get(f"/conversations/{made['id']}")).json()
        assert (found["title"], found["tags"], found["settings"]) == (text, [text], {text: text})
        assert found["system_prompt"] == f"{text}\n{text}"
        assert (await caller.get("/conversations", params={"tag": text})).json()["items"][0]["id"] == made["id"]
        assert UUID(made["id"]).version == 7
