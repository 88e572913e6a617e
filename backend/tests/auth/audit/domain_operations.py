"""A request of each operation of the domains that changes something, and why most leave no event."""

from collections.abc import Awaitable, Callable
from functools import partial

from app.auth.types import AuditAction
from tests.auth.audit.stage import PREPARED, Request, Stage, operation
from tests.chat import operations as conversations
from tests.chat.responses import operations as replies
from tests.chat.sharing import operations as shares
from tests.chat.transfer import operations as transfer
from tests.support import API, PASSWORD, Account

# Operations that leave no event when they succeed, each with its reason.
WITHOUT_EVENT = {
    "refresh": "clients choose how often; the session's row tells of the last one, and misuse is recorded",
    "introspect_token": "it only reads",
    "create_guest": "no account is concerned; whoever takes over what a guest made leaves an event",
    "delete_guest": "no account is concerned",
    "forgot_password": "recorded when the mail is made, by a job: the answer must not tell whether the account exists",
    "resend_verification": "sends a mail and changes nothing; using it is recorded",
    "update_preferences": "what one prefers is no matter of security, and has a history of its own",
    "set_preference": "see update_preferences",
    "unset_preference": "see update_preferences",
    "undo_preference_change": "see update_preferences",
    "forget_preference_device": "see update_preferences",
    "create_chat_completion": "talking to a model is no matter of security; what it used is recorded",
    "open_shared": "a stranger's reading; wrong passwords are counted like wrong logins",
    "report_metrics": "tells of operations elsewhere, and changes no account",
}


@operation
async def create_chat_completion(stage: Stage) -> Request:
    body = {"model": "merit/echo", "messages": [{"role": "user", "content": "Hello"}], "store": True}
    return Request(None, by=stage.account, options={"json": body})


@operation
async def update_preferences(stage: Stage) -> Request:
    return Request(None, by=stage.account, options={"json": {"language": "en"}})


@operation
async def set_preference(stage: Stage) -> Request:
    return Request(None, {"key": "language"}, stage.account, {"json": {"value": "en"}})


@operation
async def unset_preference(stage: Stage) -> Request:
    return Request(None, await stage.preference(), stage.account)


@operation
async def undo_preference_change(stage: Stage) -> Request:
    return Request(None, await stage.preference(), stage.account)


@operation
async def forget_preference_device(stage: Stage) -> Request:
    return Request(None, await stage.preference(), stage.account)


async def _unaudited(make: conversations.Make, stage: Stage) -> Request:
    ids, options = await make(stage.account)
    return Request(None, ids, stage.account, options)


PREPARED |= {name: partial(_unaudited, make) for name, make in conversations.UNAUDITED.items()}
WITHOUT_EVENT |= dict.fromkeys(conversations.UNAUDITED, conversations.REASON)
PREPARED |= {name: partial(_unaudited, make) for name, make in replies.UNAUDITED.items()}
WITHOUT_EVENT |= dict.fromkeys(replies.UNAUDITED, conversations.REASON)
PREPARED |= {name: partial(_unaudited, make) for name, make in transfer.UNAUDITED.items()}
WITHOUT_EVENT |= dict.fromkeys(transfer.UNAUDITED, conversations.REASON)


async def _audited(action: AuditAction, make: Callable[[Account], Awaitable[dict[str, str]]], stage: Stage) -> Request:
    return Request(action, await make(stage.account), stage.account, {"json": {}})


PREPARED |= {name: partial(_audited, *row) for name, row in shares.AUDITED.items()}


@operation
async def open_shared(stage: Stage) -> Request:
    path = await shares.share_of(stage.account, password=PASSWORD)
    return Request(None, path, options={"json": {"password": PASSWORD}})


@operation
async def load_prices(stage: Stage) -> Request:
    body = {"prices": [{"match_pattern": "gpt*", "unit": "input", "price": "0.000001"}]}
    return Request(AuditAction.PRICES_LOADED, by=stage.admin, options={"json": body})


LIMIT = {"scope_type": "user", "metric": "tokens", "window_seconds": 3600, "amount": "100"}


@operation
async def create_limit(stage: Stage) -> Request:
    return Request(AuditAction.USAGE_LIMIT_CREATED, by=stage.admin, options={"json": LIMIT})


@operation
async def update_limit(stage: Stage) -> Request:
    path = {"limit_id": await stage.made("/admin/limits", LIMIT)}
    return Request(AuditAction.USAGE_LIMIT_UPDATED, path, stage.admin, {"json": {"amount": "1"}})


@operation
async def delete_limit(stage: Stage) -> Request:
    path = {"limit_id": await stage.made("/admin/limits", LIMIT)}
    return Request(AuditAction.USAGE_LIMIT_DELETED, path, stage.admin)


@operation
async def claim_conversations(stage: Stage) -> Request:
    guest = (await stage.account.client.post(f"{API}/guests")).json()
    headers = {**stage.account.headers, "Guest-Token": guest["token"]}
    return Request(AuditAction.GUEST_CLAIMED, options={"headers": headers})


@operation
async def report_metrics(stage: Stage) -> Request:
    body = {"operation": "editor.save", "duration_ms": 1}
    return Request(None, by=stage.admin, options={"json": body})
