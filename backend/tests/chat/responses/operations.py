"""What the operations of replies need to be there before, for the tests that look at every operation."""

from tests.chat.operations import Ids, Make, Options
from tests.support import Account

WORDS = {"content": "Hello"}


async def empty_conversation_of(account: Account) -> Ids:
    """A conversation."""
    answer = await account.request("POST", "/conversations", json={"default_model": "merit/echo"})
    assert answer.is_success, answer.text
    return {"conversation_id": answer.json()["id"]}


async def reply_of(account: Account) -> Ids:
    """A reply that is over: its id, and the id of its message."""
    ids = await empty_conversation_of(account)
    answer = await account.request("POST", f"/conversations/{ids['conversation_id']}/messages", json=WORDS)
    assert answer.status_code == 200, answer.text
    return {"response_id": answer.json()["id"], "message_id": answer.json()["message_id"]}


async def response_of(account: Account) -> Ids:
    """A reply that is over."""
    return {"response_id": (await reply_of(account))["response_id"]}


async def _send_message(account: Account) -> tuple[Ids, Options]:
    return await empty_conversation_of(account), {"json": WORDS}


async def _edit_message(account: Account) -> tuple[Ids, Options]:
    ids = await reply_of(account)
    parent_id = (await account.get(f"/responses/{ids['response_id']}")).json()["parent_id"]
    return {"message_id": parent_id}, {"json": WORDS}


async def _regenerate_reply(account: Account) -> tuple[Ids, Options]:
    return await reply_of(account), {"json": {}}


async def _continue_reply(account: Account) -> tuple[Ids, Options]:
    ids = await empty_conversation_of(account)
    body = {**WORDS, "params": {"max_tokens": 1}}
    answer = await account.request("POST", f"/conversations/{ids['conversation_id']}/messages", json=body)
    assert answer.json()["status"] == "incomplete", answer.text
    return {"message_id": answer.json()["message_id"]}, {"json": {}}


async def _cancel_response(account: Account) -> tuple[Ids, Options]:
    return await response_of(account), {}


UNAUDITED: dict[str, Make] = {
    "send_message": _send_message,
    "edit_message": _edit_message,
    "regenerate_reply": _regenerate_reply,
    "continue_reply": _continue_reply,
    "cancel_response": _cancel_response,
}
"""Operations that leave no event in the audit trail."""

OWNED = {
    "/api/v1/messages/{message_id}/edit": reply_of,
    "/api/v1/messages/{message_id}/regenerate": reply_of,
    "/api/v1/messages/{message_id}/continue": reply_of,
    "/api/v1/responses/{response_id}": response_of,
    "/api/v1/responses/{response_id}/cancel": response_of,
}
"""Paths with ids of one owner's things."""

BODIES = {
    ("post", "/api/v1/conversations/{conversation_id}/messages"): WORDS,
    ("post", "/api/v1/messages/{message_id}/edit"): WORDS,
}
"""What their operations take where nothing is not enough."""
