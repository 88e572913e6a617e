"""Forgotten passwords, and "this wasn't me"."""

from uuid import UUID

from fastapi import status

from app.auth.dependencies import ClientDep, UsersWriter
from app.auth.errors import (
    BreachCheckError,
    CodeThrottledError,
    EmailTakenError,
    HashQueueFullError,
    SuperuserProtectedError,
    UserNotFoundError,
    WeakPasswordError,
)
from app.auth.one_time_tokens.errors import InvalidCodeError, TokenExpiredError, TokenUsedError, UnknownTokenError
from app.auth.one_time_tokens.schemas import ACCEPTED, AcceptedRead
from app.auth.recovery.dependencies import RecoveryServiceDep
from app.auth.recovery.errors import AccountDisabledError
from app.auth.recovery.schemas import PasswordForgottenRequest, PasswordResetRequest, SecureAccountRequest
from app.auth.roles.errors import AccountProtectedError
from app.core.problems import error_responses
from app.routing import api_router

router = api_router()


@router.post(
    "/auth/password/forgot",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=AcceptedRead,
    summary="Ask for a reset link",
    tags=["auth"],
)
async def forgot_password(
    body: PasswordForgottenRequest, recovery: RecoveryServiceDep, client: ClientDep
) -> AcceptedRead:
    """Have a link and a code mailed to an account's address. The answer is the same for every address."""
    await recovery.request_reset(body.email, client)
    return ACCEPTED


@router.post(
    "/auth/password/reset",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Set a new password",
    tags=["auth"],
    responses=error_responses(
        UnknownTokenError,
        TokenUsedError,
        TokenExpiredError,
        InvalidCodeError,
        CodeThrottledError,
        WeakPasswordError,
        BreachCheckError,
        HashQueueFullError,
    ),
)
async def reset_password(body: PasswordResetRequest, recovery: RecoveryServiceDep, client: ClientDep) -> None:
    """Replace a forgotten password, proven by the link or the code in the mail.

    Ends all sessions and personal access tokens, and opens none: log in with the new password.
    """
    await recovery.reset(body.to_proof(), body.new_password.get_secret_value(), client)


@router.post(
    "/auth/secure-account",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Lock everyone out of your account",
    tags=["auth"],
    responses=error_responses(UnknownTokenError, TokenUsedError, TokenExpiredError, EmailTakenError),
)
async def secure_account(body: SecureAccountRequest, recovery: RecoveryServiceDep, client: ClientDep) -> None:
    """ "This wasn't me": end all sessions and tokens, make the password useless, and mail a link to set a new one."""
    await recovery.secure(body.token.get_secret_value(), client)


@router.post(
    "/admin/users/{user_id}/send-reset",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=AcceptedRead,
    summary="Send a reset link",
    tags=["admin"],
    responses=error_responses(UserNotFoundError, SuperuserProtectedError, AccountProtectedError, AccountDisabledError),
)
async def send_password_reset(
    user_id: UUID, actor: UsersWriter, recovery: RecoveryServiceDep, client: ClientDep
) -> AcceptedRead:
    """Mail a link for a new password to the account's address. Nobody but its owner can set one."""
    await recovery.send_reset(actor, user_id, client)
    return ACCEPTED
