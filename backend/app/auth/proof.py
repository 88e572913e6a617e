"""What a token proves: the one place that tells a living token from a dead one, whichever kind it is of."""

from datetime import UTC, datetime

from app.auth.components import AuthComponents
from app.auth.errors import InvalidTokenError, SessionRequiredError
from app.auth.tokens import UnknownKeyError
from app.auth.types import AccessClaims, Actor, Operator, Principal, PrincipalKind


async def prove(parts: AuthComponents, token: str) -> tuple[PrincipalKind, AccessClaims]:
    """What kind of token it is, and what it says, if it is alive. To prove it is not yet to use it.

    Raises:
        InvalidTokenError: it is dead, or was never a token.
        DBAPIError, OSError, TimeoutError: the database is needed, and does not answer.
    """
    if parts.personal_tokens.codec.is_ours(token):
        return PrincipalKind.PERSONAL_TOKEN, await parts.personal_tokens.verify(token)
    claims = await _verified(parts, token)
    if await parts.revocations.is_revoked(claims):
        raise InvalidTokenError
    return PrincipalKind.SESSION if claims.amr else PrincipalKind.SERVICE, claims


def principal_of(kind: PrincipalKind, claims: AccessClaims) -> Principal:
    """Who calls with such a token."""
    return Principal(
        kind=kind,
        user_id=claims.sub,
        session_id=claims.sid,
        client_id=claims.client_id,
        permissions=claims.scope,
        auth_time=datetime.fromtimestamp(claims.auth_time, UTC),
    )


def require_person(actor: Actor) -> None:
    """Refuse what only people and operators may do, and never a program, whatever its token's scopes.

    Raises:
        SessionRequiredError: the caller uses a personal or service token.
    """
    if not isinstance(actor, Operator) and actor.kind is not PrincipalKind.SESSION:
        raise SessionRequiredError


async def _verified(parts: AuthComponents, token: str) -> AccessClaims:
    for look_for_keys in (parts.revocations.catch_up, parts.keys.reload):
        try:
            return parts.access_tokens.verify(token)
        except UnknownKeyError:  # another worker may have added the key since ours were loaded
            await look_for_keys()
    try:
        return parts.access_tokens.verify(token)
    except UnknownKeyError:
        raise InvalidTokenError from None
