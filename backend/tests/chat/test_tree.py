"""Reading the tree: ways to leaves, siblings, and the tree as a whole."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, update

from app.chat.models import Conversation, Message
from app.chat.repository import MessageRepository
from app.chat.types import MessageRole, MessageStatus
from app.core.ids import new_id
from app.main import Services
from tests.auth.stage import code_of
from tests.chat.stage import converse, ids, say, statements_of, talk, writing
from tests.support import Account


async def pages(account: Account, path: str, **query: Any) -> list[list[dict[str, Any]]]:
    """Every page of a list."""
    found: list[list[dict[str, Any]]] = []
    cursor: str | None = None
    while not found or cursor is not None:
        answer = await account.get(path, params={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["items"])
        cursor = answer.json()["next_cursor"]
    return found


async def chain(services: Services, conversation_id: str, count: int) -> list[UUID]:
    """The ids of messages below each other, stored at once."""
    message_ids = [new_id() for _ in range(count)]
    now = services.clock.now()
    rows: list[dict[str, Any]] = [
        {"id": id_, "conversation_id": UUID(conversation_id), "parent_id": message_ids[number - 1] if number else None,
         "seq": number + 1, "role": MessageRole.USER, "content": f"message {number}", "status": MessageStatus.COMPLETE,
         "extra_data": {}, "created_at": now, "updated_at": now}
        for number, id_ in enumerate(message_ids)
    ]  # fmt: skip
    async with writing(services) as session:
        await session.execute(insert(Message), rows)
        await session.execute(
            update(Conversation)
            .where(Conversation.id == UUID(conversation_id))
            .values(message_count=count, active_leaf_id=message_ids[-1])
        )
    return message_ids


async def test_a_way_is_read_from_its_end(services: Services, account: Account) -> None:
    made = await converse(account)
    said = ids(await talk(services, account, made["id"], 5))
    found = await pages(account, f"/conversations/{made['id']}/messages", limit=2)
    assert [ids(page) for page in found] == [said[3:], said[1:3], said[:1]]
    assert [(item["seq"], item["role"], item["content"]) for item in found[0]] == [
        (4, "assistant", "message 3"),
        (5, "user", "message 4"),
    ]


async def test_an_empty_conversation_has_no_messages(account: Account) -> None:
    made = await converse(account)
    for name in ("messages", "tree"):
        answer = await account.get(f"/conversations/{made['id']}/{name}")
        assert answer.json() == {"items": [], "next_cursor": None}


async def test_branches_go_their_own_way(services: Services, account: Account) -> None:
    made = await converse(account)
    trunk = await talk(services, account, made["id"], 2)
    left = await say(services, account, made["id"], "left", parent=trunk[1])
    right = await say(services, account, made["id"], "right", parent=trunk[1])
    root = await say(services, account, made["id"], "another beginning", edited_from_id=trunk[0].id)
    path = f"/conversations/{made['id']}/messages"
    for leaf, expected in ((left, [*trunk, left]), (right, [*trunk, right]), (root, [root]), (trunk[0], trunk[:1])):
        assert ids((await account.get(path, params={"leaf": str(leaf.id)})).json()["items"]) == ids(expected)
    assert ids((await account.get(path)).json()["items"]) == ids([root]), "the newest is the active leaf"
    change = {"active_leaf_id": str(left.id)}
    assert (await account.request("PATCH", f"/conversations/{made['id']}", json=change)).status_code == 200
    assert ids((await account.get(path)).json()["items"]) == ids([*trunk, left])
    for message, expected in ((left, [left, right]), (right, [left, right]), (root, [trunk[0], root])):
        found = await pages(account, f"/messages/{message.id}/siblings", limit=1)
        assert [ids(page) for page in found] == [ids([one]) for one in expected]


async def test_a_message_is_read_by_its_id(services: Services, account: Account) -> None:
    made = await converse(account)
    said = await say(services, account, made["id"], "Hello", extra_data={"tokens": 1}, parts=[{"type": "text"}])
    found = (await account.get(f"/messages/{said.id}")).json()
    assert (found["content"], found["extra_data"], found["parts"]) == ("Hello", {"tokens": 1}, [{"type": "text"}])
    assert (found["conversation_id"], found["status"]) == (made["id"], "complete")


async def test_the_tree_has_places_and_no_texts(services: Services, account: Account) -> None:
    made = await converse(account)
    said = await talk(services, account, made["id"], 3)
    edited = await say(services, account, made["id"], "again", parent=said[1], edited_from_id=said[2].id)
    found = await pages(account, f"/conversations/{made['id']}/tree", limit=3)
    assert [ids(page) for page in found] == [ids(said), ids([edited])]
    node = found[1][0]
    assert (node["seq"], node["parent_id"], node["edited_from_id"]) == (4, str(said[1].id), str(said[2].id))
    assert "content" not in node


async def test_a_cursor_belongs_to_its_conversation(services: Services, account: Account) -> None:
    made, other = await converse(account), await converse(account)
    said = await talk(services, account, made["id"], 3)
    for path, query in (
        ("/conversations/{}/messages", {"limit": 1}),
        ("/conversations/{}/tree", {"limit": 1}),
    ):
        cursor = (await account.get(path.format(made["id"]), params=query)).json()["next_cursor"]
        answer = await account.get(path.format(other["id"]), params={"cursor": cursor})
        assert code_of(answer) == (422, "invalid_cursor")
    answer = await account.get(f"/messages/{said[0].id}/siblings", params={"cursor": "x"})
    assert code_of(answer) == (422, "invalid_cursor")


async def test_a_page_costs_the_same_wherever_it_lies(services: Services, account: Account) -> None:
    """A way longer than one recursion may climb, whose pages are two statements each."""
    made = await converse(account)
    message_ids = await chain(services, made["id"], 1_200)
    path, seen = f"/conversations/{made['id']}/messages", 0
    cursor: dict[str, Any] = {}
    while seen < len(message_ids):
        with statements_of(services) as sent:
            page = (await account.get(path, params={"limit": 100, **cursor})).json()
        assert len(sent) <= 2, [one[:300] for one in sent]
        seen += len(page["items"])
        assert ids(page["items"]) == ids([{"id": id_} for id_ in message_ids[-seen:][:100]])
        cursor = {"cursor": page["next_cursor"]}
    assert cursor == {"cursor": None}


@pytest.mark.parametrize("limit", [1, 499, 500, 501, 1_000, 1_100, 1_200, 5_000])
async def test_long_ways_are_climbed_in_several_steps(services: Services, account: Account, limit: int) -> None:
    """MariaDB ends a recursion after 1000 steps in silence."""
    made = await converse(account)
    message_ids = await chain(services, made["id"], 1_100)
    async with services.database.read_session() as session:
        messages = MessageRepository(session, services.clock)
        found = await messages.path(UUID(made["id"]), message_ids[-1], limit)
        assert [message.id for message in found] == message_ids[-limit:]
        nodes = await messages.path_nodes(UUID(made["id"]), message_ids[-1], limit)
        assert [node.id for node in nodes] == message_ids[-limit:]
