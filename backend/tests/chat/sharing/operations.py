"""What the operations of links need to be there before, for the tests that look at every operation."""

from typing import Any

from app.auth.types import AuditAction
from tests.chat.operations import conversation_of
from tests.support import Account

Ids = dict[str, str]


async def share_of(account: Account, **members: Any) -> Ids:
    """A link; its id and token, and the id of its conversation."""
    ids = await conversation_of(account)
    answer = await account.request("POST", f"/conversations/{ids['conversation_id']}/shares", json=members)
    assert answer.is_success, answer.text
    return {**ids, "share_id": answer.json()["share"]["id"], "token": answer.json()["token"]}


async def ended_share_of(account: Account) -> Ids:
    """A link that everyone else must take for an unknown one."""
    ids = await share_of(account)
    path = f"/conversations/{ids['conversation_id']}/shares/{ids['share_id']}"
    assert (await account.request("DELETE", path)).is_success
    return ids


OWNED = {
    "/api/v1/conversations/{conversation_id}/shares": conversation_of,
    "/api/v1/conversations/{conversation_id}/shares/{share_id}": share_of,
    "/api/v1/shares/{token}": ended_share_of,
}
BODIES: dict[tuple[str, str], dict[str, Any]] = {("post", "/api/v1/shares/{token}"): {"password": "open sesame 42"}}
AUDITED = {
    "create_share": (AuditAction.SHARE_CREATED, conversation_of),
    "revoke_share": (AuditAction.SHARE_REVOKED, share_of),
}
