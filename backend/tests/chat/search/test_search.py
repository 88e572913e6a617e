"""`GET /search`: one's own messages, and nobody else's."""

import asyncio
from typing import Any

import pytest

from app.chat.models import Conversation
from app.chat.search.types import MAX_PATH
from app.chat.types import MessageRole, MessageStatus
from app.main import Services
from tests.chat.stage import Caller, GuestCaller, converse, say, statements_of, talk
from tests.support import API, Account


async def search(caller: Caller, q: str, **params: Any) -> dict[str, Any]:
    """A page of results."""
    answer = await caller.get("/search", params={"q": q, **params})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def found(caller: Caller, q: str) -> list[str]:
    """The ids of the messages that are found."""
    return [item["message_id"] for item in (await search(caller, q))["items"]]


async def test_a_result_says_all_that_a_list_shows(account: Account, services: Services) -> None:
    conversation = await converse(account, title="Recursion, slowly")
    message = await say(services, account, conversation["id"], "What is a <b>base case</b>, and why recursive?")
    (item,) = (await search(account, "recursion base"))["items"]
    assert item.pop("score") > 0
    assert item == {
        "conversation_id": conversation["id"],
        "conversation_title": "Recursion, slowly",
        "message_id": str(message.id),
        "path": [str(message.id)],
        "role": "user",
        "snippet": [
            {"text": "What is a <b>", "is_match": False},
            {"text": "base", "is_match": True},
            {"text": " case</b>, and why ", "is_match": False},
            {"text": "recursive", "is_match": True},
            {"text": "?", "is_match": False},
        ],
        "created_at": message.created_at.isoformat().replace("+00:00", "Z"),
    }


async def test_a_result_tells_its_way_in_the_tree(account: Account, services: Services) -> None:
    """Of which other branches are no part; a long one begins above."""
    conversation = (await converse(account))["id"]
    chain = await talk(services, account, conversation, MAX_PATH + 2)
    branch = await say(services, account, conversation, "aside about lisp", parent=chain[1])
    leaf = await say(services, account, conversation, "at last about lisp", parent=chain[-1])
    other = await say(services, account, (await converse(account))["id"], "elsewhere about lisp")
    ways = {item["message_id"]: item["path"] for item in (await search(account, "lisp"))["items"]}
    assert ways == {
        str(branch.id): [str(one.id) for one in (*chain[:2], branch)],
        str(leaf.id): [str(one.id) for one in (*chain[3:], leaf)],
        str(other.id): [str(other.id)],
    }
    shown = (await account.get(f"/conversations/{conversation}/messages", params={"leaf": str(branch.id)})).json()
    assert [item["id"] for item in shown["items"]] == ways[str(branch.id)]


async def test_nobody_finds_what_others_say(
    account: Account, stranger: Account, guest: GuestCaller, services: Services
) -> None:
    callers: list[Caller] = [account, stranger, guest]
    said = [await say(services, caller, (await converse(caller))["id"], "a secret plan") for caller in callers]
    for caller, message in zip(callers, said, strict=True):
        assert await found(caller, "secret") == [str(message.id)]
        assert await found(caller, "sec* pla*") == [str(message.id)]


async def test_both_sides_are_found_and_instructions_are_not(account: Account, services: Services) -> None:
    conversation = (await converse(account))["id"]
    question = await say(services, account, conversation, "question about lisp")
    answer = await say(
        services, account, conversation, "answer about lisp", parent=question, role=MessageRole.ASSISTANT
    )
    await say(services, account, conversation, "rules about lisp", parent=answer, role=MessageRole.SYSTEM)
    unfinished = await say(
        services, account, conversation, "", parent=answer, role=MessageRole.ASSISTANT, status=MessageStatus.STREAMING
    )
    assert set(await found(account, "lisp")) == {str(question.id), str(answer.id)}
    assert str(unfinished.id) not in await found(account, "lisp answer question")


async def test_temporary_conversations_are_not_searched(account: Account, services: Services) -> None:
    await say(services, account, (await converse(account, is_temporary=True))["id"], "between us")
    assert await found(account, "between") == []


async def test_what_is_deleted_or_expired_is_not_found(account: Account, services: Services) -> None:
    kept, deleted, expired = [(await converse(account))["id"] for _ in range(3)]
    messages = [await say(services, account, one, "the same words") for one in (kept, deleted, expired)]
    assert (await account.request("DELETE", f"/conversations/{deleted}")).is_success
    async with services.database.session() as session:
        row = await session.get(Conversation, messages[2].conversation_id)
        assert row is not None
        row.expires_at = services.clock.now()
        await session.commit()
    assert await found(account, "words") == [str(messages[0].id)]


async def test_a_guests_messages_are_found_once_claimed(
    account: Account, guest: GuestCaller, services: Services
) -> None:
    before = await say(services, account, (await converse(account))["id"], "mine about turtles")
    taken = await say(services, guest, (await converse(guest))["id"], "theirs about turtles")
    answer = await account.request("POST", "/conversations/claim", headers={"Guest-Token": guest.token})
    assert answer.is_success, answer.text
    assert set(await found(account, "turtle")) == {str(before.id), str(taken.id)}


async def test_pages_follow_each_other(account: Account, services: Services) -> None:
    conversation = (await converse(account))["id"]
    said = await talk(services, account, conversation, 25)
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await search(account, "message", limit=10, **cursor)
        seen += [item["message_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == 25
    assert set(seen) == {str(message.id) for message in said}


async def test_a_cursor_is_good_for_one_text(account: Account, services: Services) -> None:
    await talk(services, account, (await converse(account))["id"], 5)
    cursor = (await search(account, "message", limit=2))["next_cursor"]
    for params in ({"q": "messages"}, {"q": "message 1"}, {"q": "message", "cursor": cursor[:-2] + "AA"}):
        answer = await account.get("/search", params={"limit": 2, "cursor": cursor, **params})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_it_says_whether_all_words_were_found(account: Account, services: Services) -> None:
    await say(services, account, (await converse(account))["id"], "apples and pears")
    assert (await search(account, "apple pear"))["match"] == "all"
    page = await search(account, "apple plum")
    assert (page["match"], len(page["items"])) == ("any", 1)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"q": ""},
        {"q": "x" * 501},
        {"q": "a\x00b"},
        {"q": "a\x1bb"},
        {"q": "a", "domain": "users"},
        {"q": "a", "limit": 0},
        {"q": "a", "limit": 101},
        {"q": "a", "cursor": "%%%"},
        {"q": "a", "cursor": "é"},
    ],
)
async def test_what_is_no_search_is_refused(account: Account, params: dict[str, Any]) -> None:
    assert (await account.get("/search", params=params)).status_code == 422


STRANGE = [
    "'", '"', '"""', "*", "-", "--", '-"', "a*" * 50, "-a " * 90, '"a b" ' * 80, "%", "_", "\\", "a\\", "')--",
    "{}", "a OR b", "NEAR(a b)", "a:b", "^a", "col:", "(", "中" * 200, "\u202e\u200d", "\U0001f600", "﷽", "ﷺ" * 40,
    "a\tb\nc", "İ" * 100, "\u0301" * 100, "1e999", "NaN", "$1", ":a", "?", "%s", "%(a)s", "a " * 200, "ab* " * 100,
]  # fmt: skip


async def test_every_text_is_a_search(account: Account, services: Services) -> None:
    await say(services, account, (await converse(account))["id"], "a word")
    for text in STRANGE:
        assert isinstance((await search(account, text))["items"], list), text


async def test_a_search_costs_a_constant_number_of_statements(account: Account, services: Services) -> None:
    conversation = (await converse(account))["id"]
    counts: list[int] = []
    page: dict[str, Any] = {}
    for _ in range(2):
        await talk(services, account, conversation, 20)
        await search(account, "message", limit=100)
        with statements_of(services) as sent:
            page = await search(account, "message", limit=100)
        counts.append(len([one for one in sent if "search_" in one or "messages" in one]))
    assert len(page["items"]) == 40
    assert counts[0] == counts[1] == 8


async def test_searching_while_others_write(account: Account, services: Services) -> None:
    conversation = (await converse(account))["id"]
    await asyncio.gather(
        *(say(services, account, conversation, f"word {number}") for number in range(6)),
        *(search(account, "word") for _ in range(6)),
    )
    assert len(await found(account, "word")) == 6


async def test_without_a_token_nothing_is_found(account: Account) -> None:
    answer = await account.client.get(f"{API}/search", params={"q": "a"})
    assert answer.status_code == 401
