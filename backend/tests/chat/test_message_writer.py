"""Writing messages: the primitive below every way of adding one."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select, update

from app.auth.guests.types import Owner
from app.chat.errors import (
    ConversationFullError,
    ConversationNotFoundError,
    MessageNotFoundError,
    MessageTooLargeError,
)
from app.chat.messages import MessageWriter
from app.chat.models import Conversation, Message
from app.chat.repository import ConversationRepository
from app.chat.types import MAX_MESSAGE_BYTES, MAX_MESSAGES_PER_CONVERSATION, MessageRole, MessageStatus
from app.core.ids import new_id
from app.main import Services
from app.search.models import SearchDocument
from tests.chat.stage import GuestCaller, converse, owner_of, say, statements_of, talk, writing
from tests.chat.test_tree import chain
from tests.support import Account, ManualClock


async def conversation(services: Services, id_: str) -> Conversation:
    """A conversation's row."""
    async with services.database.read_session() as session:
        (row,) = await session.rows(select(*Conversation.__table__.c).where(Conversation.id == UUID(id_)))
        return row  # type: ignore[return-value] # it reads like one


async def indexed(services: Services) -> set[str]:
    """The texts that can be found."""
    async with services.database.read_session() as session:
        return {row.body for row in await session.rows(select(SearchDocument.body))}


async def test_each_message_is_counted_and_becomes_the_leaf(
    services: Services, account: Account, clock: ManualClock
) -> None:
    made = await converse(account)
    clock.advance(minutes=1)
    first = await say(services, account, made["id"])
    clock.advance(minutes=1)
    second = await say(services, account, made["id"], "Hi", parent=first, role=MessageRole.ASSISTANT, id=new_id())
    row = await conversation(services, made["id"])
    assert (row.message_count, row.active_leaf_id, row.row_version) == (2, second.id, 3)
    assert (first.seq, second.seq) == (1, 2)
    assert row.last_message_at == second.created_at > first.created_at


async def test_parallel_writers_stand_in_a_row(services: Services, account: Account) -> None:
    made = await converse(account)
    root = await say(services, account, made["id"])
    said = await asyncio.gather(*(say(services, account, made["id"], f"{n}", parent=root) for n in range(8)))
    assert sorted(message.seq for message in said) == list(range(2, 10))
    assert (await conversation(services, made["id"])).message_count == 9


async def test_nobody_writes_into_anothers_conversation(
    services: Services, account: Account, stranger: Account, guest: GuestCaller
) -> None:
    made, other = await converse(account), await converse(account)
    foreign = await say(services, account, other["id"])
    for caller in (stranger, guest):
        with pytest.raises(ConversationNotFoundError):
            await say(services, caller, made["id"])
    for parent in (foreign, Message(id=new_id())):
        with pytest.raises(MessageNotFoundError):
            await say(services, account, made["id"], parent=parent)
    with pytest.raises(ConversationNotFoundError):
        await say(services, account, str(new_id()), parent=foreign)
    assert (await conversation(services, made["id"])).message_count == 0


async def test_an_expired_one_takes_nothing(services: Services, account: Account, clock: ManualClock) -> None:
    made = await converse(account, expires_in=60)
    clock.advance(seconds=61)
    with pytest.raises(ConversationNotFoundError):
        await say(services, account, made["id"])


async def test_bounds(services: Services, account: Account) -> None:
    made = await converse(account)
    await say(services, account, made["id"], "é" * (MAX_MESSAGE_BYTES // 2))
    for text in ("é" * (MAX_MESSAGE_BYTES // 2) + "x", "\ud800" * MAX_MESSAGE_BYTES):
        with pytest.raises(MessageTooLargeError):
            await say(services, account, made["id"], text)
    async with writing(services) as session:
        await session.execute(update(Conversation).values(message_count=MAX_MESSAGES_PER_CONVERSATION - 1))
    await say(services, account, made["id"])
    with pytest.raises(ConversationFullError):
        await say(services, account, made["id"])


@pytest.mark.parametrize("status", [MessageStatus.QUEUED, MessageStatus.STREAMING])
async def test_a_reply_is_finished_once(services: Services, account: Account, status: MessageStatus) -> None:
    made = await converse(account)
    reply = await say(services, account, made["id"], "", role=MessageRole.ASSISTANT, status=status)
    assert await indexed(services) == set(), "not before it is whole"
    for ending, is_first in ((MessageStatus.COMPLETE, True), (MessageStatus.FAILED, False)):
        async with writing(services) as session:
            writer = MessageWriter(session, services.clock)
            conversation = await ConversationRepository(session, services.clock).hold_with_owner(UUID(made["id"]))
            assert conversation is not None
            assert await writer.finish(conversation, reply.id, status=ending, content=ending.value) is is_first
    found = (await account.get(f"/messages/{reply.id}")).json()
    assert (found["status"], found["content"]) == ("complete", "complete")
    assert await indexed(services) == {"complete"}


async def test_what_is_said_can_be_found(services: Services, account: Account) -> None:
    made, temporary = await converse(account), await converse(account, is_temporary=True)
    said = await talk(services, account, made["id"], 2)
    await say(services, account, made["id"], "a tool's output", role=MessageRole.TOOL, parent=said[1])
    await say(services, account, made["id"], " ", parent=said[1])
    await say(services, account, temporary["id"], "a secret")
    assert await indexed(services) == {"message 0", "message 1"}
    await account.request("DELETE", f"/conversations/{made['id']}")
    assert await indexed(services) == set()


async def test_appending_costs_the_same_however_long_it_is(services: Services, account: Account) -> None:
    """C5, in statements; `tools/bench/appending.py` has the times."""
    short, long = await converse(account), await converse(account)
    last = (await chain(services, long["id"], 2_000))[-1]
    owner: Owner = owner_of(account)
    counts = []
    for id_, parent_id in ((short["id"], None), (short["id"], None), (long["id"], last)):
        with statements_of(services) as sent:
            async with writing(services) as session:
                await MessageWriter(session, services.clock).append(
                    owner, UUID(id_), parent_id=parent_id, role=MessageRole.USER, content="Hello"
                )
        counts.append(len(sent))
        texts = " ".join(sent)
        assert "RECURSIVE" not in texts
        assert "count(" not in texts
    assert counts[1] == counts[2] <= 12, counts
