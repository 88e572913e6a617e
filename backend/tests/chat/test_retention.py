"""Retention: what expires, what rests for too long, and what goes with its account."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, update

from app.auth.guests.models import Guest
from app.auth.models import User
from app.chat import retention
from app.chat.models import Conversation, ConversationTag, Folder, Message, MessageFeedback
from app.chat.retention import Retention
from app.main import Services
from app.preferences.models import UserPreference
from app.search.models import SearchDocument
from tests.chat.stage import Caller, GuestCaller, converse, folder, ids, say, talk, writing
from tests.chat.test_tree import chain
from tests.support import Account, ManualClock

TABLES = (Conversation, Message, ConversationTag, Folder, MessageFeedback, SearchDocument)


async def counts(services: Services) -> dict[str, int]:
    """The rows of each table."""
    async with services.database.read_session() as session:
        return {
            table.__tablename__: await session.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES
        }


async def run(services: Services, kind: str) -> None:
    """Run a periodic job now."""
    async with writing(services) as session:
        await services.jobs.enqueue(session, kind, {})
    await services.jobs.run_due()


async def test_what_expires_is_gone_and_then_deleted(
    services: Services, account: Account, guest: GuestCaller, clock: ManualClock
) -> None:
    kept = await converse(account)
    await say(services, account, kept["id"])
    gone = [await converse(account, expires_in=3600, tags=["a"]), await converse(guest, is_temporary=True)]
    callers: list[Caller] = [account, guest]
    said = [await say(services, caller, one["id"]) for caller, one in zip(callers, gone, strict=True)]
    clock.advance(hours=25)
    assert (await account.login()).is_success
    for caller, one, message in zip(callers, gone, said, strict=True):
        for path in (f"/conversations/{one['id']}", f"/conversations/{one['id']}/tree", f"/messages/{message.id}"):
            assert (await caller.get(path)).status_code == 404, "before any job has run"
        assert one["id"] not in ids((await caller.get("/conversations")).json()["items"])
    await run(services, Retention.PRUNE)
    found = await counts(services)
    assert (found["conversations"], found["messages"], found["conversation_tags"]) == (1, 1, 0)
    assert found["search_documents"] == 1


async def test_a_batch_is_bounded(services: Services, account: Account, clock: ManualClock) -> None:
    """At most a thousand messages a transaction, of long conversations and of many."""
    for count, life in ((2_300, 60), (2, 61), (998, 62)):
        await chain(services, (await converse(account, expires_in=life))["id"], count)
    clock.advance(seconds=63)
    left = []
    while await Retention(services.database, clock).prune_some():
        left.append((await counts(services))["messages"])
    assert left == [2_300, 1_300, 300, 0]
    assert (await counts(services))["conversations"] == 0


async def prefer(account: Account, days: int) -> None:
    """Say how long one's conversations are to be kept."""
    answer = await account.request("PATCH", "/preferences", json={"chat.retention_days": days})
    assert answer.status_code == 200, answer.text


async def test_conversations_rest_as_long_as_the_account_prefers(
    services: Services, account: Account, stranger: Account, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_ACCOUNTS_AT_ONCE", 1)
    await prefer(account, 30)
    await prefer(stranger, 60)
    old, pinned = await converse(account), await converse(account)
    theirs = await converse(stranger)
    await account.request("PATCH", f"/conversations/{pinned['id']}", json={"is_pinned": True})
    clock.advance(days=29)
    assert (await account.login()).is_success
    young = await converse(account)
    await run(services, Retention.RETAIN)
    assert len((await account.get("/conversations")).json()["items"]) == 3
    clock.advance(days=2)
    assert (await account.login()).is_success
    await run(services, Retention.RETAIN)
    assert set(ids((await account.get("/conversations")).json()["items"])) == {pinned["id"], young["id"]}
    await run(services, Retention.PRUNE)
    async with services.database.read_session() as session:
        left = {str(row.id) for row in await session.rows(select(Conversation.__table__.c.id))}
    assert left == {pinned["id"], young["id"], theirs["id"]}
    assert old["id"] not in left


@pytest.mark.parametrize("days", [0, 3651, "30", 1.5])
async def test_a_choice_has_bounds(account: Account, days: Any) -> None:
    answer = await account.request("PATCH", "/preferences", json={"chat.retention_days": days})
    assert answer.status_code == 422


async def test_what_is_no_choice_deletes_nothing(services: Services, account: Account, clock: ManualClock) -> None:
    """A value of an earlier release, perhaps."""
    await prefer(account, 30)
    async with writing(services) as session:
        await session.execute(update(UserPreference).values(value="soon"))
    await converse(account)
    clock.advance(days=100)
    await run(services, Retention.RETAIN)
    await run(services, Retention.PRUNE)
    assert (await counts(services))["conversations"] == 1


async def test_deleting_an_account_deletes_all_it_said(
    services: Services, account: Account, stranger: Account, guest: GuestCaller
) -> None:
    outer = await folder(account)
    inner = await folder(account, parent_id=await folder(account, parent_id=outer))
    made = await converse(account, folder_id=inner, tags=["a"])
    said = await talk(services, account, made["id"], 20)
    assert (await account.request("PUT", f"/messages/{said[1].id}/feedback", json={"rating": 1})).is_success
    for caller in (stranger, guest):
        await say(services, caller, (await converse(caller))["id"])
    async with writing(services) as session:
        await session.execute(delete(User).where(User.id == UUID(account.id)))
        await session.execute(delete(Guest).where(Guest.id == UUID(guest.id)))
    assert await counts(services) == {
        "conversations": 1, "messages": 1, "conversation_tags": 0, "folders": 0, "message_feedback": 0,
        "search_documents": 1,
    }  # fmt: skip
