"""Everybody locks rows in one order: the end of a reply, and whatever else happens to its conversation meanwhile.

Each test stops one transaction in its middle until the other one waits, and lets it go on. Where the orders differed,
PostgreSQL and MariaDB would refuse one of both as a deadlock.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from app.chat.messages import MessageWriter
from app.chat.models import Conversation
from app.chat.repository import ConversationRepository
from app.chat.responses import engine, writer
from app.chat.responses.models import Response
from app.chat.responses.repository import ReplyMessageRepository
from app.chat.retention import Retention
from app.chat.types import UNFINISHED, MessageStatus
from app.chat.usage.models import UsageRecord
from app.chat.usage.service import UsageService
from app.main import Services
from tests.chat.stage import Caller, GuestCaller, converse, folder, say
from tests.support import API, Account

WAITING_SECONDS = 0.15
PATIENCE_SECONDS = 5.0


class Gate:
    """Stops the first call of a method until it is opened."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self._reached, self._opened = asyncio.Event(), asyncio.Event()
        method = getattr(owner, name)

        async def stopped(this: Any, *args: Any, **options: Any) -> Any:
            if not self._reached.is_set():
                self._reached.set()
                await self._opened.wait()
            return await method(this, *args, **options)

        patch.setattr(owner, name, stopped)

    async def pass_by(self, act: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """Do something while the call is stopped, and let that go on soon."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._reached.wait()
            doing = asyncio.ensure_future(act())
            await asyncio.sleep(WAITING_SECONDS)
            self._opened.set()
            return await doing


class Complaints:
    """What the makers of replies log."""

    def __init__(self) -> None:
        self.lines: list[Any] = []

    def __getattr__(self, _level: str) -> Callable[..., None]:
        return lambda *said, **details: self.lines.append((said, details))


@pytest.fixture
async def complaints(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Any]]:
    """What went wrong with replies: nothing."""
    heard = Complaints()
    monkeypatch.setattr(engine, "logger", heard)
    monkeypatch.setattr(writer, "logger", heard)
    yield heard.lines
    assert heard.lines == []


async def ask(caller: Caller, conversation_id: str) -> str:
    """Have a reply made; its id."""
    body = {"content": "one two", "background": True, "model": "merit/echo"}
    answer = await caller.request("POST", f"/conversations/{conversation_id}/messages", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def ended(services: Services, response_id: str) -> Any:
    """A reply when it is over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with services.database.read_session() as session:
                statement = select(*Response.__table__.c).where(Response.id == UUID(response_id))
                (row,) = await session.rows(statement)
            if row.status not in UNFINISHED:
                return row
            await asyncio.sleep(0.02)


async def in_rows(services: Services, conversation_id: str) -> bool:
    """Whether a conversation is still there in rows."""
    async with services.database.read_session() as session:
        return bool(await session.rows(select(Conversation.id).where(Conversation.id == UUID(conversation_id))))


@pytest.mark.usefixtures("complaints")
@pytest.mark.parametrize("place", [(MessageWriter, "finish"), (UsageService, "settle")])
async def test_a_conversation_is_deleted_at_the_end_of_a_reply(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch, place: tuple[type, str]
) -> None:
    made = await converse(account)
    gate = Gate(monkeypatch, *place)
    await ask(account, made["id"])
    answer = await gate.pass_by(lambda: account.request("DELETE", f"/conversations/{made['id']}"))
    assert answer.status_code == 204, answer.text


@pytest.mark.usefixtures("complaints")
async def test_a_conversation_is_deleted_while_a_reply_is_written(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone at once; its reply is stopped, and then its rows go too."""
    monkeypatch.setattr(services.replies.models._catalog._echo, "_delay_seconds", 0.1)
    made = await converse(account)
    gate = Gate(monkeypatch, ReplyMessageRepository, "mark_streaming")
    response_id = await ask(account, made["id"])
    answer = await gate.pass_by(lambda: account.request("DELETE", f"/conversations/{made['id']}"))
    assert answer.status_code == 204, answer.text
    assert (await account.get(f"/conversations/{made['id']}")).status_code == 404
    assert (await account.get(f"/responses/{response_id}")).status_code == 404
    assert (await ended(services, response_id)).status in {MessageStatus.CANCELLED, MessageStatus.COMPLETE}
    assert await Retention(services.database, services.clock).prune_some()
    assert not await in_rows(services, made["id"])


@pytest.mark.usefixtures("complaints")
async def test_nothing_is_pruned_below_a_running_reply(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await converse(account)
    gate = Gate(monkeypatch, ConversationRepository, "hold_with_owner")
    response_id = await ask(account, made["id"])
    retention = Retention(services.database, services.clock)
    listed = ConversationRepository.list_expired

    async def list_also(self: ConversationRepository, limit: int) -> list[Conversation]:
        """As if the reply had been asked for right afterwards."""
        found = await listed(self, limit)
        assert found == []
        return await self.list_(Conversation.id == UUID(made["id"]))

    async def prune() -> httpx.Response:
        answer = await account.request("DELETE", f"/conversations/{made['id']}")
        assert not await retention.prune_some()
        monkeypatch.setattr(ConversationRepository, "list_expired", list_also)
        assert await retention.prune_some()
        monkeypatch.setattr(ConversationRepository, "list_expired", listed)
        assert await in_rows(services, made["id"])
        return answer

    assert (await gate.pass_by(prune)).status_code == 204
    await ended(services, response_id)
    assert await retention.prune_some()
    assert not await in_rows(services, made["id"])


@pytest.mark.usefixtures("complaints")
@pytest.mark.parametrize("place", [(MessageWriter, "finish"), (UsageService, "settle")])
@pytest.mark.parametrize("way", ["claim", "login"])
async def test_a_guest_is_claimed_at_the_end_of_a_reply(
    services: Services,
    account: Account,
    guest: GuestCaller,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[type, str],
    way: str,
) -> None:
    made = await converse(guest)
    gate = Gate(monkeypatch, *place)
    response_id = await ask(guest, made["id"])
    headers = {"Guest-Token": guest.token}
    credentials = {"email": account.email, "password": account.password}
    answer = await gate.pass_by(
        lambda: (
            account.request("POST", "/guests/claim", headers=headers)
            if way == "claim"
            else account.client.post(f"{API}/auth/login", json=credentials, headers=headers)
        )
    )
    assert answer.status_code == 200, answer.text
    assert (await ended(services, response_id)).user_id == UUID(account.id)
    assert (await account.get(f"/conversations/{made['id']}")).status_code == 200


@pytest.mark.usefixtures("complaints")
async def test_what_a_reply_used_is_the_accounts_that_has_claimed_its_guest_meanwhile(
    services: Services, account: Account, guest: GuestCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await converse(guest)
    gate = Gate(monkeypatch, ConversationRepository, "hold_with_owner")
    response_id = await ask(guest, made["id"])
    headers = {"Guest-Token": guest.token}
    answer = await gate.pass_by(lambda: account.request("POST", "/guests/claim", headers=headers))
    assert answer.status_code == 200, answer.text
    await ended(services, response_id)
    async with services.database.read_session() as session:
        (record,) = await session.rows(select(*UsageRecord.__table__.c))
    assert (record.user_id, record.guest_id) == (UUID(account.id), None)


@pytest.mark.usefixtures("complaints")
async def test_an_owner_who_is_claimed_while_it_is_waited_for_is_found_again(
    services: Services, account: Account, guest: GuestCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await converse(guest)
    gate = Gate(monkeypatch, ConversationRepository, "_hold_row")
    async with services.database.session() as session:
        conversations = ConversationRepository(session, services.clock)
        if services.database.url.backend == "sqlite":  # whose one writer would wait for itself
            return
        holding = asyncio.create_task(conversations.hold_with_owner(UUID(made["id"])))
        headers = {"Guest-Token": guest.token}
        await gate.pass_by(lambda: account.request("POST", "/guests/claim", headers=headers))
        held = await holding
        assert held is not None
        assert held.user_id == UUID(account.id)


@pytest.mark.usefixtures("complaints")
@pytest.mark.parametrize("what", ["rename", "share", "folder", "feedback", "say"])
async def test_an_owner_goes_on_at_the_end_of_a_reply(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    folder_id = await folder(account)
    made = await converse(account, folder_id=folder_id, client_session_id="s")
    message = await say(services, account, made["id"])
    path = f"/conversations/{made['id']}"
    acts: dict[str, tuple[str, str, Any]] = {
        "rename": ("PATCH", path, {"title": "x"}),
        "share": ("POST", f"{path}/shares", {}),
        "folder": ("DELETE", f"/folders/{folder_id}", None),
        "feedback": ("PUT", f"/messages/{message.id}/feedback", {"rating": 1}),
        "say": ("POST", "/conversation-history", {"session_id": "s", "role": "user", "content": "x"}),
    }
    method, where, body = acts[what]
    gate = Gate(monkeypatch, UsageService, "settle")
    response_id = await ask(account, made["id"])
    answer = await gate.pass_by(lambda: account.request(method, where, json=body))
    assert answer.is_success, answer.text
    assert (await ended(services, response_id)).status is MessageStatus.COMPLETE


@pytest.mark.usefixtures("complaints")
async def test_a_guest_goes_on_at_the_end_of_a_reply(
    services: Services, guest: GuestCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await converse(guest)
    gate = Gate(monkeypatch, UsageService, "settle")
    response_id = await ask(guest, made["id"])
    answer = await gate.pass_by(lambda: guest.request("PATCH", f"/conversations/{made['id']}", json={"title": "x"}))
    assert answer.is_success, answer.text
    assert (await ended(services, response_id)).status is MessageStatus.COMPLETE


async def test_a_folder_is_deleted_while_a_conversation_moves_into_one_below_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = await folder(account, "Outer")
    inner = await folder(account, "Inner", parent_id=outer)
    made = await converse(account, folder_id=outer)
    gate = Gate(monkeypatch, ConversationRepository, "move")
    deleting = asyncio.create_task(account.request("DELETE", f"/folders/{outer}"))
    moved = await gate.pass_by(
        lambda: account.request("PATCH", f"/conversations/{made['id']}", json={"folder_id": inner})
    )
    assert (await deleting).status_code == 204
    assert moved.status_code == 200, moved.text
    assert moved.json()["folder_id"] == inner


async def test_a_conversation_that_is_unarchived_by_a_late_request_is_so(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a request has read before another one's change does not count."""
    if services.database.url.backend == "sqlite":  # writers come one after the other
        return
    made = await converse(account)
    path = f"/conversations/{made['id']}"
    gate = Gate(monkeypatch, ConversationRepository, "update")
    late = asyncio.create_task(account.request("PATCH", path, json={"is_archived": False}))
    first = await gate.pass_by(lambda: account.request("PATCH", path, json={"is_archived": True}))
    answers = [first.json(), (await late).json()]
    assert [answer["is_archived"] for answer in answers] == [True, False]
    assert [answer["archived_at"] is None for answer in answers] == [False, True]
