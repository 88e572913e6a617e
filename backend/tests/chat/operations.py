"""What the operations of conversations need to be there before, for the tests that look at every operation."""

from collections.abc import Awaitable, Callable
from typing import Any

from app.core.ids import new_id
from tests.support import Account

REASON = "what one says and keeps is no matter of an account's security"

Ids = dict[str, str]
Options = dict[str, Any]
Make = Callable[[Account], Awaitable[tuple[Ids, Options]]]


async def conversation_of(account: Account) -> Ids:
    """A conversation with one message; the ids of both."""
    body = {"session_id": str(new_id()), "role": "user", "content": "Hello"}
    answer = await account.request("POST", "/conversation-history", json=body)
    assert answer.is_success, answer.text
    return {"conversation_id": answer.json()["conversation_id"], "message_id": answer.json()["id"]}


async def rated_message_of(account: Account) -> Ids:
    """The same with feedback."""
    ids = await conversation_of(account)
    answer = await account.request("PUT", f"/messages/{ids['message_id']}/feedback", json={"rating": 1})
    assert answer.is_success, answer.text
    return ids


async def folder_of(account: Account) -> Ids:
    """A folder."""
    answer = await account.request("POST", "/folders", json={"name": "Thesis"})
    assert answer.is_success, answer.text
    return {"folder_id": answer.json()["id"]}


async def _create_conversation(_account: Account) -> tuple[Ids, Options]:
    return {}, {"json": {"title": "Recursion", "tags": ["school"]}}


async def _update_conversation(account: Account) -> tuple[Ids, Options]:
    return await conversation_of(account), {"json": {"title": "Recursion", "tags": ["school"]}}


async def _delete_conversation(account: Account) -> tuple[Ids, Options]:
    return await conversation_of(account), {}


async def _fork_conversation(account: Account) -> tuple[Ids, Options]:
    ids = await conversation_of(account)
    return ids, {"json": {"from_message": ids["message_id"]}}


async def _set_feedback(account: Account) -> tuple[Ids, Options]:
    return await conversation_of(account), {"json": {"rating": -1}}


async def _delete_feedback(account: Account) -> tuple[Ids, Options]:
    return await rated_message_of(account), {}


async def _create_folder(_account: Account) -> tuple[Ids, Options]:
    return {}, {"json": {"name": "Thesis"}}


async def _update_folder(account: Account) -> tuple[Ids, Options]:
    return await folder_of(account), {"json": {"name": "Thesis"}}


async def _delete_folder(account: Account) -> tuple[Ids, Options]:
    return await folder_of(account), {}


async def _save_message(_account: Account) -> tuple[Ids, Options]:
    return {}, {"json": {"session_id": "session456", "role": "user", "content": "Hello"}}


UNAUDITED: dict[str, Make] = {
    "create_conversation": _create_conversation,
    "update_conversation": _update_conversation,
    "delete_conversation": _delete_conversation,
    "fork_conversation": _fork_conversation,
    "set_feedback": _set_feedback,
    "delete_feedback": _delete_feedback,
    "create_folder": _create_folder,
    "update_folder": _update_folder,
    "delete_folder": _delete_folder,
    "save_message": _save_message,
}
"""Operations that leave no event in the audit trail."""

OWNED: dict[str, Callable[[Account], Awaitable[Ids]]] = {
    "/api/v1/conversations/{conversation_id}": conversation_of,
    "/api/v1/conversations/{conversation_id}/fork": conversation_of,
    "/api/v1/conversations/{conversation_id}/messages": conversation_of,
    "/api/v1/conversations/{conversation_id}/tree": conversation_of,
    "/api/v1/messages/{message_id}": conversation_of,
    "/api/v1/messages/{message_id}/siblings": conversation_of,
    "/api/v1/messages/{message_id}/feedback": rated_message_of,
    "/api/v1/folders/{folder_id}": folder_of,
}
"""Paths with ids of one owner's things."""

BODIES: dict[tuple[str, str], Options] = {
    ("post", "/api/v1/conversations/{conversation_id}/fork"): {"from_message": str(new_id())},
    ("put", "/api/v1/messages/{message_id}/feedback"): {"rating": 1},
}
"""What their operations take where nothing is not enough."""
