"""What each operation needs, and how it answers whoever is let in: said by hand, an operation a line."""

from dataclasses import dataclass, field
from typing import Any

from tests.support import PASSWORD


@dataclass(frozen=True)
class Operation:
    """What an operation needs, and how it answers whoever is let in.

    `needs` is a permission, `""` for whoever is signed in, None for everyone. `is_interactive` ones are for people
    with a session. Ids in the path are of nothing that exists, but for `user_id` and `session_id` of someone else.
    `guests` may call it too, or nobody else where it is `for_guests_only`.
    """

    needs: str | None
    status: int
    code: str | None = None
    is_interactive: bool = False
    body: dict[str, Any] = field(default_factory=dict)
    guests: bool = False
    for_guests_only: bool = False


def public(status: int, code: str | None = None, **body: Any) -> Operation:
    """Open to everyone, whatever token comes along."""
    return Operation(None, status, code, body=body)


def needs(permission: str, status: int = 200, code: str | None = None, **body: Any) -> Operation:
    """For callers with a permission, of whichever kind."""
    return Operation(permission, status, code, body=body)


def owned(permission: str, status: int = 200, code: str | None = None, **body: Any) -> Operation:
    """For callers with a permission, and for guests: whatever takes an `Owner`."""
    return Operation(permission, status, code, body=body, guests=True)


def guest_only(status: int = 200, code: str | None = None, **body: Any) -> Operation:
    """For guests; whoever has logged in is none."""
    return Operation(None, status, code, body=body, guests=True, for_guests_only=True)


def person(permission: str, status: int = 200, code: str | None = None, **body: Any) -> Operation:
    """For callers with a permission who have logged in themselves."""
    return Operation(permission, status, code, is_interactive=True, body=body)


PASSWORDS = {"current_password": PASSWORD, "new_password": "another passphrase 43"}
NO_PROOF = {"email": "nobody@example.com", "code": "000000"}
DAY = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
ROLES = {"role": "reviewer", "custom_roles": []}

# In this order; what ends the caller's own session comes last. `{owner}` and `{refresh}` stand for the address and the
# refresh token of one account, `{unique}` for another text each time.
OPERATIONS: dict[str, Operation] = {
    "get_me": needs("profile:read"),
    "update_me": needs("profile:write", json={"full_name": "Grace"}),
    "list_my_sessions": needs("profile:read"),
    "end_my_session": person("profile:write", 404, "session_not_found"),
    "list_my_events": needs("profile:read"),
    "change_email": person("profile:write", 202, json={"email": "new@example.com"}),
    "list_my_tokens": person("profile:read"),
    "create_my_token": person("profile:write", 201, json={"name": "script", "scopes": ["profile:read"]}),
    "revoke_my_token": person("profile:write", 404, "token_not_found"),
    "register": public(422, "weak_password", json={"email": "{unique}@example.com", "password": "password"}),
    "login": public(400, "invalid_scope", json={"email": "{owner}", "password": PASSWORD, "scope": "everything"}),
    "create_token": public(400, "invalid_scope", data={"username": "{owner}", "password": PASSWORD, "scope": "no"}),
    "refresh": public(200, json={"refresh_token": "{refresh}"}),
    "revoke_token": public(200, data={"token": "{unique}"}),
    "introspect_token": needs("tokens:introspect", data={"token": "{unique}"}),
    "forgot_password": public(202, json={"email": "nobody@example.com"}),
    "reset_password": public(400, "code_invalid", json={**NO_PROOF, "new_password": "another passphrase 43"}),
    "secure_account": public(400, "token_unknown", json={"token": "{unique}"}),
    "verify_email": public(400, "code_invalid", json=NO_PROOF),
    "resend_verification": public(202, json={"email": "nobody@example.com"}),
    "confirm_email_change": public(400, "code_invalid", json=NO_PROOF),
    "undo_email_change": public(400, "token_unknown", json={"token": "{unique}"}),
    "list_users": needs("users:read"),
    "get_user": needs("users:read"),
    "update_user": needs("users:write", json={"full_name": "Grace"}),
    "disable_user": needs("users:write"),
    "enable_user": needs("users:write"),
    "end_user_sessions": person("users:write", 204),
    "send_password_reset": needs("users:write", 202),
    "list_user_tokens": needs("users:read"),
    "revoke_user_tokens": person("users:write", 204),
    "get_user_roles": needs("users:read"),
    "set_user_roles": person("users:write", json=ROLES),
    "list_permissions": needs("roles:read"),
    "list_roles": needs("roles:read"),
    "get_role": needs("roles:read", 404, "role_not_found"),
    "create_role": person("roles:write", 201, json={"name": "{unique}", "permissions": []}),
    "update_role": person("roles:write", 404, "role_not_found", json={"description": None}),
    "delete_role": person("roles:write", 404, "role_not_found"),
    "list_invitations": needs("users:read"),
    "create_invitation": person("invitations:write", 201, json={"email": "{unique}@example.com"}),
    "revoke_invitation": person("invitations:write", 404, "invitation_not_found"),
    "list_audit_events": needs("audit:read"),
    "export_audit_events": needs("audit:read"),
    "list_keys": needs("keys:read"),
    "rotate_keys": person("keys:write", 422, "validation_failed", json={"compromised": "perhaps"}),
    "list_service_accounts": needs("services:read"),
    "create_service_account": person("services:write", 201, json={"name": "importer", "permissions": []}),
    "get_service_account": needs("services:read", 404, "service_account_not_found"),
    "update_service_account": person("services:write", 404, "service_account_not_found", json={"name": "other"}),
    "delete_service_account": person("services:write", 404, "service_account_not_found"),
    "list_service_secrets": needs("services:read", 404, "service_account_not_found"),
    "create_service_secret": person("services:write", 404, "service_account_not_found", json={}),
    "revoke_service_secret": person("services:write", 404, "service_account_not_found"),
    "list_jobs": needs("jobs:read"),
    "get_job": needs("jobs:read", 404, "job_not_found"),
    "requeue_job": needs("jobs:write", 404, "job_not_found"),
    "get_preferences": needs("preferences:read"),
    "update_preferences": needs("preferences:write", json={"appearance.theme": "dark"}),
    "get_preference_schema": needs("preferences:read"),
    "get_effective_preferences": needs("preferences:read"),
    "list_preference_changes": needs("preferences:read"),
    "undo_preference_change": needs("preferences:write", 404, "preference_change_not_found"),
    "list_preference_devices": needs("preferences:read"),
    "forget_preference_device": needs("preferences:write", 404, "preference_device_not_found"),
    "get_preference": needs("preferences:read", 404, "preference_not_found"),
    "set_preference": needs("preferences:write", 404, "preference_not_found", json={"value": 1}),
    "unset_preference": needs("preferences:write", 404, "preference_not_found"),
    "list_preference_history": needs("preferences:read"),
    "create_guest": public(201),
    "get_guest": guest_only(),
    "claim_guest": person("profile:write", 422, "validation_failed"),  # tests/auth/guests brings a guest along
    "list_gateway_models": owned("chat:read"),
    "create_chat_completion": owned(
        "chat:write", json={"model": "merit/echo", "messages": [{"role": "user", "content": "Hello"}]}
    ),
    "list_conversations": owned("chat:read"),
    "create_conversation": owned("chat:write", 201, json={"title": "Recursion"}),
    "claim_conversations": person("profile:write", 422, "validation_failed"),
    "get_conversation": owned("chat:read", 404, "conversation_not_found"),
    "update_conversation": owned("chat:write", 404, "conversation_not_found", json={"title": None}),
    "delete_conversation": owned("chat:write", 404, "conversation_not_found"),
    "fork_conversation": owned(
        "chat:write", 404, "conversation_not_found", json={"from_message": "0199c2a4-7d3e-7000-8000-000000000001"}
    ),
    "list_messages": owned("chat:read", 404, "conversation_not_found"),
    "list_tree": owned("chat:read", 404, "conversation_not_found"),
    "get_message": owned("chat:read", 404, "message_not_found"),
    "list_siblings": owned("chat:read", 404, "message_not_found"),
    "get_feedback": needs("chat:read", 404, "message_not_found"),
    "set_feedback": needs("chat:write", 404, "message_not_found", json={"rating": 1}),
    "delete_feedback": needs("chat:write", 404, "message_not_found"),
    "send_message": owned("chat:write", 404, "conversation_not_found", json={"content": "Hello"}),
    "edit_message": owned("chat:write", 404, "message_not_found", json={"content": "Hello"}),
    "regenerate_reply": owned("chat:write", 404, "message_not_found", json={}),
    "continue_reply": owned("chat:write", 404, "message_not_found", json={}),
    "read_response": owned("chat:read", 404, "response_not_found"),
    "cancel_response": owned("chat:write", 404, "response_not_found"),
    "list_folders": needs("chat:read"),
    "create_folder": needs("chat:write", 201, json={"name": "Thesis"}),
    "get_folder": needs("chat:read", 404, "folder_not_found"),
    "update_folder": needs("chat:write", 404, "folder_not_found", json={"name": "Thesis"}),
    "delete_folder": needs("chat:write", 404, "folder_not_found"),
    "save_message": owned("chat:write", 201, json={"session_id": "{unique}", "role": "user", "content": "Hello"}),
    "get_conversation_history": owned("chat:read", 422, "validation_failed"),
    "search_messages": owned("chat:read", params={"q": "recursion"}),
    "get_usage": owned("chat:read", params=DAY),
    "get_quota": owned("chat:read"),
    "list_prices": needs("prices:read"),
    "load_prices": needs("prices:write", json={"prices": [{"match_pattern": "{unique}", "unit": "input", "price": 1}]}),
    "list_limits": needs("quotas:read"),
    "get_limit": needs("quotas:read", 404, "limit_not_found"),
    "create_limit": needs("quotas:write", 422, "validation_failed", json={"scope_type": "everyone"}),
    "update_limit": needs("quotas:write", 404, "limit_not_found", json={"amount": "1"}),
    "delete_limit": needs("quotas:write", 404, "limit_not_found"),
    "get_everyones_usage": needs("usage:read", params=DAY),
    "create_share": needs("chat:write", 404, "conversation_not_found", json={}),
    "list_conversation_shares": needs("chat:read", 404, "conversation_not_found"),
    "revoke_share": needs("chat:write", 404, "share_not_found"),
    "list_shares": needs("chat:read"),
    "get_shared": public(404, "share_not_found"),
    "open_shared": public(404, "share_not_found", json={"password": "open sesame 42"}),
    "export_conversation": owned("chat:read", 404, "conversation_not_found"),
    "export_chat": needs("chat:read"),
    "create_import": needs("chat:write", 400, "no_file"),
    "list_imports": needs("chat:read"),
    "get_import": needs("chat:read", 404, "import_not_found"),
    "report_metrics": needs("metrics:write", 201, json={"operation": "editor.save", "duration_ms": 1}),
    "query_metrics": needs("metrics:read"),
    "list_operations": needs("metrics:read"),
    "get_dashboard": needs("metrics:read"),
    "scrape_metrics": needs("metrics:read"),
    "get_key_set": public(200),
    "live": public(200),
    "ready": public(200),
    "change_password": person("profile:write", 204, json=PASSWORDS),
    "logout": person("", 204),
    "delete_guest": guest_only(204),
}
