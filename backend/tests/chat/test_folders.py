"""Folders: nesting, arranging, and what may not be."""

import asyncio
from typing import Any

import pytest

from app.chat.folders.types import MAX_FOLDER_DEPTH
from app.core.ids import new_id
from tests.auth.stage import code_of
from tests.chat.stage import GuestCaller, converse, folder, ids
from tests.conftest import AppFactory, client_of
from tests.support import API, Account


async def parent_of(account: Account, folder_id: str) -> str | None:
    """The folder that a folder lies in."""
    parent: str | None = (await account.get(f"/folders/{folder_id}")).json()["parent_id"]
    return parent


async def move(account: Account, folder_id: str, parent_id: str | None) -> Any:
    """Put a folder into another."""
    return await account.request("PATCH", f"/folders/{folder_id}", json={"parent_id": parent_id})


async def test_folders_are_listed_by_their_positions(account: Account, stranger: Account) -> None:
    await folder(stranger)
    places = {position: await folder(account, str(position), position=position) for position in (2, -1, 0)}
    inner = await folder(account, "inner", parent_id=places[0], position=1)
    expected = [places[-1], places[0], inner, places[2]]
    found: list[str] = []
    cursor: dict[str, str] = {}
    for _ in expected:
        page = (await account.get("/folders", params={"limit": 1, **cursor})).json()
        found += ids(page["items"])
        cursor = {"cursor": page["next_cursor"]}
    assert found == expected
    assert cursor == {"cursor": None}
    assert ids((await account.get("/folders", params={"parent_id": places[0]})).json()["items"]) == [inner]


async def test_a_folder_is_renamed_moved_and_reordered(account: Account) -> None:
    outer, inner = await folder(account), await folder(account)
    changed = await account.request("PATCH", f"/folders/{inner}", json={"name": "New", "position": 3})
    assert (changed.json()["name"], changed.json()["position"], changed.json()["parent_id"]) == ("New", 3, None)
    assert (await move(account, inner, outer)).json()["parent_id"] == outer
    assert (await move(account, inner, None)).json()["parent_id"] is None


async def test_a_folder_never_lies_in_itself(account: Account) -> None:
    outer = await folder(account)
    middle = await folder(account, parent_id=outer)
    inner = await folder(account, parent_id=middle)
    for target in (outer, middle, inner):
        assert code_of(await move(account, outer, target)) == (409, "folder_cycle")
    assert [await parent_of(account, one) for one in (outer, middle, inner)] == [None, outer, middle]


async def test_two_moves_at_once_make_no_cycle(account: Account) -> None:
    """Each alone would be fine."""
    for _ in range(5):
        one, other = await folder(account), await folder(account)
        answers = await asyncio.gather(move(account, one, other), move(account, other, one))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert sorted([await parent_of(account, one) is None, await parent_of(account, other) is None]) == [False, True]


async def test_folders_nest_only_so_deep(account: Account) -> None:
    chain = [await folder(account)]
    for _ in range(MAX_FOLDER_DEPTH - 1):
        chain.append(await folder(account, parent_id=chain[-1]))
    refused = await account.request("POST", "/folders", json={"name": "x", "parent_id": chain[-1]})
    assert code_of(refused) == (409, "folder_too_deep")
    outer = await folder(account)
    assert code_of(await move(account, chain[0], outer)) == (409, "folder_too_deep"), "with what is in it"
    assert (await move(account, chain[1], outer)).status_code == 200


async def test_what_is_in_a_deleted_folder_moves_up(account: Account) -> None:
    outer = await folder(account)
    middle = await folder(account, parent_id=outer)
    inner = await folder(account, parent_id=middle)
    filed = await converse(account, folder_id=middle)
    assert (await account.request("DELETE", f"/folders/{middle}")).status_code == 204
    assert code_of(await account.get(f"/folders/{middle}")) == (404, "folder_not_found")
    assert await parent_of(account, inner) == outer
    assert (await account.get(f"/conversations/{filed['id']}")).json()["folder_id"] == outer
    await account.request("DELETE", f"/folders/{outer}")
    assert await parent_of(account, inner) is None
    assert (await account.get(f"/conversations/{filed['id']}")).json()["folder_id"] is None


async def test_there_are_only_so_many(make_app: AppFactory, account: Account) -> None:
    async with make_app(chat_max_folders=2) as app, client_of(app) as client:
        requests = [client.post(f"{API}/folders", json={"name": "x"}, headers=account.headers) for _ in range(6)]
        answers = await asyncio.gather(*requests)
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]
    assert {code_of(answer)[1] for answer in answers if answer.is_error} == {"too_many_folders"}


async def test_guests_have_none(guest: GuestCaller, account: Account) -> None:
    for method in ("GET", "POST"):
        assert (await guest.request(method, "/folders", json={"name": "x"})).status_code == 401
    theirs = await folder(account)
    for body in ({"folder_id": theirs}, {"folder_id": str(new_id())}):
        answer = await guest.request("POST", "/conversations", json=body)
        assert code_of(answer) == (404, "folder_not_found")


@pytest.mark.parametrize(
    "members",
    [{}, {"name": ""}, {"name": "x" * 201}, {"name": None}, {"name": "x", "position": 2**31}, {"name": "x", "a": 1},
     {"name": "x", "position": "1"}, {"name": "x", "parent_id": 1}],
)  # fmt: skip
async def test_bad_input_is_refused(account: Account, members: dict[str, Any]) -> None:
    assert code_of(await account.request("POST", "/folders", json=members)) == (422, "validation_failed")


@pytest.mark.parametrize("members", [{"name": None}, {"position": None}])
async def test_what_must_be_there_cannot_be_taken_away(account: Account, members: dict[str, Any]) -> None:
    path = f"/folders/{await folder(account)}"
    assert code_of(await account.request("PATCH", path, json=members)) == (422, "validation_failed")
