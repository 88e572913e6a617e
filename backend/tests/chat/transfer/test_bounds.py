"""Trees in any order, and what is more than there may be."""

import asyncio
import io
import json
import zipfile
from typing import Any

import pytest

from app.chat.transfer import archives, importer, preparing
from app.chat.transfer.models import Import
from app.chat.transfer.repository import ImportRepository
from app.chat.transfer.service import ImportService
from app.chat.transfer.trees import in_order
from app.chat.transfer.types import ItemError, ParsedMessage
from app.chat.types import MessageRole
from app.core.ids import new_id
from app.main import Services
from tests.chat.transfer.files import chatgpt, conversations, counts, imported, open_webui, upload, zipped
from tests.conftest import AppFactory, client_of
from tests.support import API, Account, ManualClock


def message(id_: str, parent: str | None) -> ParsedMessage:
    return ParsedMessage(id_, parent, MessageRole.USER, id_)


def native(*lines: dict[str, Any]) -> bytes:
    header = {"type": "export", "format": "merit.chat", "version": 1}
    return "\n".join(json.dumps(line) for line in (header, *lines)).encode()


def line(type_: str, id_: str, **members: Any) -> dict[str, Any]:
    return {"type": type_, "id": id_, **members}


def test_children_may_come_before_their_parents() -> None:
    tree = [message("c", "b"), message("b", "a"), message("d", "a"), message("a", None), message("e", "lost")]
    assert [(one.id, one.parent_id) for one in in_order(tree)] == [
        ("a", None), ("e", None), ("b", "a"), ("d", "a"), ("c", "b"),
    ]  # fmt: skip


@pytest.mark.parametrize("ids", [["a", "a"], ["ab", "ba"], ["aa"]], ids=["twice", "circle", "itself"])
def test_what_is_no_tree_is_refused(ids: list[str]) -> None:
    with pytest.raises(ItemError):
        in_order([message(id_[0], id_[1:] or None) for id_ in ids])


def test_deep_trees_are_no_trouble() -> None:
    deep = [message(str(n), str(n - 1) if n else None) for n in range(50_000)]
    assert len(in_order(deep[::-1])) == 50_000


async def test_lines_that_are_wrong_cost_their_conversation_only(services: Services, account: Account) -> None:
    said = {"role": "user", "content": "Hello"}
    done = await imported(
        services,
        account,
        native(
            line("conversation", "not a uuid", active_leaf_id="gone"),
            line("message", "m1", **said),
            line("conversation", "2", title="two\nlines"),
            line("message", "m1", **said),
            line("conversation", "3"),
            line("message", "m1", role="king", content="Hello"),
            line("conversation", "4"),
            line("message", "m1", role="user", content="a\u0000"),
            line("conversation", "5", settings={"deep": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}),
            line("message", "m1", **said),
        ),
    )
    assert counts(done) == {"found": 5, "created": 1, "failed": 4, "messages_created": 1}
    assert [fault["item"] for fault in done["errors"]] == [1, 2, 3, 4]
    (conversation,) = await conversations(account)
    assert conversation["active_leaf_id"] is not None


async def test_an_account_has_so_many_conversations(make_app: AppFactory, account: Account) -> None:
    async with make_app(chat_max_conversations=1) as application, client_of(application) as client:
        files = {"file": json.dumps([chatgpt("c-1"), chatgpt("c-2")]).encode()}
        answer = await client.post(f"{API}/imports", files=files, headers=account.headers)
        await application.state.merit.jobs.run_due()
        done = (await account.get(f"/imports/{answer.json()['id']}")).json()
    assert counts(done) == {"found": 2, "created": 1, "failed": 1, "messages_created": 3}


async def test_a_conversation_has_so_many_messages(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (importer, preparing):
        monkeypatch.setattr(module, "MAX_MESSAGES_PER_CONVERSATION", 3)
    assert counts(await imported(services, account, [chatgpt(texts=("1", "2", "3", "4"))])) == {"found": 1, "failed": 1}
    await imported(services, account, [chatgpt(texts=("1", "2"))])
    other_branch = chatgpt(texts=("1", "2"))
    other_branch["mapping"] |= {f"x{n}": {**other_branch["mapping"]["n1"], "parent": "n0"} for n in range(1)}
    assert counts(await imported(services, account, [other_branch]))["messages_created"] == 1
    other_branch["mapping"] = {name: node for name, node in other_branch["mapping"].items() if name != "n1"}
    other_branch["mapping"]["y"] = {**other_branch["mapping"]["n0"], "parent": None}
    assert counts(await imported(services, account, [other_branch])) == {"found": 1, "failed": 1}


async def test_what_has_expired_is_made_anew(services: Services, account: Account, clock: ManualClock) -> None:
    """Its row may still wait to be deleted."""
    await imported(services, account, [chatgpt("x" * 300)])
    (conversation,) = await conversations(account)
    await account.request("PATCH", f"/conversations/{conversation['id']}", json={"expires_in": 60})
    clock.advance(seconds=61)
    assert (await imported(services, account, [chatgpt("x" * 300)]))["created"] == 1
    (again,) = await conversations(account)
    assert again["id"] != conversation["id"]


async def test_errors_are_kept_up_to_a_bound(services: Services, account: Account) -> None:
    done = await imported(services, account, [chatgpt(), *[1] * 150])
    assert (done["failed"], len(done["errors"])) == (150, 100)


async def test_an_import_that_is_gone_or_over_is_left_alone(services: Services, account: Account) -> None:
    """Its account was deleted, or another worker has finished it."""
    answer = await upload(account, [open_webui()])
    async with services.database.session() as session:
        imports = ImportRepository(session, services.clock)
        await imports.delete_where()
        await services.jobs.enqueue(session, "chat.import", {"import_id": str(new_id())})
        await session.commit()
    await services.jobs.run_due()
    assert (await account.get(f"/imports/{answer.json()['id']}")).status_code == 404
    assert await conversations(account) == []


async def test_old_imports_are_forgotten(services: Services, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.chat.transfer.service.KEPT_IMPORTS", 2)
    for _ in range(4):
        await imported(services, account, [chatgpt()])
    assert len((await account.get("/imports")).json()["items"]) == 3


def zipped_with(method: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("conversations.json", json.dumps([chatgpt()]))
    return target.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"[" + b"[]," * 60 + b"0]", b"[]\n" * 60, zipped(conversations_dot_json=b'[{"":{}},' * 40 + b"0]")],
    ids=["list", "lines", "zip"],
)
async def test_what_would_fill_the_memory_is_refused(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    """An empty list takes three bytes in a file and a hundred in memory."""
    monkeypatch.setattr(archives, "MAX_VALUES", 100)
    done = await imported(services, account, content)
    assert (done["status"], done["errors"]) == ("failed", [{"error": "A document has at most 100 values."}])


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
async def test_zip_files_are_deflated_or_stored(services: Services, account: Account, method: int) -> None:
    """LZMA takes as much memory as the file tells it to."""
    done = await imported(services, account, zipped_with(method))
    assert (done["status"], done["created"]) == ("failed", 0)
    assert "unusual" in done["errors"][0]["error"]
    assert (await imported(services, account, zipped_with(zipfile.ZIP_STORED)))["created"] == 1


async def test_the_parts_of_a_zip_file_are_read_one_after_the_other(services: Services, account: Account) -> None:
    """Also where one says nothing; the counts go on from part to part."""
    parts = {"conversations-1": [], "conversations-2": [chatgpt("c-1"), 7], "conversations-3": [chatgpt("c-2")]}
    done = await imported(services, account, zipped(**{f"{name}_dot_json": part for name, part in parts.items()}))
    assert counts(done) == {"found": 3, "created": 2, "failed": 1, "messages_created": 6}
    assert [fault["item"] for fault in done["errors"]] == [1]


async def test_parts_of_another_kind_are_refused(services: Services, account: Account) -> None:
    header = json.dumps({"type": "export", "format": "merit.chat", "version": 1}).encode()
    mixed = zipped(**{"chats-1_dot_ndjson": header, "chats-2_dot_ndjson": [chatgpt()]})
    done = await imported(services, account, mixed)
    assert (done["status"], done["created"]) == ("failed", 0)


async def test_members_of_another_type_cost_their_conversation_nothing(services: Services, account: Account) -> None:
    odd = chatgpt("odd", current_node=["n0"])
    odd["mapping"]["n0"]["message"]["author"]["role"] = {"user": []}
    assert counts(await imported(services, account, [odd])) == {"found": 1, "created": 1, "messages_created": 2}


async def test_an_accounts_uploads_come_one_after_the_other(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that waited in the database for each other would take the connections of everybody else."""
    create = ImportService.create
    under_way: list[int] = [0]

    async def create_slowly(self: ImportService, *args: Any) -> Import:
        under_way.append(under_way[-1] + 1)
        await asyncio.sleep(0.02)
        try:
            return await create(self, *args)
        finally:
            under_way.append(under_way[-1] - 1)

    monkeypatch.setattr(ImportService, "create", create_slowly)
    answers = await asyncio.gather(*(upload(account, []) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 202, 202, 409]
    assert max(under_way) == 1
