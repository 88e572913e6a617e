"""What people try with the conversations of others: user and user, guest and user, guest and guest."""

from collections.abc import Callable
from typing import Any

import pytest

from app.core.ids import new_id
from app.main import Services
from tests.auth.stage import code_of
from tests.chat.stage import Caller, GuestCaller, converse, folder, make_guest, say, talk
from tests.support import Account, register

Pair = tuple[Caller, Caller]


@pytest.fixture(params=["user and user", "guest and user", "user and guest", "guest and guest"])
async def pair(request: pytest.FixtureRequest, account: Account) -> Pair:
    """The owner, and who is not."""
    kinds: dict[str, Callable[[], Any]] = {
        "user": lambda: register(account.client),
        "guest": lambda: make_guest(account.client),
    }
    owner, _, other = request.param.partition(" and ")
    return await kinds[owner](), await kinds[other]()


async def test_a_foreign_conversation_is_an_unknown_one(services: Services, pair: Pair) -> None:
    """Every operation answers a foreign id and one of nothing alike, and changes nothing."""
    owner, other = pair
    made = await converse(owner, title="Mine")
    message = await say(services, owner, made["id"])
    fork = {"from_message": str(message.id)}
    attempts: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", "/conversations/{}", None),
        ("PATCH", "/conversations/{}", {"title": "Theirs"}),
        ("DELETE", "/conversations/{}", None),
        ("GET", "/conversations/{}/messages", None),
        ("GET", "/conversations/{}/tree", None),
        ("POST", "/conversations/{}/fork", fork),
        ("GET", "/messages/{message}", None),
        ("GET", "/messages/{message}/siblings", None),
    ]
    for method, template, body in attempts:
        answers = [
            await other.request(method, template.format(conversation_id, message=message_id), json=body)
            for conversation_id, message_id in ((made["id"], message.id), (new_id(), new_id()))
        ]
        assert [answer.status_code for answer in answers] == [404, 404], (method, template)
        bodies = [answer.json() | {"request_id": None} for answer in answers]
        assert bodies[0] == bodies[1]
    assert (await other.get("/conversations")).json()["items"] == []
    after = (await owner.get(f"/conversations/{made['id']}")).json()
    assert (after["title"], after["message_count"]) == ("Mine", 1)


async def test_foreign_ids_do_not_get_in_by_members(services: Services, pair: Pair) -> None:
    """A leaf, a message to fork from and a leaf to read from another's conversation, or another one of one's own."""
    owner, other = pair
    theirs = await say(services, owner, (await converse(owner))["id"])
    made, second = await converse(other), await converse(other)
    own = await say(services, other, made["id"])
    elsewhere = await say(services, other, second["id"])
    path = f"/conversations/{made['id']}"
    for message in (theirs, elsewhere):
        foreign = str(message.id)
        answers = [
            await other.request("PATCH", path, json={"active_leaf_id": foreign}),
            await other.get(f"{path}/messages", params={"leaf": foreign}),
            *[
                await other.request("POST", f"{path}/fork", json={"from_message": foreign, "mode": mode})
                for mode in ("path", "tail", "tree")
            ],
        ]
        assert {code_of(answer) for answer in answers} == {(404, "message_not_found")}
    assert (await other.get(path)).json()["active_leaf_id"] == str(own.id)
    assert len((await other.get("/conversations")).json()["items"]) == 2


async def test_foreign_folders_do_not_get_in(account: Account, stranger: Account) -> None:
    theirs, mine = await folder(stranger), await folder(account)
    made = await converse(account)
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/conversations", {"folder_id": theirs}),
        ("PATCH", f"/conversations/{made['id']}", {"folder_id": theirs}),
        ("POST", "/folders", {"name": "x", "parent_id": theirs}),
        ("PATCH", f"/folders/{mine}", {"parent_id": theirs}),
        ("PATCH", f"/folders/{theirs}", {"parent_id": None}),
        ("PATCH", f"/folders/{theirs}", {"name": "x"}),
        ("PATCH", f"/folders/{theirs}", {}),
        ("DELETE", f"/folders/{theirs}", {}),
        ("GET", f"/folders/{theirs}", {}),
    ]
    for method, path, body in attempts:
        assert code_of(await account.request(method, path, json=body)) == (404, "folder_not_found"), (method, path)
    for parent in (theirs, str(new_id())):
        assert (await account.get("/folders", params={"parent_id": parent})).json()["items"] == []
        assert (await account.get("/conversations", params={"folder_id": parent})).json()["items"] == []
    assert (await stranger.get(f"/folders/{theirs}")).json()["name"] == "Folder"


async def test_a_cursor_of_anothers_list_shows_nothing_of_it(
    services: Services, account: Account, stranger: Account
) -> None:
    """It says where to go on, and not in what."""
    for _ in range(2):
        await converse(account)
    made, theirs = await converse(account), await converse(stranger)
    await talk(services, account, made["id"], 2)
    cursor = (await account.get("/conversations", params={"limit": 1})).json()["next_cursor"]
    page = (await stranger.get("/conversations", params={"cursor": cursor})).json()
    assert {item["id"] for item in page["items"]} <= {theirs["id"]}
    cursor = (await account.get(f"/conversations/{made['id']}/messages", params={"limit": 1})).json()["next_cursor"]
    for caller, id_, expected in ((stranger, made["id"], 404), (stranger, theirs["id"], 422)):
        assert (await caller.get(f"/conversations/{id_}/messages", params={"cursor": cursor})).status_code == expected


async def test_who_sends_both_tokens_is_the_account(services: Services, account: Account, guest: GuestCaller) -> None:
    theirs = await converse(guest)
    answer = await account.get(f"/conversations/{theirs['id']}", headers={"Guest-Token": guest.token})
    assert answer.status_code == 404
