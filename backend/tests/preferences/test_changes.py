"""The changes of preferences: their numbers, the feed that keeps copies, histories, undo, and what is forgotten."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from app.main import Services
from app.preferences.models import PreferenceChange, PreferenceHead
from app.preferences.types import MAX_CHANGES
from tests.preferences.stage import PATH, change, device, feed, history, put, told, undo, unset, values
from tests.support import Account, ManualClock, register


async def test_changes_are_told_in_their_order(account: Account, services: Services, clock: ManualClock) -> None:
    phone = device()
    clock.stop()
    await change(account, {"language": "de", "x-a": [1]})
    clock.advance(minutes=1)
    await put(account, "language", "fr", on=phone)
    await unset(account, "language")
    told_ = await feed(account)
    assert (told_["seq"], told_["has_more"]) == (4, False)
    found = [(one["seq"], one["key"], one["device_id"], one["old_value"], one["new_value"]) for one in told_["items"]]
    assert found == [
        (1, "language", None, None, "de"),
        (2, "x-a", None, None, [1]),
        (3, "language", phone, None, "fr"),
        (4, "language", None, "de", None),
    ]
    session_id = str(services.auth.access_tokens.verify(account.access_token).sid)
    assert {one["changed_by"] for one in told_["items"]} == {session_id}
    moments = [one["changed_at"] for one in told_["items"]]
    assert moments[0] == moments[1] < moments[2] == moments[3]


async def test_the_feed_goes_on_where_it_ended(account: Account) -> None:
    await change(account, {f"x-{number}": number for number in range(7)})
    seen: list[int] = []
    page = await feed(account, 0, limit=3)
    while True:
        seen += [item["seq"] for item in page["items"]]
        if not page["has_more"]:
            break
        page = await feed(account, page["seq"], limit=3)
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert await feed(account, 7) == {"items": [], "seq": 7, "has_more": False}
    await put(account, "x-0", "new")
    assert [item["seq"] for item in (await feed(account, 7))["items"]] == [8]


async def test_a_copy_that_follows_the_feed_is_exact(account: Account) -> None:
    """What the feed is for: start from a whole, apply changes, and have what the service has."""
    await change(account, {"x-a": 1, "x-b": 2})
    start = (await account.get(PATH)).json()
    copy = {key: one["value"] for key, one in start["preferences"].items()}
    await change(account, {"x-a": None, "x-b": 3, "x-c": 4})
    await put(account, "x-d", 5, on=device())
    await undo(account, 4)
    for item in (await feed(account, start["seq"]))["items"]:
        if item["device_id"] is None:
            copy[item["key"]] = item["new_value"]
    assert {key: value for key, value in copy.items() if value is not None} == await values(account)


async def test_what_has_never_been_is_no_point_to_go_on_from(account: Account) -> None:
    """A client that is ahead has another service's numbers, or one from before a restored backup."""
    answer = await account.get(f"{PATH}/changes", params={"since": 1})
    assert told(answer) == (410, "preference_changes_gone")
    assert await feed(account, 0) == {"items": [], "seq": 0, "has_more": False}


async def run_up(services: Services, account: Account, seq: int) -> None:
    """Let the account's changes go on from this number, as after many."""
    async with services.database.writer.begin() as connection:
        mine = PreferenceHead.user_id == UUID(account.id)
        await connection.execute(update(PreferenceHead).where(mine).values(seq=seq))


async def test_old_changes_are_forgotten(account: Account, services: Services) -> None:
    """The table does not grow with the years; who was away too long is told so rather than given a part."""
    stranger = await register(account.client)
    await put(stranger, "x-a", 1)
    await change(account, {f"x-{number}": number for number in range(100)})
    await run_up(services, account, MAX_CHANGES - 1)
    await put(account, "x-0", "one")
    assert (await history(account, "x-1"))["items"], "as many as are kept"
    await put(account, "x-0", "two")
    assert (await history(account, "x-0"))["items"][-1]["new_value"] == "one", "the first change is gone"
    assert (await history(account, "x-1"))["items"], "the second is not"
    assert told(await undo(account, 1)) == (404, "preference_change_not_found")
    answer = await account.get(f"{PATH}/changes", params={"since": 0})
    assert told(answer) == (410, "preference_changes_gone")
    assert (await feed(account, MAX_CHANGES))["seq"] == MAX_CHANGES + 1
    assert len((await feed(stranger))["items"]) == 1, "each account has its own"


async def test_no_more_changes_are_kept_than_promised(account: Account, services: Services) -> None:
    for turn in range(MAX_CHANGES // 100 + 2):
        assert (await change(account, {f"x-{number}": turn for number in range(100)})).status_code == 200
    async with services.database.read_session() as session:
        oldest, count = (
            await session.execute(select(func.min(PreferenceChange.seq), func.count()).select_from(PreferenceChange))
        ).one()
    assert (oldest, count) == (201, MAX_CHANGES)
    assert (await feed(account, 200, limit=1))["items"][0]["seq"] == 201


async def test_a_history_is_of_one_preference_in_one_layer(account: Account) -> None:
    phone = device()
    for value in ("de", "fr", "it"):
        await put(account, "language", value)
    await put(account, "x-language", "en")
    await put(account, "language", "es", on=phone)
    first = await history(account, "language", limit=2)
    assert [item["new_value"] for item in first["items"]] == ["it", "fr"]
    second = await history(account, "language", limit=2, cursor=first["next_cursor"])
    assert [(item["old_value"], item["new_value"]) for item in second["items"]] == [(None, "de")]
    assert second["next_cursor"] is None
    of_phone = await history(account, "language", device_id=phone)
    assert [item["new_value"] for item in of_phone["items"]] == ["es"]
    assert await history(account, "no.such") == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("cursor", ["x", "", "AAAA"])
async def test_a_cursor_belongs_to_its_history(account: Account, cursor: str) -> None:
    for value in ("de", "fr"):
        await put(account, "language", value)
    mine = (await history(account, "language", limit=1))["next_cursor"]
    for key, params in (("language", {"cursor": cursor}), ("x-a", {"cursor": mine}),
                        ("language", {"cursor": mine, "device_id": device()})):  # fmt: skip
        answer = await account.get(f"{PATH}/{key}/history", params=params)
        assert told(answer) == (422, "invalid_cursor")


UNDONE: list[tuple[Any, Any]] = [("de", "fr"), (None, "de"), ("de", None)]


@pytest.mark.parametrize(("before", "after"), UNDONE)
async def test_undo_and_redo(account: Account, before: Any, after: Any) -> None:
    """A change, from nothing and to nothing, and back, and forth."""
    await change(account, {"language": "en"})
    await change(account, {"language": before})
    seq = (await change(account, {"language": after})).json()["seq"]
    undone = await undo(account, seq)
    assert undone.status_code == 200
    members = {"seq": seq + 1, "key": "language", "device_id": None, "old_value": after, "new_value": before}
    assert undone.json().items() >= members.items()
    assert (await values(account)).get("language") == before
    redone = await undo(account, seq + 1)
    assert redone.json()["new_value"] == after
    assert (await values(account)).get("language") == after


async def test_only_the_last_change_can_be_undone(account: Account) -> None:
    """Going back behind somebody's later change would lose it."""
    await put(account, "language", "de")
    await put(account, "x-other", 1)
    assert told(await undo(account, 3)) == (404, "preference_change_not_found")
    await put(account, "language", "fr")
    await put(account, "language", "de")
    assert told(await undo(account, 1)) == (409, "preference_changed_since"), "though the value is the same again"
    assert (await undo(account, 4)).status_code == 200
    assert told(await undo(account, 4)) == (409, "preference_changed_since"), "sent twice, it is done once"
    assert await values(account) == {"language": "fr", "x-other": 1}
    assert (await undo(account, 2)).status_code == 200, "other preferences do not matter"


async def test_an_undo_stays_in_its_layer(account: Account) -> None:
    phone = device()
    await put(account, "language", "de")
    seq = (await put(account, "language", "fr", on=phone)).json()["version"]
    assert (await undo(account, seq)).json()["device_id"] == phone
    assert await values(account) == {"language": "de"}
    assert await values(account, on=phone) == {}
