"""Revoking a token by presenting it, and telling a resource server whether one is alive."""

from contextlib import suppress

from app.auth.components import AuthComponents
from app.auth.errors import InvalidGrantError, InvalidTokenError
from app.auth.personal_tokens.errors import PersonalTokenNotFoundError
from app.auth.personal_tokens.service import PersonalTokenService
from app.auth.proof import principal_of, prove
from app.auth.sessions import SessionManager
from app.auth.token_endpoints.errors import UnsupportedTokenTypeError
from app.auth.types import AccessClaims, Client, PrincipalKind, SessionEndReason
from app.db.engine import Session

_REFRESH_TOKEN = "rt1."  # noqa: S105 - how refresh tokens begin


class TokenEndpointService:
    """What is done with a token that somebody presents, whoever that is: to hold it is the proof."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._parts = components
        self._clock = components.clock
        self._sessions = SessionManager(session, components)
        self._personal_tokens = PersonalTokenService(session, components)

    async def revoke(self, token: str, client_id: str | None, client: Client) -> None:
        """End what a token depends on: its session with all its tokens, or the personal token itself.

        Nothing happens where it is no living token: it is what the caller wanted (RFC 7009 section 2.2).

        Raises:
            InvalidGrantError: it is another client's than the one that calls.
            UnsupportedTokenTypeError: a service account's access token; it dies with its secret, or in minutes.
        """
        if token.startswith(_REFRESH_TOKEN):
            await self._revoke_refresh_token(token, client_id, client)
            return
        try:
            kind, claims = await self._prove(token)
        except InvalidTokenError:
            return
        _require_own(claims.client_id, client_id)
        match kind:
            case PrincipalKind.SESSION:
                await self._sessions.end([claims.sid], claims.sub, SessionEndReason.LOGOUT, client)
            case PrincipalKind.PERSONAL_TOKEN:
                with suppress(PersonalTokenNotFoundError):  # somebody else was faster
                    await self._personal_tokens.revoke(principal_of(kind, claims), claims.sid, client)
            case _:
                raise UnsupportedTokenTypeError("Revoke the secret of the service account, or let the token expire.")

    async def introspect(self, token: str) -> dict[str, object]:
        """What a living access token or personal token says; of anything else, that it is not active.

        A refresh token is not: a resource server must never take one for an access token.
        """
        try:
            _, claims = await self._prove(token)
        except InvalidTokenError:
            return {"active": False}
        if claims.exp <= self._clock.now().timestamp():  # the leeway is for our own clocks
            return {"active": False}
        return {
            "active": True,
            "scope": " ".join(sorted(claims.scope)),
            "client_id": claims.client_id,
            "token_type": "Bearer",
            "exp": claims.exp,
            "iat": claims.iat,
            "nbf": claims.iat,
            "sub": claims.sub,
            "aud": claims.aud,
            "iss": claims.iss,
            "jti": claims.jti,
            "sid": claims.sid,
        }

    async def _prove(self, token: str) -> tuple[PrincipalKind, AccessClaims]:
        await self._session.commit()  # commit: the caller has been authenticated; the token may need a connection too
        return await prove(self._parts, token)

    async def _revoke_refresh_token(self, token: str, client_id: str | None, client: Client) -> None:
        try:
            holder = await self._sessions.holder(token, client)
        except InvalidGrantError:
            return
        _require_own(holder.client_id, client_id)
        await self._sessions.end([holder.session_id], holder.user_id, SessionEndReason.LOGOUT, client)


def _require_own(owner: str, client_id: str | None) -> None:
    """Refuse a token that was issued to another client than the one that says who it is (RFC 7009 section 2.1)."""
    if client_id is not None and client_id != owner:
        raise InvalidGrantError("The token was issued to another client.")
