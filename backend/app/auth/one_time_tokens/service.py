"""Making, checking and using up one-time tokens."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import EmailTakenError
from app.auth.limits import LoginLimiter
from app.auth.models import User
from app.auth.one_time_tokens.errors import InvalidCodeError, TokenExpiredError, TokenUsedError, UnknownTokenError
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.one_time_tokens.repository import OneTimeTokenRepository, belongs_to
from app.auth.one_time_tokens.types import LIFETIMES, MAX_CODE_TRIES, TokenProof, TokenPurpose
from app.auth.types import AuditAction, Client
from app.core.ids import new_id
from app.core.text import normalize_email
from app.db.engine import Session

_NO_CLIENT = Client()
_OF_CREDENTIALS = (TokenPurpose.RESET_PASSWORD, TokenPurpose.CHANGE_EMAIL)


class OneTimeTokens:
    """One-time tokens within one transaction."""

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._clock = components.clock
        self._codec = components.one_time_tokens
        self._tokens = OneTimeTokenRepository(session, components.clock)
        self._limiter = LoginLimiter(session, components.settings, components.clock)
        self._audit = AuditTrail(session, components)

    async def create(
        self, purpose: TokenPurpose, *, email: str, user_id: UUID | None, payload: Mapping[str, Any] | None = None
    ) -> OneTimeToken:
        """Insert a token that comes into force when its mail is sent."""
        return await self._tokens.add(self._new(purpose, email, user_id, payload or {}))

    async def create_issued(self, purpose: TokenPurpose, user: User, payload: Mapping[str, Any]) -> OneTimeToken:
        """Insert a token that is in force at once, because no mail is sent. It has no code that could be guessed."""
        token = self._new(purpose, user.email, user.id, payload)
        token.issued_at, token.code_tries = token.created_at, MAX_CODE_TRIES
        return await self._tokens.add(token)

    async def find(self, proof: TokenProof, *purposes: TokenPurpose, client: Client = _NO_CLIENT) -> OneTimeToken:
        """The live token behind a link or a typed code. Finding it does not use it up.

        `client` is where a code comes from. Links are long enough to need no limit.

        Raises:
            UnknownTokenError, TokenUsedError, TokenExpiredError, InvalidCodeError: there is none.
            CodeThrottledError: too many wrong codes before this one.
        """
        if proof.token is not None:
            return await self._by_link(proof.token, purposes)
        return await self._by_code(normalize_email(proof.email or ""), proof.code or "", purposes, client)

    async def hold(self, purpose: TokenPurpose, email_normalized: str) -> None:
        """Let one at a time go on with an address's tokens of a purpose, until the transaction ends."""
        await self._tokens.hold(purpose, email_normalized)

    async def use(self, token: OneTimeToken) -> None:
        """Use a token up.

        Raises:
            TokenUsedError: someone else was first, or it was taken back in this moment.
        """
        if not await self._tokens.use(token.id):
            raise TokenUsedError

    async def require_free(self, email_normalized: str, *, but_for: UUID | None = None) -> None:
        """Refuse an address that an account has left and can still take back, unless it is this account.

        To be asked once the address is written: whoever leaves it at the same time is done by then.

        Raises:
            EmailTakenError: it is as good as taken.
        """
        if any(token.user_id != but_for for token in await self._tokens.list_ways_back(email_normalized)):
            raise EmailTakenError

    async def find_way_back(self, token: OneTimeToken) -> OneTimeToken:
        """What gives the account of a token the address back that the token was sent to; the oldest, which undoes most.

        Raises:
            UnknownTokenError: there is none, or none any more.
        """
        for way_back in await self._tokens.list_ways_back(token.email_normalized):
            if (way_back.user_id, way_back.email) == (token.user_id, token.email):
                return way_back
        raise UnknownTokenError

    async def revoke_credential_changes(self, user: User) -> None:
        """Take back whatever could still change an account's password or address on an earlier request.

        A reset that was asked for by the address belongs to nobody before its mail is sent.
        """
        await self._tokens.revoke(belongs_to(user), OneTimeToken.purpose.in_(_OF_CREDENTIALS))

    async def revoke_younger(self, token: OneTimeToken) -> None:
        """Take back the tokens of the same account and purpose that were made after this one."""
        await self._tokens.revoke(
            OneTimeToken.user_id == token.user_id,
            OneTimeToken.purpose == token.purpose,
            OneTimeToken.id > token.id,
        )

    async def revoke_of_user(self, user_id: UUID, purpose: TokenPurpose) -> None:
        """Take back an account's tokens of one purpose."""
        await self._tokens.revoke(OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose)

    async def revoke_of_address(self, email_normalized: str, purpose: TokenPurpose) -> None:
        """Take back an address's tokens of one purpose."""
        await self._tokens.revoke(OneTimeToken.email_normalized == email_normalized, OneTimeToken.purpose == purpose)

    def _new(self, purpose: TokenPurpose, email: str, user_id: UUID | None, payload: Mapping[str, Any]) -> OneTimeToken:
        now = self._clock.now()
        return OneTimeToken(
            id=new_id(),
            purpose=purpose,
            user_id=user_id,
            email=email,
            email_normalized=normalize_email(email),
            payload=dict(payload),
            created_at=now,
            expires_at=now + LIFETIMES[purpose],
        )

    async def _by_link(self, text: str, purposes: tuple[TokenPurpose, ...]) -> OneTimeToken:
        id_ = self._codec.id_of(text, purposes)
        token = None if id_ is None else await self._tokens.get(id_)
        if token is None or token.revoked_at is not None or token.issued_at is None:
            raise UnknownTokenError
        if token.used_at is not None:
            raise TokenUsedError
        if token.expires_at <= self._clock.now():
            raise TokenExpiredError
        return token

    async def _by_code(self, email: str, code: str, purposes: tuple[TokenPurpose, ...], client: Client) -> OneTimeToken:
        limits = await self._limiter.reserve_code(email, client.address)
        candidates = await self._tokens.count_code_try(purposes, email)
        await self._session.commit()  # commit: a guess counts whatever follows
        for token in candidates:
            if self._codec.is_code(code, token.purpose, token.id):
                await self._limiter.release_code(email, client.address)
                await self._tokens.take_code_try_back(token.id)
                await self._session.commit()  # commit: a right code is no guess, whatever follows
                return token
        user_id = next((token.user_id for token in candidates), None)
        detail = {"purposes": [purpose.value for purpose in purposes]}
        await self._audit.record_failure(
            AuditAction.MAIL_CODE_FAILED, client, user_id=user_id, detail=detail, limits=limits
        )
        await self._session.commit()  # commit: security write before a refusal
        raise InvalidCodeError
