"""What people think of messages."""

import asyncio
from typing import Any

import pytest

from app.main import Services
from tests.auth.stage import code_of
from tests.chat.stage import GuestCaller, converse, say
from tests.support import Account


@pytest.fixture
async def path(services: Services, account: Account) -> str:
    """Where the feedback to a message of `account` is."""
    message = await say(services, account, (await converse(account))["id"])
    return f"/messages/{message.id}/feedback"


async def test_the_last_word_counts(account: Account, path: str) -> None:
    assert code_of(await account.get(path)) == (404, "feedback_not_found")
    full = {"rating": 1, "tags": ["helpful"], "comment": "Thanks\n🧑‍🚀"}
    for body, expected in ((full, full), ({"rating": -1}, {"rating": -1, "tags": [], "comment": None})):
        answer = await account.request("PUT", path, json=body)
        assert answer.status_code == 200
        assert answer.json() == (await account.get(path)).json()
        assert {name: answer.json()[name] for name in expected} == expected
    for _ in range(2):
        assert (await account.request("DELETE", path)).status_code == 204
    assert code_of(await account.get(path)) == (404, "feedback_not_found")


async def test_first_words_at_once_are_one(account: Account, path: str) -> None:
    answers = await asyncio.gather(*(account.request("PUT", path, json={"rating": 1}) for _ in range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rating": 0},
        {"rating": 2},
        {"rating": None},
        {"rating": True},
        {"rating": "1"},
        {"rating": 1, "tags": ["x"] * 11},
        {"rating": 1, "tags": [""]},
        {"rating": 1, "comment": "x" * 2001},
        {"rating": 1, "comment": ""},
        {"rating": 1, "user_id": "x"},
    ],
)
async def test_bad_input_is_refused(account: Account, path: str, body: dict[str, Any]) -> None:
    assert code_of(await account.request("PUT", path, json=body)) == (422, "validation_failed")


async def test_only_ones_own_messages_are_rated(
    account: Account, stranger: Account, guest: GuestCaller, path: str
) -> None:
    await account.request("PUT", path, json={"rating": 1})
    for method in ("GET", "PUT", "DELETE"):
        assert code_of(await stranger.request(method, path, json={"rating": -1})) == (404, "message_not_found")
        assert (await guest.request(method, path, json={"rating": -1})).status_code == 401
    assert (await account.get(path)).json()["rating"] == 1
