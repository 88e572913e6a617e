"""`/guests`: using the service without an account, and taking along what one made."""

from fastapi import Depends, status

from app.auth.dependencies import ClientDep, InteractiveProfileWriter, forbid_storing
from app.auth.guests.dependencies import GuestDep, GuestServiceDep, GuestTokenHeader
from app.auth.guests.errors import GuestClaimedError, GuestNotFoundError, GuestsOffError, GuestsThrottledError
from app.auth.guests.schemas import GuestClaimedRead, GuestCreatedRead, GuestRead
from app.auth.guests.types import IssuedGuest, KnownGuest
from app.core.problems import error_responses
from app.routing import api_router

router = api_router("/guests", tags=["guests"])


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=GuestCreatedRead,
    summary="Become a guest",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(GuestsOffError, GuestsThrottledError),
)
async def create_guest(guests: GuestServiceDep, client: ClientDep) -> IssuedGuest:
    """Get a guest token, to use some of the service without an account. It is shown this once.

    Send it as `Guest-Token`. With the header at your registration or login, what you made becomes your account's.
    """
    return await guests.create(client)


@router.get("/me", response_model=GuestRead, summary="Look at yourself as a guest")
async def get_guest(guest: GuestDep) -> KnownGuest:
    """The guest whose token this is, and how long it is kept if it is not used."""
    return guest


@router.delete("/me", status_code=status.HTTP_204_NO_CONTENT, summary="Delete everything you made as a guest")
async def delete_guest(guest: GuestDep, guests: GuestServiceDep) -> None:
    """Forget the guest, and whatever the guest made."""
    await guests.delete(guest)


@router.post(
    "/claim",
    response_model=GuestClaimedRead,
    summary="Take over what you made as a guest",
    responses=error_responses(GuestNotFoundError, GuestClaimedError),
)
async def claim_guest(
    principal: InteractiveProfileWriter, token: GuestTokenHeader, guests: GuestServiceDep, client: ClientDep
) -> GuestClaimedRead:
    """Make everything that the guest of this `Guest-Token` made your account's; the token is dead from then on.

    A login or registration with the header does the same by itself. Repeating it changes nothing.
    """
    return GuestClaimedRead(guest_id=await guests.claim(principal, token, client))
