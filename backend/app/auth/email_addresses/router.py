"""Proving an address, changing it, and undoing the change."""

from fastapi import status

from app.auth.dependencies import ClientDep, FreshProfileWriter
from app.auth.email_addresses.dependencies import EmailAddressServiceDep
from app.auth.email_addresses.schemas import (
    EmailChangeRequest,
    EmailConfirmRequest,
    EmailUndoRequest,
    EmailVerifyRequest,
    VerificationResendRequest,
)
from app.auth.errors import CodeThrottledError, EmailTakenError, HashQueueFullError
from app.auth.one_time_tokens.errors import InvalidCodeError, TokenExpiredError, TokenUsedError, UnknownTokenError
from app.auth.one_time_tokens.schemas import ACCEPTED, AcceptedRead
from app.auth.recovery.dependencies import RecoveryServiceDep
from app.auth.registration.errors import PasswordRequiredError
from app.core.problems import error_responses
from app.routing import api_router

router = api_router()


@router.post(
    "/auth/verify-email",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Prove your address",
    tags=["auth"],
    responses=error_responses(
        UnknownTokenError,
        TokenUsedError,
        TokenExpiredError,
        InvalidCodeError,
        CodeThrottledError,
        PasswordRequiredError,
        EmailTakenError,
        HashQueueFullError,
    ),
)
async def verify_email(body: EmailVerifyRequest, addresses: EmailAddressServiceDep, client: ClientDep) -> None:
    """Prove an address by the link or the code that was mailed to it.

    This is also how a registration is completed. That needs the `password` which was chosen then, as anyone can begin
    one for any address; five wrong ones are the end of it.
    """
    await addresses.verify(body.to_proof(), client, password=body.to_password())


@router.post(
    "/auth/verify-email/resend",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=AcceptedRead,
    summary="Ask for the mail again",
    tags=["auth"],
)
async def resend_verification(
    body: VerificationResendRequest, addresses: EmailAddressServiceDep, client: ClientDep
) -> AcceptedRead:
    """Have the mail that proves an address sent again. The answer is the same for every address."""
    await addresses.resend(body.email, client)
    return ACCEPTED


@router.post(
    "/users/me/email",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=AcceptedRead,
    summary="Change your address",
    tags=["users"],
)
async def change_email(
    body: EmailChangeRequest, principal: FreshProfileWriter, addresses: EmailAddressServiceDep, client: ClientDep
) -> AcceptedRead:
    """Have a link and a code mailed to the new address. Your address changes when one of them is used.

    Needs a fresh login. The old address is told then, and can undo the change for seven days.
    """
    await addresses.request_change(principal, body.email, client)
    return ACCEPTED


@router.post(
    "/auth/email/confirm",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Confirm a new address",
    tags=["auth"],
    responses=error_responses(
        UnknownTokenError,
        TokenUsedError,
        TokenExpiredError,
        InvalidCodeError,
        CodeThrottledError,
        EmailTakenError,
    ),
)
async def confirm_email_change(body: EmailConfirmRequest, addresses: EmailAddressServiceDep, client: ClientDep) -> None:
    """Give your account its new address, proven by the link or the code that was mailed to it."""
    await addresses.confirm_change(body.to_proof(), client)


@router.post(
    "/auth/email/undo",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Undo a change of address",
    tags=["auth"],
    responses=error_responses(UnknownTokenError, TokenUsedError, TokenExpiredError, EmailTakenError),
)
async def undo_email_change(body: EmailUndoRequest, recovery: RecoveryServiceDep, client: ClientDep) -> None:
    """Give the account its old address back, by the link that was mailed there.

    Whoever changed it knows the password: so this also ends all sessions and tokens, makes the password useless, and
    mails a link to set a new one.
    """
    await recovery.undo_email_change(body.token.get_secret_value(), client)
