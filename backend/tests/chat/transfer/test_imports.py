"""Imports: what comes in, once, and what does not (C4)."""

import asyncio
from typing import Any

import httpx
import pytest

from app.chat.transfer import archives
from app.chat.transfer import jobs as transfer_jobs
from app.chat.transfer.importer import ConversationImporter
from app.main import Services
from tests.chat.stage import say
from tests.chat.transfer.files import (
    chatgpt,
    chatgpt_message,
    conversations,
    counts,
    imported,
    open_webui,
    rows,
    shape,
    tree,
    upload,
    zipped,
)
from tests.conftest import AppFactory, client_of
from tests.support import Account, ManualClock, register

FIVE = (5, 15, 0)


async def filled(services: Services) -> tuple[int, int, int]:
    """How many conversations, messages and parts of files there are."""
    found = await rows(services)
    return found["conversations"], found["messages"], found["import_chunks"]


async def test_a_chatgpt_export_comes_in(services: Services, account: Account) -> None:
    done = await imported(services, account, [chatgpt()])
    assert (done["status"], done["source"]) == ("done", "chatgpt")
    assert counts(done) == {"found": 1, "created": 1, "messages_created": 3}
    (conversation,) = await conversations(account)
    assert (conversation["title"], conversation["message_count"]) == ("Talk c-1", 3)
    found = await tree(account, conversation["id"])
    assert [(m["role"], m["content"], m["model"]) for m in found] == [
        ("user", "Hello", None),
        ("assistant", "Hi", "gpt-4o"),
        ("user", "More?", None),
    ]
    assert [line[0] for line in shape(found)] == [None, 0, 1]
    assert conversation["active_leaf_id"] == found[-1]["id"]
    assert found[0]["created_at"].startswith("2023-11-14T22:13:20")
    path = (await account.get(f"/conversations/{conversation['id']}/messages")).json()["items"]
    assert [message["content"] for message in path] == ["Hello", "Hi", "More?"]


async def test_an_open_webui_export_comes_in(services: Services, account: Account) -> None:
    done = await imported(services, account, [open_webui()])
    assert (done["source"], counts(done)) == ("openwebui", {"found": 1, "created": 1, "messages_created": 3})
    (conversation,) = await conversations(account)
    assert (conversation["is_pinned"], conversation["is_archived"], conversation["tags"]) == (True, True, ["school"])
    assert conversation["default_model"] == "llama3"
    found = await tree(account, conversation["id"])
    assert [line[0] for line in shape(found)] == [None, 0, 0]
    assert conversation["active_leaf_id"] == found[2]["id"]
    assert found[2]["created_at"] == found[0]["created_at"], "milliseconds and seconds"


@pytest.mark.parametrize(
    "content",
    [
        [chatgpt("c-1"), chatgpt("c-2")],
        [open_webui("w-1"), open_webui("w-2")],
        zipped(conversations_dot_json=[chatgpt("c-1")], **{"conversations-001_dot_json": [chatgpt("c-2")]}),
    ],
    ids=["chatgpt", "open webui", "zip"],
)
async def test_importing_a_file_again_adds_nothing(services: Services, account: Account, content: Any) -> None:
    """C4, also where both imports run at once."""
    first = await imported(services, account, content)
    assert first["created"] == 2
    before = await rows(services)
    assert before["import_chunks"] == 0, "the file itself is gone"
    assert before["search_documents"] == before["messages"] > 0
    assert counts(await imported(services, account, content)) == {"found": 2, "skipped": 2}
    await asyncio.gather(upload(account, content), upload(account, content))
    await services.jobs.run_due()
    assert await rows(services) == before


async def test_two_at_once_add_each_message_once(services: Services, account: Account, make_app: AppFactory) -> None:
    """C4, over two workers."""
    content = [chatgpt(f"c-{n}") for n in range(5)]
    await upload(account, content)
    await upload(account, content)
    async with make_app() as other:
        await asyncio.gather(services.jobs.run_due(), other.state.merit.jobs.run_due())
    assert await filled(services) == FIVE
    items = (await account.get("/imports")).json()["items"]
    assert [item["status"] for item in items] == ["done", "done"]
    assert sum(item["created"] for item in items) == 5
    assert sum(item["skipped"] for item in items) == 5


async def test_a_long_conversation_comes_in_once(services: Services, account: Account) -> None:
    """C4 with 10,000 messages."""
    long = chatgpt("long", tuple(f"message {n}" for n in range(10_000)))
    for node in long["mapping"].values():
        if node["message"]:
            node["message"]["author"]["role"] = "tool"  # which the search does not look at, and need not here
    assert counts(await imported(services, account, [long])) == {"found": 1, "created": 1, "messages_created": 10_000}
    assert counts(await imported(services, account, [long])) == {"found": 1, "skipped": 1}
    assert (await rows(services))["messages"] == 10_000


async def test_only_what_is_new_of_a_conversation_is_added(services: Services, account: Account) -> None:
    await imported(services, account, [chatgpt(texts=("Hello", "Hi"))])
    (conversation,) = await conversations(account)
    mine = await say(services, account, conversation["id"], "said here")
    grown = chatgpt(texts=("Hello", "Hi", "More?"))
    assert counts(await imported(services, account, [grown])) == {"found": 1, "updated": 1, "messages_created": 1}
    (after,) = await conversations(account)
    found = await tree(account, after["id"])
    assert [m["content"] for m in found] == ["Hello", "Hi", "said here", "More?"]
    assert after["message_count"] == 4
    assert after["active_leaf_id"] == found[3]["id"]
    assert found[2]["id"] == str(mine.id)
    assert shape(found)[3][0] == 1, "below the same parent as in the file"
    assert counts(await imported(services, account, [grown])) == {"found": 1, "skipped": 1}


async def test_a_deleted_conversation_comes_in_anew(services: Services, account: Account) -> None:
    await imported(services, account, [chatgpt()])
    (conversation,) = await conversations(account)
    await account.request("DELETE", f"/conversations/{conversation['id']}")
    assert (await imported(services, account, [chatgpt()]))["created"] == 1


async def test_after_a_crash_it_goes_on(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """C4, in the middle: what stands stands, nothing comes twice, and the counts are right."""
    take_in = ConversationImporter.take_in
    calls = 0

    async def crash(self: ConversationImporter, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        outcome = await take_in(self, *arguments)
        if calls == 3:
            raise ConnectionResetError
        return outcome

    monkeypatch.setattr(ConversationImporter, "take_in", crash)
    clock.stop()  # the job is tried again when the clock says so, and not because this machine is slow
    answer = await upload(account, [chatgpt(f"c-{n}") for n in range(5)])
    await services.jobs.run_due()
    half = (await account.get(f"/imports/{answer.json()['id']}")).json()
    assert (half["status"], counts(half)) == ("running", {"found": 5, "created": 2, "messages_created": 6})
    clock.advance(minutes=5)
    await services.jobs.run_due()
    done = (await account.get(f"/imports/{answer.json()['id']}")).json()
    assert (done["status"], counts(done)) == ("done", {"found": 5, "created": 5, "messages_created": 15})
    assert await filled(services) == FIVE


async def test_what_never_works_is_given_up(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_jobs, "MAX_ATTEMPTS", 1)
    monkeypatch.setattr(ConversationImporter, "take_in", None)
    done = await imported(services, account, [chatgpt()])
    assert (done["status"], done["errors"]) == ("failed", [{"error": "The import failed; tell the operator."}])
    assert (await rows(services))["import_chunks"] == 0


async def test_a_bad_conversation_keeps_no_other_out(services: Services, account: Account) -> None:
    cycle = chatgpt("cycle")
    cycle["mapping"]["n0"]["parent"] = "n2"
    empty_cycle = chatgpt("empty cycle")
    empty_cycle["mapping"] |= {"x": {"parent": "y"}, "y": {"parent": "x"}}
    bad: list[Any] = [
        "text",
        {**chatgpt(), "mapping": None},
        cycle,
        empty_cycle,
        chatgpt("empty", ()),
        chatgpt("huge", ("x" * 300_000,)),
        chatgpt(None),  # type: ignore[arg-type] # as a file may have it
    ]
    done = await imported(services, account, [chatgpt("c-1"), *bad, chatgpt("c-2")])
    assert counts(done) == {"found": 9, "created": 2, "failed": 7, "messages_created": 6}
    assert [fault["item"] for fault in done["errors"]] == list(range(1, 8))
    assert "cycle" in done["errors"][2]["error"]
    assert "cycle" in done["errors"][3]["error"]


async def test_strange_content_does_no_harm(services: Services, account: Account) -> None:
    strange = chatgpt("strange", ("plain",), title="a\x00b\n" * 200, create_time=1e300, default_model_slug=7)
    parts = [{"content_type": "image"}, "seen", {"text": "\ud83d\ude00\u0007"}, None]
    strange["mapping"] |= {
        "lost": {"message": chatgpt_message("orphan"), "parent": "nowhere"},
        "hidden": {"message": chatgpt_message("x", metadata={"is_visually_hidden_from_conversation": True})},
        "nobody": {"message": chatgpt_message("x", "robot"), "parent": "n0"},
        "mixed": {"message": chatgpt_message("", content={"parts": parts}, create_time=-1), "parent": "nobody"},
        "code": {"message": chatgpt_message("", content={"text": "1+1"}, create_time=True), "parent": "mixed"},
        "none": None,
        "later": {"message": chatgpt_message("later", create_time=9e9), "parent": "code"},
    }
    done = await imported(services, account, [{**strange, "current_node": "nobody"}])
    assert counts(done) == {"found": 1, "created": 1, "messages_created": 5}, done
    (conversation,) = await conversations(account)
    found = {m["content"]: m for m in await tree(account, conversation["id"])}
    assert set(found) == {"plain", "orphan", "seen\n😀", "1+1", "later"}
    assert found["seen\n😀"]["parent_id"] == found["plain"]["id"], "below the nearest message"
    assert found["orphan"]["parent_id"] is None
    assert conversation["active_leaf_id"] == found["plain"]["id"]
    assert len(conversation["title"]) <= 200


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b'[{"hello": 1}]',
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b"PK\x03\x04 broken",
        zipped(readme_dot_txt=b"hello"),
        zipped(conversations_dot_json=b"{"),
        b'{"type": "export", "format": "merit.chat", "version": 99}',
        b'{"type": "export", "format": "merit.chat", "version": 1}\n{"type": "message"}',
        b'{"type": "export", "format": "merit.chat", "version": 1}\n7',
    ],
    ids=range(13),
)
async def test_what_is_no_export_fails_with_a_word(services: Services, account: Account, content: bytes) -> None:
    done = await imported(services, account, content)
    assert (done["status"], done["created"]) == ("failed", 0)
    assert done["errors"][0]["error"]
    assert await filled(services) == (0, 0, 0)


async def test_bombs_and_paths_do_nothing(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes are counted while reading, whatever a header claims; nothing is ever written to a path."""
    monkeypatch.setattr(archives, "MAX_DOCUMENT_BYTES", 2**20)
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 2**21)
    bomb = b'["' + b"x" * 2**22 + b'"]'
    assert (await imported(services, account, zipped(conversations_dot_json=bomb)))["status"] == "failed"
    parts = {f"conversations-{n}_dot_json": b"[" + b" " * (2**20 - 2) + b"]" for n in range(3)}
    assert (await imported(services, account, zipped(**parts)))["status"] == "failed"
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    assert (await imported(services, account, zipped(**parts)))["status"] == "failed"
    names = {"..__..__etc__conversations_dot_json": [chatgpt("c-1")], "__tmp__conversations_dot_json": [chatgpt("c-2")]}
    assert (await imported(services, account, zipped(**names)))["created"] == 2


async def test_a_file_is_read_only_for_those_who_may(
    services: Services, client: httpx.AsyncClient, account: Account
) -> None:
    assert (await client.post("/api/v1/imports", files={"file": b"x" * 10**6})).status_code == 401
    assert (await account.request("POST", "/imports")).json()["code"] == "no_file"
    assert (await account.request("POST", "/imports", data={"file": "text"})).status_code == 400
    assert (await account.request("POST", "/imports", files={"other": b"x"})).json()["code"] == "no_file"
    two = [("file", b"x"), ("file", b"y")]
    assert (await account.request("POST", "/imports", files=two)).status_code == 400
    assert (await account.get("/imports")).json()["items"] == []


async def test_files_are_bounded(account: Account, make_app: AppFactory, client: httpx.AsyncClient) -> None:

    async with make_app(chat_import_max_bytes=65_536) as application, client_of(application) as small:
        content = {"file": b"x" * 65_537}
        answer = await small.post("/api/v1/imports", files=content, headers=account.headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "import_too_large")
        answer = await small.post("/api/v1/imports", files={"file": b"x" * 10**5}, headers=account.headers)
        assert answer.status_code == 413
    for _ in range(3):
        assert (await upload(account, [chatgpt()])).status_code == 202
    answer = await upload(account, [chatgpt()])
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_imports")


async def test_everyone_sees_their_own(services: Services, client: httpx.AsyncClient, account: Account) -> None:
    stranger = await register(client)
    await imported(services, account, [chatgpt()])
    done = await imported(services, stranger, [chatgpt()])
    assert done["created"] == 1, "the same file is another's too"
    assert (await account.get(f"/imports/{done['id']}")).json()["code"] == "import_not_found"
    page = (await account.get("/imports", params={"limit": 1})).json()
    assert (len(page["items"]), page["next_cursor"]) == (1, None)
    assert len(page["items"][0]["file_sha256"]) == 64


async def test_a_repeated_request_is_one_import(account: Account) -> None:
    key = {"Idempotency-Key": "one"}
    first, again = [await upload(account, [chatgpt()], headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await account.get("/imports")).json()["items"]) == 1
    assert (await upload(account, [chatgpt("c-2")], headers=key)).json()["code"] == "idempotency_key_reused"
