"""Making, listing and revoking personal access tokens."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import UserNotFoundError
from app.auth.limits import LoginLimiter
from app.auth.permissions import known_permissions
from app.auth.personal_tokens.errors import PersonalTokenNotFoundError, TooManyPersonalTokensError
from app.auth.personal_tokens.models import PersonalToken
from app.auth.personal_tokens.repository import PersonalTokenRepository
from app.auth.repository import UserRepository
from app.auth.roles.authority import Authority
from app.auth.sessions import SessionManager, require_known
from app.auth.types import AuditAction, Client, Principal, SessionEndReason
from app.core.ids import new_id
from app.core.pagination import Page
from app.db.engine import Session

_SORT = "-created_at"


@dataclass(frozen=True, slots=True)
class IssuedPersonalToken:
    """A new token, with the text that is shown once."""

    token: PersonalToken
    text: str = field(repr=False)


class PersonalTokenService:
    """Personal access tokens within one transaction.

    Whoever makes or revokes them holds the owner's row until the commit: parallel requests cannot exceed the limit, and
    no token is made by a session that ends meanwhile.
    """

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._clock = components.clock
        self._cursors = components.cursors
        self._codec = components.personal_tokens.codec
        self._revocations = components.revocations
        self._limit = components.settings.max_personal_tokens_per_user
        self._tokens = PersonalTokenRepository(session, components.clock)
        self._users = UserRepository(session, components.clock)
        self._sessions = SessionManager(session, components)
        self._authority = Authority(session, components)
        self._audit = AuditTrail(session, components)
        self._limiter = LoginLimiter(session, components.settings, components.clock)

    async def create(
        self, principal: Principal, *, name: str, scopes: Collection[str], lifetime: timedelta, client: Client
    ) -> IssuedPersonalToken:
        """Make a token for the caller, which can do no more than the caller.

        Raises:
            InvalidScopeError: a scope is unknown.
            PermissionNotHeldError: the caller, or its session, does not have one.
            TooManyPersonalTokensError: the account has as many as it may have.
            CredentialThrottledError: it made too many in the last hour.
            InvalidTokenError: the caller's session has ended meanwhile.
        """
        require_known(frozenset(scopes))
        granted = known_permissions(scopes)
        await self._sessions.hold(principal)
        standing = await self._authority.standing(principal)
        standing.require_givable(granted)
        mine = self._tokens.owned_by(principal.user_id)
        if await mine.count_live() >= self._limit:
            raise TooManyPersonalTokensError(f"Revoke one first; {self._limit} are allowed.")
        await self._limiter.reserve_credential(principal.user_id, client.address)
        secret, now = self._codec.new(new_id()), self._clock.now()
        token = PersonalToken(
            id=secret.id,
            user_id=principal.user_id,
            name=name,
            token_hash=secret.digest,
            scope=" ".join(sorted(granted)),
            created_at=now,
            expires_at=now + lifetime,
        )
        await self._tokens.add(token)
        await self._audit.record(
            AuditAction.PERSONAL_TOKEN_CREATED,
            client,
            user_id=principal.user_id,
            session_id=principal.session_id,
            detail={"token_id": str(token.id), "name": name, "scopes": token.scopes},
        )
        return IssuedPersonalToken(token=token, text=secret.text)

    async def list_(self, user_id: UUID, *, limit: int, cursor: str | None) -> Page[PersonalToken]:
        """A user's tokens, the newest first; expired ones are among them for a month."""
        after = None if cursor is None else self._cursors.decode(_SORT, cursor)
        items, position = await self._tokens.owned_by(user_id).page(sort=_SORT, limit=limit, after=after)
        return Page(items=items, next_cursor=None if position is None else self._cursors.encode(_SORT, position))

    async def list_of(self, user_id: UUID, *, limit: int, cursor: str | None) -> Page[PersonalToken]:
        """Someone's tokens, for administrators.

        Raises:
            UserNotFoundError: no such account.
        """
        if await self._users.get(user_id) is None:
            raise UserNotFoundError
        return await self.list_(user_id, limit=limit, cursor=cursor)

    async def revoke(self, principal: Principal, token_id: UUID, client: Client) -> None:
        """Revoke one of the caller's tokens; it is refused from the next request on.

        Raises:
            PersonalTokenNotFoundError: no such token of theirs.
        """
        if not await self._tokens.owned_by(principal.user_id).delete(token_id):
            raise PersonalTokenNotFoundError
        await self._end([token_id], principal.user_id, SessionEndReason.ENDED_BY_OWNER, client)

    async def revoke_of(self, actor: Principal, user_id: UUID, client: Client) -> None:
        """Revoke all of someone's tokens, for administrators. Recorded without any too.

        Raises:
            UserNotFoundError, SuperuserProtectedError, AccountProtectedError: see `Authority.changeable`.
        """
        await self._authority.changeable(await self._authority.standing(actor), user_id)
        count = await self.revoke_all(user_id, client, SessionEndReason.ENDED_BY_ADMIN, actor_id=actor.user_id)
        await self._audit.record(
            AuditAction.USER_TOKENS_REVOKED, client, user_id=user_id, actor_id=actor.user_id, detail={"count": count}
        )

    async def revoke_all(
        self, user_id: UUID, client: Client, reason: SessionEndReason, *, actor_id: UUID | None = None
    ) -> int:
        """Revoke all tokens of an account; how many there were."""
        await self._users.lock(user_id)
        token_ids = await self._tokens.owned_by(user_id).list_ids()
        if token_ids:
            await self._tokens.owned_by(user_id).delete_where()
            await self._end(token_ids, user_id, reason, client, actor_id=actor_id)
        return len(token_ids)

    async def _end(
        self,
        token_ids: Sequence[UUID],
        user_id: UUID,
        reason: SessionEndReason,
        client: Client,
        *,
        actor_id: UUID | None = None,
    ) -> None:
        await self._revocations.revoke_sessions(self._session, token_ids)
        for token_id in token_ids:
            await self._audit.record(
                AuditAction.PERSONAL_TOKEN_REVOKED,
                client,
                user_id=user_id,
                actor_id=actor_id,
                detail={"token_id": str(token_id), "reason": reason.value},
            )
