"""A request of each operation on accounts that changes something."""

from app.auth.types import AuditAction
from tests.auth.audit.stage import Request, Stage, operation
from tests.auth.credentials import service_of, token_of
from tests.auth.guests.stage import visitor
from tests.auth.mail_flows import flows
from tests.support import PASSWORD, prove_address


@operation
async def register_(stage: Stage) -> Request:
    body = {"email": "new@example.com", "password": PASSWORD}
    return Request(AuditAction.REGISTERED, options={"json": body})


@operation
async def login(stage: Stage) -> Request:
    return Request(AuditAction.LOGIN, options={"json": {"email": stage.account.email, "password": PASSWORD}})


@operation
async def create_token(stage: Stage) -> Request:
    form = {"grant_type": "password", "username": stage.account.email, "password": PASSWORD}
    return Request(AuditAction.LOGIN, options={"data": form})


@operation
async def refresh(stage: Stage) -> Request:
    return Request(None, options={"json": {"refresh_token": stage.account.refresh_token}})


@operation
async def logout(stage: Stage) -> Request:
    return Request(AuditAction.LOGOUT, by=stage.account)


@operation
async def revoke_token(stage: Stage) -> Request:
    form = {"token": stage.account.refresh_token, "client_id": "merit"}
    return Request(AuditAction.LOGOUT, options={"data": form})


@operation
async def introspect_token(stage: Stage) -> Request:
    service = await service_of(stage.admin, ["tokens:introspect"])
    return Request(None, options={"data": {"token": stage.account.access_token}, "headers": service.basic})


@operation
async def forgot_password(stage: Stage) -> Request:
    return Request(None, options={"json": {"email": stage.account.email}})


@operation
async def reset_password(stage: Stage) -> Request:
    token = await flows.reset_token(stage.account, stage.mailbox)
    return Request(AuditAction.PASSWORD_RESET, options={"json": {"token": token, "new_password": flows.NEW_PASSWORD}})


@operation
async def secure_account(stage: Stage) -> Request:
    await prove_address(stage.services, stage.account)  # notices go to proven addresses only
    body = {"current_password": PASSWORD, "new_password": flows.NEW_PASSWORD}
    assert (await stage.account.request("POST", "/users/me/password", json=body)).is_success
    token = await flows.token_to(stage.mailbox, stage.account.email)
    return Request(AuditAction.ACCOUNT_SECURED, options={"json": {"token": token}})


@operation
async def verify_email(stage: Stage) -> Request:
    assert (await flows.post(stage.account.client, "/auth/verify-email/resend", email=stage.account.email)).is_success
    token = await flows.token_to(stage.mailbox, stage.account.email)
    return Request(AuditAction.EMAIL_VERIFIED, options={"json": {"token": token}})


@operation
async def resend_verification(stage: Stage) -> Request:
    return Request(None, options={"json": {"email": stage.account.email}})


@operation
async def change_email(stage: Stage) -> Request:
    return Request(AuditAction.EMAIL_CHANGE_REQUESTED, by=stage.account, options={"json": {"email": "b@example.com"}})


@operation
async def confirm_email_change(stage: Stage) -> Request:
    assert (await flows.change_email(stage.account, "b@example.com")).is_success
    token = await flows.token_to(stage.mailbox, "b@example.com")
    return Request(AuditAction.EMAIL_CHANGED, options={"json": {"token": token}})


@operation
async def undo_email_change(stage: Stage) -> Request:
    token = await flows.move_to(stage.account, stage.mailbox, "b@example.com")
    return Request(AuditAction.EMAIL_CHANGE_UNDONE, options={"json": {"token": token}})


@operation
async def update_me(stage: Stage) -> Request:
    return Request(AuditAction.PROFILE_UPDATED, by=stage.account, options={"json": {"full_name": "Grace"}})


@operation
async def change_password(stage: Stage) -> Request:
    body = {"current_password": PASSWORD, "new_password": flows.NEW_PASSWORD}
    return Request(AuditAction.PASSWORD_CHANGED, by=stage.account, options={"json": body})


@operation
async def end_my_session(stage: Stage) -> Request:
    session_id = (await stage.account.get("/users/me/sessions")).json()["items"][0]["id"]
    return Request(AuditAction.SESSION_ENDED, {"session_id": session_id}, stage.account)


@operation
async def create_my_token(stage: Stage) -> Request:
    body = {"name": "script", "scopes": ["profile:read"]}
    return Request(AuditAction.PERSONAL_TOKEN_CREATED, by=stage.account, options={"json": body})


@operation
async def revoke_my_token(stage: Stage) -> Request:
    token = await token_of(stage.account)
    return Request(AuditAction.PERSONAL_TOKEN_REVOKED, {"token_id": token.id}, stage.account)


@operation
async def revoke_user_tokens(stage: Stage) -> Request:
    await token_of(stage.account)
    return Request(AuditAction.PERSONAL_TOKEN_REVOKED, stage.user, stage.admin)


@operation
async def update_user(stage: Stage) -> Request:
    return Request(AuditAction.USER_UPDATED, stage.user, stage.admin, {"json": {"role": "reviewer"}})


@operation
async def disable_user(stage: Stage) -> Request:
    return Request(AuditAction.USER_DISABLED, stage.user, stage.admin)


@operation
async def enable_user(stage: Stage) -> Request:
    assert (await stage.admin.request("POST", f"/admin/users/{stage.account.id}/disable")).is_success
    return Request(AuditAction.USER_ENABLED, stage.user, stage.admin)


@operation
async def end_user_sessions(stage: Stage) -> Request:
    return Request(AuditAction.SESSION_ENDED, stage.user, stage.admin)


@operation
async def send_password_reset(stage: Stage) -> Request:
    return Request(AuditAction.PASSWORD_RESET_REQUESTED, stage.user, stage.admin)


@operation
async def set_user_roles(stage: Stage) -> Request:
    body = {"role": "user", "custom_roles": [(await stage.role())["role_id"]]}
    return Request(AuditAction.USER_ROLES_CHANGED, stage.user, stage.admin, {"json": body})


@operation
async def create_role(stage: Stage) -> Request:
    body = {"name": "Helpers", "permissions": ["users:read"]}
    return Request(AuditAction.ROLE_CREATED, by=stage.admin, options={"json": body})


@operation
async def update_role(stage: Stage) -> Request:
    return Request(AuditAction.ROLE_UPDATED, await stage.role(), stage.admin, {"json": {"permissions": ["jobs:read"]}})


@operation
async def delete_role(stage: Stage) -> Request:
    return Request(AuditAction.ROLE_DELETED, await stage.role(), stage.admin)


@operation
async def create_invitation(stage: Stage) -> Request:
    return Request(AuditAction.INVITATION_CREATED, by=stage.admin, options={"json": {"email": "guest@example.com"}})


@operation
async def revoke_invitation(stage: Stage) -> Request:
    id_ = await stage.made("/admin/invitations", {"email": "guest@example.com"})
    return Request(AuditAction.INVITATION_REVOKED, {"invitation_id": id_}, stage.admin)


@operation
async def rotate_keys(stage: Stage) -> Request:
    return Request(AuditAction.KEY_ROTATION_STARTED, by=stage.admin)


@operation
async def create_service_account(stage: Stage) -> Request:
    body = {"name": "importer", "permissions": ["users:read"]}
    return Request(AuditAction.SERVICE_CREATED, by=stage.admin, options={"json": body})


@operation
async def update_service_account(stage: Stage) -> Request:
    return Request(AuditAction.SERVICE_UPDATED, await stage.service(), stage.admin, {"json": {"name": "exporter"}})


@operation
async def delete_service_account(stage: Stage) -> Request:
    return Request(AuditAction.SERVICE_DELETED, await stage.service(), stage.admin)


@operation
async def create_service_secret(stage: Stage) -> Request:
    return Request(AuditAction.SERVICE_SECRET_CREATED, await stage.service(), stage.admin, {"json": {}})


@operation
async def revoke_service_secret(stage: Stage) -> Request:
    service = await service_of(stage.admin)
    path = {"service_id": service.id, "secret_id": service.secret_id}
    return Request(AuditAction.SERVICE_SECRET_REVOKED, path, stage.admin)


@operation
async def create_guest(stage: Stage) -> Request:
    return Request(None)


@operation
async def delete_guest(stage: Stage) -> Request:
    return Request(None, options={"headers": (await visitor(stage.account.client)).headers})


@operation
async def claim_guest(stage: Stage) -> Request:
    headers = {**stage.account.headers, **(await visitor(stage.account.client)).headers}
    return Request(AuditAction.GUEST_CLAIMED, options={"headers": headers})


@operation
async def requeue_job(stage: Stage) -> Request:
    return Request(AuditAction.JOB_REQUEUED, await stage.dead_job(), stage.admin)
