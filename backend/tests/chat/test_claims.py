"""What a guest said becomes the account's."""

import pytest

from app.main import Services
from app.search.service import SearchIndex
from tests.auth.stage import code_of
from tests.chat.stage import GuestCaller, converse, ids, make_guest, owner_of, say, statements_of, talk
from tests.support import Account


async def claim(account: Account, guest: GuestCaller, path: str = "/conversations/claim") -> None:
    """Take over what a guest has."""
    answer = await account.request("POST", path, headers={"Guest-Token": guest.token})
    assert answer.status_code == 200, answer.text
    assert answer.json()["guest_id"] == guest.id


async def found(services: Services, caller: Account | GuestCaller, text: str) -> list[str]:
    """The ids of the messages that a caller finds."""
    async with services.database.read_session() as session:
        index = SearchIndex("chat", services.clock)
        hits = await index.query(session, owner_of(caller), text, limit=10)
    return [str(hit.target.id) for hit in hits.items]


@pytest.mark.parametrize("path", ["/conversations/claim", "/guests/claim"])
async def test_conversations_move_with_all_that_is_in_them(
    services: Services, account: Account, guest: GuestCaller, path: str
) -> None:
    made = await converse(guest, tags=["a"], client_session_id="s")
    said = await talk(services, guest, made["id"], 3)
    mine = await converse(account)
    for _ in range(2):
        await claim(account, guest, path)
    assert {item["id"] for item in (await account.get("/conversations")).json()["items"]} == {made["id"], mine["id"]}
    assert (await account.get(f"/conversations/{made['id']}")).json()["tags"] == ["a"]
    assert ids((await account.get(f"/conversations/{made['id']}/messages")).json()["items"]) == ids(said)
    assert set(await found(services, account, "message")) == set(ids(said))
    assert await found(services, guest, "message") == []
    assert (await guest.get(f"/conversations/{made['id']}")).status_code == 401, "the token is dead"
    await say(services, account, made["id"], "and on", parent=said[-1])


async def test_a_session_that_both_have_stays_the_accounts(account: Account, guest: GuestCaller) -> None:
    mine = await converse(account, client_session_id="s")
    theirs = [await converse(guest, client_session_id=name) for name in ("s", "t")]
    await claim(account, guest)
    found = {item["id"]: item["client_session_id"] for item in (await account.get("/conversations")).json()["items"]}
    assert found == {mine["id"]: "s", theirs[0]["id"]: None, theirs[1]["id"]: "t"}


async def test_only_the_guests_move(account: Account, guest: GuestCaller) -> None:
    other = await make_guest(account.client)
    theirs = await converse(other)
    await claim(account, guest)
    assert (await account.get(f"/conversations/{theirs['id']}")).status_code == 404
    assert (await other.get(f"/conversations/{theirs['id']}")).status_code == 200


async def test_nobody_claims_for_another(account: Account, stranger: Account, guest: GuestCaller) -> None:
    made = await converse(guest)
    await claim(account, guest)
    answer = await stranger.request("POST", "/conversations/claim", headers={"Guest-Token": guest.token})
    assert code_of(answer) == (409, "guest_claimed")
    answer = await stranger.request("POST", "/conversations/claim", headers={"Guest-Token": "mgt_x"})
    assert code_of(answer) == (404, "guest_not_found")
    assert (await account.get(f"/conversations/{made['id']}")).status_code == 200


async def test_statements_do_not_depend_on_how_much_moves(services: Services, account: Account) -> None:
    sent_for = []
    for count in (1, 6):
        guest = await make_guest(account.client)
        for _ in range(count):
            await say(services, guest, (await converse(guest))["id"])
        with statements_of(services) as sent:
            await claim(account, guest)
        sent_for.append(len(sent))
    assert sent_for[1] <= sent_for[0], sent_for
