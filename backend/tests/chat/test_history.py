"""DuilioCode's operations by name: saving a message of a session, and its recent history."""

import asyncio
import json
from typing import Any

import pytest

from app.main import Services
from tests.auth.stage import code_of
from tests.chat.stage import Caller, GuestCaller, converse, ids, say
from tests.chat.transfer.files import conversations, imported, tree
from tests.conftest import AppFactory, client_of
from tests.support import API, Account, ManualClock

PATH = "/conversation-history"


async def save(caller: Caller, content: str, **members: Any) -> dict[str, Any]:
    """A saved message."""
    body = {"session_id": "session456", "role": "user", "content": content, **members}
    answer = await caller.request("POST", PATH, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def recent(caller: Caller, session_id: str = "session456", **query: Any) -> list[dict[str, Any]]:
    """The history of a session."""
    answer = await caller.get(PATH, params={"session_id": session_id, **query})
    assert answer.status_code == 200, answer.text
    return list(answer.json())


async def test_a_session_is_a_conversation(account: Account) -> None:
    first = await save(
        account,
        "create a file teste.txt",
        model="qwen2.5-coder:14b",
        workspace_path="/path/to/project",
        extra_data={"tokens": 150},
    )
    assert (first["session_id"], first["role"], first["model"]) == ("session456", "user", "qwen2.5-coder:14b")
    assert (first["workspace_path"], first["extra_data"]) == ("/path/to/project", {"tokens": 150})
    second = await save(account, "Done.", role="assistant")
    third = await save(account, "Thanks", workspace_path="/elsewhere")
    assert await recent(account) == [first, second, third]
    assert [one["workspace_path"] for one in await recent(account)] == ["/path/to/project"] * 2 + ["/elsewhere"]
    assert ids(await recent(account, limit=2)) == ids([second, third])
    made = (await account.get(f"/conversations/{first['conversation_id']}")).json()
    assert (made["title"], made["default_model"]) == ("create a file teste.txt", "qwen2.5-coder:14b")
    assert (made["client_session_id"], made["workspace_path"], made["message_count"]) == ("session456", "/elsewhere", 3)
    way = (await account.get(f"/conversations/{made['id']}/messages")).json()["items"]
    assert [item["parent_id"] for item in way] == [None, first["id"], second["id"]]


async def test_a_message_from_elsewhere_has_the_path_of_its_conversation(services: Services, account: Account) -> None:
    made = await converse(account, client_session_id="session456", workspace_path="/project")
    await say(services, account, made["id"], "said in the browser")
    assert [message["workspace_path"] for message in await recent(account)] == ["/project"]


async def test_copies_keep_the_path_of_each_message(services: Services, account: Account, stranger: Account) -> None:
    """Forks, and what is exported and imported again."""
    first, last = [await save(account, path, workspace_path=path) for path in ("/a", "/b")]
    path = f"/conversations/{first['conversation_id']}"
    fork = await account.request("POST", f"{path}/fork", json={"from_message": last["id"], "mode": "path"})
    exports = [await account.get(f"{of}/export") for of in (path, f"/conversations/{fork.json()['id']}")]
    for answer in exports:
        assert [line["workspace_path"] for line in map(json.loads, answer.text.splitlines()[2:])] == ["/a", "/b"]
    await imported(services, stranger, exports[0].content)
    (copy,) = await conversations(stranger)
    assert [line["workspace_path"] for line in await tree(stranger, copy["id"])] == ["/a", "/b"]


async def test_it_goes_on_where_the_conversation_is(account: Account) -> None:
    first, second = await save(account, "one"), await save(account, "two")
    change = {"active_leaf_id": first["id"]}
    await account.request("PATCH", f"/conversations/{first['conversation_id']}", json=change)
    third = await save(account, "three")
    assert ids(await recent(account)) == ids([first, third])
    assert second["id"] not in ids(await recent(account))


async def test_first_messages_at_once_make_one_conversation(account: Account, guest: GuestCaller) -> None:
    for caller in (account, guest):
        saved = await asyncio.gather(*(save(caller, f"message {number}") for number in range(8)))
        assert len({message["conversation_id"] for message in saved}) == 1
        assert {message["content"] for message in await recent(caller)} == {f"message {n}" for n in range(8)}


async def test_a_repeated_request_saves_once(account: Account) -> None:
    body = {"session_id": "session456", "role": "user", "content": "Hello"}
    headers = {"Idempotency-Key": "one"}
    answers = [await account.request("POST", PATH, json=body, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len(await recent(account)) == 1


async def test_sessions_of_others_are_others(account: Account, stranger: Account, guest: GuestCaller) -> None:
    callers: list[Caller] = [account, stranger, guest]
    saved = [await save(caller, str(number)) for number, caller in enumerate(callers)]
    assert len({message["conversation_id"] for message in saved}) == 3
    for caller, message in zip(callers, saved, strict=True):
        assert ids(await recent(caller)) == [message["id"]]


async def test_an_unknown_or_expired_session_has_no_history(account: Account, clock: ManualClock) -> None:
    await converse(account, client_session_id="session456", expires_in=60)
    clock.advance(seconds=61)
    for session_id in ("session456", "session457"):
        answer = await account.get(PATH, params={"session_id": session_id})
        assert code_of(answer) == (404, "conversation_not_found")
    await save(account, "anew")
    assert len(await recent(account)) == 1


async def test_the_number_of_conversations_counts(make_app: AppFactory, account: Account) -> None:
    await converse(account)
    async with make_app(chat_max_conversations=1) as app, client_of(app) as client:
        body = {"session_id": "session456", "role": "user", "content": "Hello"}
        answer = await client.post(f"{API}{PATH}", json=body, headers=account.headers)
    assert code_of(answer) == (409, "too_many_conversations")


@pytest.mark.parametrize(
    "members",
    [{"session_id": ""}, {"session_id": "x" * 129}, {"role": "robot"}, {"content": None}, {"content": "nul\x00"},
     {"extra_data": []}, {"extra_data": {"x": "x" * 20_000}}, {"model": "x" * 129}, {"user_id": "x"},
     {"workspace_path": "x" * 1025}],
)  # fmt: skip
async def test_bad_input_is_refused(account: Account, members: dict[str, Any]) -> None:
    body = {"session_id": "s", "role": "user", "content": "Hello", **members}
    assert code_of(await account.request("POST", PATH, json=body)) == (422, "validation_failed")
    assert (await account.get("/conversations")).json()["items"] == []


async def test_a_message_has_only_so_many_bytes(services: Services, make_app: AppFactory, account: Account) -> None:
    """In UTF-8, where the body of a request may be larger than that."""
    async with make_app(max_body_bytes=1_000_000) as app, client_of(app) as client:
        body = {"session_id": "s", "role": "user", "content": "é" * 131_073}
        answer = await client.post(f"{API}{PATH}", json=body, headers=account.headers)
    assert code_of(answer) == (422, "message_too_large")
    assert (await account.get("/conversations")).json()["items"] == []
