"""What endpoints take in their signatures that guests may call too: `require_owner(permission)` gives the `Owner`."""

from typing import Annotated, Any

from fastapi import Depends, Header, Security
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from app.auth.bearer import BearerScheme
from app.auth.errors import MissingTokenError
from app.auth.guests.errors import InvalidGuestTokenError
from app.auth.guests.service import GuestService
from app.auth.guests.types import KnownGuest, Owner
from app.auth.permissions import Permission, PermissionDeclarationError
from app.auth.types import Principal
from app.core.problems import refuses
from app.db.session import SessionDep

GUEST_HEADER = "Guest-Token"
GUEST_SCHEME = "guest"
_HELP = "The token of a guest, from `POST /guests`, for those who have not logged in."


class GuestScheme(SecurityBase):
    """The `Guest-Token` header of a request; None where there is none."""

    def __init__(self) -> None:
        self.scheme_name = GUEST_SCHEME
        self.model = APIKey.model_validate({"in": APIKeyIn.header, "name": GUEST_HEADER, "description": _HELP})

    async def __call__(self, request: Request) -> str | None:
        """The header's text.

        Raises:
            InvalidGuestTokenError: there are several.
        """
        lines = request.headers.getlist(GUEST_HEADER)
        if len(lines) > 1:
            raise InvalidGuestTokenError("Send one Guest-Token header.")
        return lines[0] if lines else None


class BearerOrGuest(BearerScheme):
    """The bearer scheme, which leaves those to the guest scheme who have nothing but a guest token."""

    async def __call__(  # type: ignore[override] # None where a guest calls
        self, request: Request, security_scopes: SecurityScopes
    ) -> Principal | None:
        """The caller who has logged in, or None. Whoever sends both tokens has logged in."""
        if "authorization" not in request.headers and GUEST_HEADER in request.headers:
            return None
        return await super().__call__(request, security_scopes)


_guest_scheme = GuestScheme()
_bearer_or_guest = BearerOrGuest()


async def get_guest_service(request: Request, session: SessionDep) -> GuestService:
    """The service of this request."""
    return GuestService(session, request.app.state.merit.auth)


GuestServiceDep = Annotated[GuestService, Depends(get_guest_service)]
_GuestText = Annotated[str | None, Security(_guest_scheme)]


@refuses(InvalidGuestTokenError)
async def _guest(token: _GuestText, guests: GuestServiceDep) -> KnownGuest:
    """The guest who calls."""
    if token is None:
        raise MissingTokenError
    return await guests.prove(token)


# In this order: who has logged in must be known before the session is made, which may then read the replica.
@refuses(InvalidGuestTokenError)
async def _owner(
    principal: Annotated[Principal | None, Security(_bearer_or_guest)], token: _GuestText, guests: GuestServiceDep
) -> Owner:
    """Whoever calls, as the owner of what they make."""
    if principal is not None:
        return Owner(user_id=principal.user_id)
    if token is None:  # pragma: no cover # the bearer scheme has refused
        raise MissingTokenError
    return Owner(guest_id=(await guests.prove(token)).id)


def require_owner(permission: Permission) -> Any:
    """The dependency that lets callers with this permission in, and guests, and gives the endpoint its `Owner`.

    A guest is held for the transaction of a request that may write (see `GuestService.prove`).

    Raises:
        PermissionDeclarationError: the permission was not declared with `guests=True`.
    """
    if not permission.is_for_guests:
        raise PermissionDeclarationError(f"{permission} is not for guests.")
    return Security(_owner, scopes=[permission])


GuestDep = Annotated[KnownGuest, Security(_guest)]
"""The guest who calls, where nobody else can."""

GuestTokenHeader = Annotated[str, Header(alias=GUEST_HEADER, description="The token of the guest.")]
OptionalGuestToken = Annotated[
    str | None,
    Header(alias=GUEST_HEADER, description="What this guest made becomes the account's; a dead token is ignored."),
]
"""The text of a guest's token, which somebody brings along to take over what the guest made."""
