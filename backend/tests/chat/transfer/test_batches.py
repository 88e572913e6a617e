"""Long conversations come in batch by batch: nobody waits for them, and there is always a tree to see."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from app.chat.transfer import archives, preparing
from app.chat.transfer import jobs as transfer_jobs
from app.chat.transfer.importer import ConversationImporter
from app.main import Services
from tests.chat.stage import say
from tests.chat.transfer.files import chatgpt, conversations, counts, imported, rows, tree, upload
from tests.conftest import AppFactory
from tests.support import Account, ManualClock

Between = Callable[[int], Awaitable[Any]]
TEXTS = tuple(f"message {number}" for number in range(23))


@pytest.fixture(autouse=True)
def _short_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "BATCH_MESSAGES", 5)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Between], None]:
    """Has something done before each transaction, which is told how many there were."""
    take_in = ConversationImporter.take_in

    def have_done(between: Between) -> None:
        calls = 0

        async def wait(self: ConversationImporter, session: Any) -> Any:
            nonlocal calls
            calls += 1
            await between(calls - 1)
            return await take_in(self, session)

        monkeypatch.setattr(ConversationImporter, "take_in", wait)

    return have_done


@contextmanager
def inserts(services: Services) -> Iterator[list[int]]:
    """How many messages each transaction inserts."""
    engine = services.database.writer.sync_engine
    found: list[int] = [0]

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, is_many: bool) -> None:
        if statement.startswith("INSERT INTO messages"):
            found[-1] += len(parameters) if is_many else 1

    def commit(_connection: Any) -> None:
        found.append(0)

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "commit", commit)
    yield found
    event.remove(engine, "before_cursor_execute", note)
    event.remove(engine, "commit", commit)


async def only(account: Account) -> dict[str, Any]:
    """The one conversation there is."""
    (conversation,) = await conversations(account)
    return conversation


async def said(account: Account, conversation: dict[str, Any]) -> list[str]:
    """The active branch."""
    answer = await account.get(f"/conversations/{conversation['id']}/messages", params={"limit": 100})
    return [message["content"] for message in answer.json()["items"]]


async def test_a_transaction_inserts_only_so_many_messages(services: Services, account: Account) -> None:
    with inserts(services) as found:
        done = await imported(services, account, [chatgpt("long", TEXTS), chatgpt("short")])
    assert counts(done) == {"found": 2, "created": 2, "messages_created": 26}
    assert [number for number in found if number] == [5, 5, 5, 5, 3, 3]
    conversation = next(one for one in await conversations(account) if one["title"] == "Talk long")
    assert await said(account, conversation) == list(TEXTS)


async def test_a_transaction_inserts_only_so_many_bytes(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "BATCH_BYTES", 1000)
    with inserts(services) as found:
        await imported(services, account, [chatgpt(texts=("x" * 2000, "y" * 420, "z" * 420, "short"))])
    assert [number for number in found if number] == [1, 2, 1]


async def test_the_loop_only_stores(services: Services, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading, hashing and cutting into batches is done elsewhere."""
    threads = set()

    def noted(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            threads.add(threading.get_ident())
            return work(*arguments)

        return run

    for module, name in ((archives, "_parse"), (transfer_jobs, "prepare"), (preparing, "_said")):
        monkeypatch.setattr(module, name, noted(getattr(module, name)))
    assert (await imported(services, account, [chatgpt()]))["created"] == 1
    assert threads
    assert threading.get_ident() not in threads


async def test_what_there_is_can_be_read_meanwhile_and_after_a_crash(
    services: Services, account: Account, clock: ManualClock, meanwhile: Callable[[Between], None]
) -> None:
    async def crash(done: int) -> None:
        if done == 2:
            raise ConnectionResetError

    meanwhile(crash)
    clock.stop()
    answer = await upload(account, [chatgpt("long", TEXTS)])
    await services.jobs.run_due()
    half = await only(account)
    assert half["message_count"] == 10
    assert await said(account, half) == list(TEXTS[:5]), "and the others when it is whole"
    assert len(await tree(account, half["id"])) == 10
    clock.advance(minutes=5)
    await services.jobs.run_due()
    done = (await account.get(f"/imports/{answer.json()['id']}")).json()
    assert counts(done) == {"found": 1, "created": 1, "messages_created": 23}
    whole = await only(account)
    assert (whole["id"], whole["message_count"]) == (half["id"], 23)
    assert await said(account, whole) == list(TEXTS)
    before = await rows(services)
    assert before["messages"] == before["search_documents"] == 23
    assert counts(await imported(services, account, [chatgpt("long", TEXTS)])) == {"found": 1, "skipped": 1}
    assert await rows(services) == before


async def test_what_was_given_up_halfway_is_completed_by_the_file(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Between], None]
) -> None:
    async def crash(done: int) -> None:
        if done == 1:
            raise ConnectionResetError

    monkeypatch.setattr(transfer_jobs, "MAX_ATTEMPTS", 1)
    meanwhile(crash)
    done = await imported(services, account, [chatgpt("long", TEXTS)])
    assert (done["status"], counts(done)) == ("failed", {"found": 1, "messages_created": 5})
    done = await imported(services, account, [chatgpt("long", TEXTS)])
    assert counts(done) == {"found": 1, "created": 1, "messages_created": 18}
    assert await said(account, await only(account)) == list(TEXTS)


async def test_the_owner_may_go_on_or_delete_it_meanwhile(
    services: Services, account: Account, meanwhile: Callable[[Between], None]
) -> None:
    async def interfere(done: int) -> None:
        if done == 1:
            await say(services, account, (await only(account))["id"], "said here")
        if done == 3:
            await account.request("DELETE", f"/conversations/{(await only(account))['id']}")

    meanwhile(interfere)
    done = await imported(services, account, [chatgpt("long", TEXTS), chatgpt("short")])
    assert counts(done) == {"found": 2, "created": 1, "failed": 1, "messages_created": 18}
    assert "deleted" in done["errors"][0]["error"]
    assert (await only(account))["title"] == "Talk short"
    done = await imported(services, account, [chatgpt("long", TEXTS)])
    assert counts(done) == {"found": 1, "created": 1, "messages_created": 23}


async def test_what_is_said_here_meanwhile_stays(
    services: Services, account: Account, meanwhile: Callable[[Between], None]
) -> None:
    async def speak(done: int) -> None:
        if done:
            await say(services, account, (await only(account))["id"], f"said here {done}")

    meanwhile(speak)
    assert (await imported(services, account, [chatgpt("long", TEXTS)]))["messages_created"] == 23
    found = [message["content"] for message in await tree(account, (await only(account))["id"])]
    assert [text for text in found if text in TEXTS] == list(TEXTS)
    assert len(found) == 27
    assert await said(account, await only(account)) == list(TEXTS)


async def test_two_workers_make_a_long_one_once(services: Services, account: Account, make_app: AppFactory) -> None:
    """Both files are taken in at once, batch between batch."""
    for _ in range(2):
        await upload(account, [chatgpt("long", TEXTS)])
    async with make_app() as other:
        await asyncio.gather(services.jobs.run_due(), other.state.merit.jobs.run_due())
    found = (await account.get("/imports")).json()["items"]
    assert sorted(name for one in found for name in ("created", "skipped") if one[name]) == ["created", "skipped"]
    assert sum(one["messages_created"] for one in found) == 23
    assert await said(account, await only(account)) == list(TEXTS)


async def test_a_grown_file_changes_only_what_has_grown(services: Services, account: Account) -> None:
    await imported(services, account, [chatgpt("long", TEXTS[:21])])
    path = f"/conversations/{(await only(account))['id']}"
    before = (await account.get(path)).headers["etag"]
    done = await imported(services, account, [chatgpt("long", TEXTS)])
    assert counts(done) == {"found": 1, "updated": 1, "messages_created": 2}
    after = (await account.get(path)).headers["etag"]
    assert int(after.strip('"')) == int(before.strip('"')) + 1, "the batches that were there change nothing"
    moved = chatgpt("long", TEXTS, current_node="n3")
    assert counts(await imported(services, account, [moved])) == {"found": 1, "skipped": 1}
    assert await said(account, await only(account)) == list(TEXTS), "the leaf is chosen here"
