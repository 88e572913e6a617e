"""Forks: copies of a way, of what follows a message, or of everything."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.chat import forks
from app.chat.models import Message
from app.chat.types import MessageRole, MessageStatus
from app.main import Services
from app.search.models import SearchDocument
from tests.auth.stage import code_of
from tests.chat.stage import Caller, GuestCaller, converse, folder, ids, say, statements_of, talk
from tests.chat.test_tree import chain
from tests.conftest import AppFactory, client_of
from tests.support import API, Account


async def fork(caller: Caller, conversation_id: str, message: Message | UUID, mode: str) -> dict[str, Any]:
    """The new conversation."""
    body = {"from_message": str(message if isinstance(message, UUID) else message.id), "mode": mode}
    answer = await caller.request("POST", f"/conversations/{conversation_id}/fork", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def copies(services: Services, conversation_id: str) -> list[Message]:
    """The rows of a conversation in their order."""
    async with services.database.read_session() as session:
        statement = select(*Message.__table__.c).where(Message.conversation_id == UUID(conversation_id))
        return list(await session.rows(statement.order_by(Message.seq)))  # type: ignore[arg-type] # they read like ones


@pytest.fixture
async def tree(services: Services, account: Account) -> dict[str, Any]:
    """A conversation: a and b, and below b both c, with d, and e, which is an edited c."""
    place = await folder(account)
    made = await converse(
        account, title="Recursion", tags=["school"], system_prompt="Be brief.", settings={"a": 1}, folder_id=place
    )
    a, b = await talk(services, account, made["id"], 2)
    c = await say(services, account, made["id"], "c", parent=b, extra_data={"tokens": 1}, parts=[{"type": "text"}])
    d = await say(services, account, made["id"], "d", parent=c, role=MessageRole.ASSISTANT, status=MessageStatus.QUEUED)
    e = await say(services, account, made["id"], "e", parent=b, edited_from_id=c.id, model="merit/echo")
    return {"id": made["id"], "made": made, "a": a, "b": b, "c": c, "d": d, "e": e}


@pytest.mark.parametrize(
    ("start", "mode", "expected", "leaf"),
    [
        ("c", "path", {"message 0": None, "message 1": "message 0", "c": "message 1"}, "c"),
        ("a", "path", {"message 0": None}, "message 0"),
        ("c", "tail", {"c": None, "d": "c"}, "d"),
        ("b", "tail", {"message 1": None, "c": "message 1", "d": "c", "e": "message 1"}, "e"),
        ("c", "tree", {"message 0": None, "message 1": "message 0", "c": "message 1", "d": "c", "e": "message 1"}, "c"),
    ],
)
async def test_what_is_copied(
    services: Services,
    account: Account,
    tree: dict[str, Any],
    start: str,
    mode: str,
    expected: dict[str, Any],
    leaf: str,
) -> None:
    made = await fork(account, tree["id"], tree[start], mode)
    found = await copies(services, made["id"])
    texts = {message.id: message.content for message in found}
    assert {message.content: message.parent_id and texts[message.parent_id] for message in found} == expected
    assert [message.seq for message in found] == list(range(1, len(expected) + 1))
    assert made["message_count"] == len(expected)
    assert texts[UUID(made["active_leaf_id"])] == leaf
    assert not set(ids(found)) & {str(tree[name].id) for name in "abcde"}
    by_text = {message.content: message for message in found}
    if "d" in by_text:
        assert by_text["d"].status is MessageStatus.INCOMPLETE, "nobody will finish the copy"
    if "c" in by_text:
        assert (by_text["c"].extra_data, by_text["c"].parts) == ({"tokens": 1}, [{"type": "text"}])
        assert by_text["c"].created_at == tree["c"].created_at
    if "e" in by_text:
        assert by_text["e"].edited_from_id == by_text["c"].id
        assert by_text["e"].model == "merit/echo"


async def test_the_conversation_around_it_is_the_same(
    services: Services, account: Account, tree: dict[str, Any]
) -> None:
    made = await fork(account, tree["id"], tree["e"], "path")
    for name in ("title", "title_source", "tags", "system_prompt", "settings", "folder_id", "default_model"):
        assert made[name] == tree["made"][name], name
    before = await copies(services, tree["id"])
    await say(services, account, made["id"], "more")
    assert len(await copies(services, tree["id"])) == len(before) == 5, "the original stays as it is"


async def test_the_copies_can_be_found(services: Services, account: Account, guest: GuestCaller) -> None:
    callers: list[Caller] = [account, guest]
    for caller in callers:
        made = await converse(caller)
        forked = await fork(caller, made["id"], await say(services, caller, made["id"], "Hello"), "path")
        temporary = await converse(caller, is_temporary=True)
        await fork(caller, temporary["id"], await say(services, caller, temporary["id"], "secret"), "path")
        await services.jobs.run_due()
        async with services.database.read_session() as session:
            documents = await session.rows(select(*SearchDocument.__table__.c))
        assert {str(row.group_id) for row in documents} >= {made["id"], forked["id"]}
        assert {row.body for row in documents} == {"Hello"}


async def test_a_copy_that_is_gone_is_not_indexed(services: Services, account: Account) -> None:
    """It was deleted before the job ran."""
    made = await converse(account)
    forked = await fork(account, made["id"], await say(services, account, made["id"], "Hello"), "path")
    assert (await account.request("DELETE", f"/conversations/{forked['id']}")).status_code == 204
    await services.jobs.run_due()
    async with services.database.read_session() as session:
        documents = await session.rows(select(*SearchDocument.__table__.c))
    assert [str(row.group_id) for row in documents] == [made["id"]]
    assert (await services.jobs.health()).dead == 0


async def test_long_ones_are_copied_in_batches(services: Services, account: Account) -> None:
    made = await converse(account)
    message_ids = await chain(services, made["id"], 600)
    for mode in ("path", "tree", "tail"):
        with statements_of(services) as sent:
            forked = await fork(account, made["id"], message_ids[0 if mode == "tail" else -1], mode)
        assert forked["message_count"] == 600
        assert len(sent) < 40, len(sent)
        found = await copies(services, forked["id"])
        assert [message.content for message in found] == [f"message {n}" for n in range(600)]
        assert [message.parent_id for message in found[1:]] == [message.id for message in found[:-1]]


async def test_too_long_ones_are_not_copied(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "MAX_FORKED_MESSAGES", 3)
    monkeypatch.setattr(forks, "_LOOKED_AT_ONCE", 2)
    made = await converse(account)
    said = await talk(services, account, made["id"], 4)
    path = f"/conversations/{made['id']}/fork"
    for start, mode in ((said[3], "path"), (said[0], "tree"), (said[0], "tail")):
        body = {"from_message": str(start.id), "mode": mode}
        assert code_of(await account.request("POST", path, json=body)) == (409, "fork_too_large")
    assert (await fork(account, made["id"], said[1], "tail"))["message_count"] == 3
    assert len((await account.get("/conversations")).json()["items"]) == 2


async def test_a_fork_counts_as_a_conversation(services: Services, make_app: AppFactory, account: Account) -> None:
    made = await converse(account)
    message = await say(services, account, made["id"])
    async with make_app(chat_max_conversations=1) as app, client_of(app) as client:
        body = {"from_message": str(message.id)}
        answer = await client.post(f"{API}/conversations/{made['id']}/fork", json=body, headers=account.headers)
    assert code_of(answer) == (409, "too_many_conversations")
