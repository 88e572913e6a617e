"""`POST /auth/register`."""

from fastapi import Response, status

from app.auth.dependencies import ClientDep
from app.auth.errors import (
    BreachCheckError,
    EmailTakenError,
    HashQueueFullError,
    InvitationRequiredError,
    RegistrationClosedError,
    RegistrationThrottledError,
    UsernameTakenError,
    WeakPasswordError,
)
from app.auth.guests.dependencies import OptionalGuestToken
from app.auth.models import User
from app.auth.one_time_tokens.errors import TokenExpiredError, TokenUsedError, UnknownTokenError
from app.auth.one_time_tokens.schemas import ACCEPTED, AcceptedRead
from app.auth.registration.dependencies import RegistrationServiceDep
from app.auth.registration.schemas import RegisterRequest
from app.auth.schemas import UserRead
from app.core.problems import error_responses
from app.routing import api_router

router = api_router("/auth", tags=["auth"])


@router.post(
    "/register",
    status_code=status.HTTP_201_CREATED,
    response_model=UserRead | AcceptedRead,
    summary="Create an account",
    responses={
        status.HTTP_202_ACCEPTED: {
            "model": AcceptedRead,
            "description": "The address must be confirmed first; the answer is the same for one with an account.",
        },
        **error_responses(
            UnknownTokenError,
            TokenUsedError,
            TokenExpiredError,
            RegistrationClosedError,
            InvitationRequiredError,
            RegistrationThrottledError,
            EmailTakenError,
            UsernameTakenError,
            WeakPasswordError,
            BreachCheckError,
            HashQueueFullError,
        ),
    },
)
async def register(
    body: RegisterRequest,
    registration: RegistrationServiceDep,
    client: ClientDep,
    response: Response,
    guest_token: OptionalGuestToken = None,
) -> User | AcceptedRead:
    """Create an account with a password. The address is compared without regard to case.

    Where addresses must be confirmed first, the account is made when the link or the code in the mail is used.
    """
    user = await registration.register(body.to_registrant(guest_token), client)
    if user is None:
        response.status_code = status.HTTP_202_ACCEPTED
    return user or ACCEPTED
