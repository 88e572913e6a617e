"""Exports, and the way back."""

import json

import httpx
import pytest

from app.chat.transfer import exports
from app.chat.types import MessageRole, MessageStatus
from app.main import Services
from tests.chat.stage import converse, make_guest, say, talk
from tests.chat.transfer.files import chatgpt, conversations, counts, imported, rows, shape, tree
from tests.support import Account, register


@pytest.fixture
async def conversation(services: Services, account: Account) -> str:
    """A tree with a fork, an edit, notes, parts and a reply that was cut off."""
    made = await converse(
        account,
        title="Recursion",
        system_prompt="Be brief.",
        settings={"temperature": 0.5},
        tags=["school"],
        workspace_path="projects/ada",
    )
    question = await say(services, account, made["id"], "Question?")
    answer = await say(
        services, account, made["id"], "Answer\n\n```py\n1 < 2\n```", parent=question, role=MessageRole.ASSISTANT,
        model="merit/echo", extra_data={"note": [1, None]}, parts=[{"type": "text", "text": "Answer"}],
    )  # fmt: skip
    await say(
        services, account, made["id"], "cut", parent=answer, role=MessageRole.ASSISTANT, status=MessageStatus.QUEUED
    )
    await say(services, account, made["id"], "Better question?", edited_from_id=question.id)
    return str(made["id"])


async def test_the_native_format_comes_back_as_the_same_tree(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str
) -> None:
    answer = await account.get(f"/conversations/{conversation}/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == 'attachment; filename="conversation.ndjson"'
    stranger = await register(client)
    done = await imported(services, stranger, answer.content)
    assert (done["source"], counts(done)) == ("merit", {"found": 1, "created": 1, "messages_created": 4}), done
    (copy,) = await conversations(stranger)
    copy = (await stranger.get(f"/conversations/{copy['id']}")).json()
    original = (await account.get(f"/conversations/{conversation}")).json()
    same = ("title", "default_model", "system_prompt", "settings", "tags", "workspace_path", "message_count")
    assert {name: copy[name] for name in same} == {name: original[name] for name in same}
    expected, found = await tree(account, conversation), await tree(stranger, copy["id"])
    expected[2]["status"] = "incomplete"  # nobody finishes it elsewhere
    assert shape(found) == shape(expected)
    assert copy["active_leaf_id"] == found[3]["id"]
    assert not {m["id"] for m in found} & {m["id"] for m in expected}
    assert counts(await imported(services, stranger, answer.content)) == {"found": 1, "skipped": 1}
    assert counts(await imported(services, account, answer.content)) == {"found": 1, "skipped": 1}, (
        "it is there already"
    )


async def test_all_conversations_stream_and_come_back(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several steps of each kind."""
    monkeypatch.setattr(exports, "_CONVERSATIONS_AT_ONCE", 2)
    monkeypatch.setattr(exports, "_MESSAGES_AT_ONCE", 2)
    for count in (0, 1, 5):
        await talk(services, account, (await converse(account))["id"], count)
    answer = await account.get("/exports/chat")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert (lines[0]["format"], lines[0]["version"]) == ("merit.chat", 1)
    assert [line["type"] for line in lines].count("conversation") == 4
    stranger = await register(client)
    done = await imported(services, stranger, answer.content)
    assert counts(done) == {"found": 4, "created": 3, "failed": 1, "messages_created": 10}
    assert done["errors"] == [{"item": 1, "error": "It has no messages."}]


async def test_chatgpts_shape_comes_back_too(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str
) -> None:
    answer = await account.get(f"/conversations/{conversation}/export", params={"format": "chatgpt"})
    (exported,) = answer.json()
    assert exported["mapping"][exported["current_node"]]["message"]["content"]["parts"] == ["Better question?"]
    for node_id, node in exported["mapping"].items():
        assert all(exported["mapping"][child]["parent"] == node_id for child in node["children"])
    stranger = await register(client)
    assert counts(await imported(services, stranger, answer.content))["messages_created"] == 4
    (copy,) = await conversations(stranger)
    parents = [line[0] for line in shape(await tree(stranger, copy["id"]))]
    assert parents == [line[0] for line in shape(await tree(account, conversation))]


@pytest.mark.parametrize("format_", ["native", "chatgpt"])
async def test_what_comes_back_to_its_account_adds_nothing(
    services: Services, account: Account, conversation: str, format_: str
) -> None:
    answer = await account.get(f"/conversations/{conversation}/export", params={"format": format_})
    before = await rows(services)
    assert counts(await imported(services, account, answer.content)) == {"found": 1, "skipped": 1}
    assert await rows(services) == before


async def test_an_imported_file_goes_out_as_it_came(services: Services, account: Account) -> None:
    await imported(services, account, [chatgpt()])
    (conversation,) = await conversations(account)
    answer = await account.get(f"/conversations/{conversation['id']}/export", params={"format": "chatgpt"})
    (exported,) = answer.json()
    texts = [node["message"]["content"]["parts"][0] for node in exported["mapping"].values() if node["message"]]
    assert texts == ["Hello", "Hi", "More?"]


async def test_markdown_has_the_active_branch(services: Services, account: Account, conversation: str) -> None:
    answer = await account.get(f"/conversations/{conversation}/export", params={"format": "markdown"})
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.text == "# Recursion\n\n## User\n\nBetter question?\n"
    other = await converse(account)
    first = await say(services, account, other["id"], "Hi  ")
    await say(services, account, other["id"], "Hello", parent=first, role=MessageRole.ASSISTANT, model="merit/echo")
    answer = await account.get(f"/conversations/{other['id']}/export", params={"format": "markdown"})
    assert answer.text.endswith("\n## User\n\nHi\n\n## Assistant (merit/echo)\n\nHello\n")
    empty = await converse(account)
    answer = await account.get(f"/conversations/{empty['id']}/export", params={"format": "markdown"})
    assert answer.text == "# Conversation\n"


async def test_only_their_owner_exports_them(
    services: Services, client: httpx.AsyncClient, account: Account, conversation: str
) -> None:
    stranger, guest = await register(client), await make_guest(client)
    for caller in (stranger, guest):
        answer = await caller.get(f"/conversations/{conversation}/export")
        assert (answer.status_code, answer.json()["code"]) == (404, "conversation_not_found")
    assert [json.loads(line)["type"] for line in (await stranger.get("/exports/chat")).text.splitlines()] == ["export"]
    assert (await guest.get("/exports/chat")).status_code == 401
    theirs = await converse(guest)
    await say(services, guest, theirs["id"], "mine", parent=None)
    assert "mine" in (await guest.get(f"/conversations/{theirs['id']}/export")).text
    answer = await account.get(f"/conversations/{conversation}/export", params={"format": "pdf"})
    assert answer.status_code == 422
