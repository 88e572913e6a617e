"""Recognising personal access tokens without SQL on the way of a request.

A token is looked up at its first use. From then on its rights are kept in memory like the claims of an access token:
for no longer than one of those lives, and checked against the same revocations. A new auth version of its owner makes
it be looked up again, so that a change of rights, too, works from the next request on.
"""

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass

from app.auth.errors import InvalidTokenError
from app.auth.personal_tokens.models import PersonalToken
from app.auth.personal_tokens.repository import PersonalTokenRepository
from app.auth.personal_tokens.usage import TokenUsage
from app.auth.repository import UserRepository
from app.auth.revocation import RevocationFeed
from app.auth.roles.repository import UserRoleRepository
from app.auth.secret_texts import SecretText, SecretTextCodec
from app.auth.types import FIRST_PARTY_CLIENT, NO_ASSURANCE, AccessClaims
from app.core.clock import Clock
from app.core.settings import Settings
from app.db.engine import Database, Session

TOKEN_PREFIX = "pat"  # noqa: S105 - the kind of the secret, not a secret
_MAX_KNOWN_TOKENS = 20_000
# A dead token that is tried again and again costs one look into the database in this time.
_STAYS_DEAD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a token until a moment of the monotonic clock; None where it is dead."""

    claims: AccessClaims | None
    until: float


class PersonalTokenVerifier:
    """Knows the personal tokens that are in use. Belongs to the event loop, like the codec of access tokens."""

    def __init__(self, database: Database, settings: Settings, clock: Clock, revocations: RevocationFeed) -> None:
        self.codec = SecretTextCodec(TOKEN_PREFIX, settings.secret_key)
        self.usage = TokenUsage(database, clock)
        self._database = database
        self._settings = settings
        self._clock = clock
        self._revocations = revocations
        self._known: OrderedDict[bytes, _Known] = OrderedDict()  # by digest, the longest known first

    async def start(self) -> None:
        """Begin to write last uses."""
        await self.usage.start()

    async def close(self) -> None:
        """Write the last uses that are left."""
        await self.usage.close()

    async def verify(self, text: str) -> AccessClaims:
        """What a token that is valid now may do, as if it were an access token.

        Raises:
            InvalidTokenError: unknown, expired, revoked, of a disabled account, or made up.
            DBAPIError, OSError, TimeoutError: the database is needed, and does not answer.
        """
        if not self.codec.has_form(text):
            raise InvalidTokenError
        claims = await self._living(text, hashlib.sha256(text.encode()).digest())
        if claims.exp <= self._clock.now().timestamp():
            raise InvalidTokenError
        return claims

    async def _living(self, text: str, digest: bytes) -> AccessClaims:
        for _ in range(2):
            known = self._known.get(digest)
            if known is None or known.until <= self._clock.monotonic():
                known = await self._look_up(text)
            if known.claims is None:
                break
            if not await self._revocations.is_revoked(known.claims):
                return known.claims
            self._known.pop(digest, None)  # revoked, or its owner's rights have changed: the row tells which
        raise InvalidTokenError

    async def _look_up(self, text: str) -> _Known:
        started = self._clock.monotonic()
        secret = self.codec.decode(text)
        if secret is None:
            return _Known(None, started)
        async with self._database.read_session() as session:
            token = await PersonalTokenRepository(session, self._clock).get(secret.id)
            is_right = token is not None and hmac.compare_digest(token.token_hash, secret.digest)
            claims = await self._claims_of(session, token) if token is not None and is_right else None
        lasts = _STAYS_DEAD_SECONDS if claims is None else self._settings.access_token_seconds
        known = _Known(claims, started + lasts)
        self._remember(secret, known)
        return known

    async def _claims_of(self, session: Session, token: PersonalToken) -> AccessClaims | None:
        """What the token may do: of what it was granted, whatever its owner may do now."""
        user = await UserRepository(session, self._clock).get(token.user_id)
        if user is None or not user.is_active:
            return None
        permitted = await UserRoleRepository(session, self._clock).permissions_of(user)
        return AccessClaims(
            iss=self._settings.issuer,
            aud=self._settings.jwt_audience,
            sub=user.id,
            client_id=FIRST_PARTY_CLIENT,
            exp=int(token.expires_at.timestamp()),
            iat=int(token.created_at.timestamp()),
            jti=str(token.id),
            sid=token.id,
            ver=user.auth_version,
            scope=frozenset(token.scopes) & permitted,
            acr=NO_ASSURANCE,
            amr=(),
            auth_time=int(token.created_at.timestamp()),
        )

    def _remember(self, secret: SecretText, known: _Known) -> None:
        self._known.pop(secret.digest, None)
        self._known[secret.digest] = known
        if len(self._known) > _MAX_KNOWN_TOKENS:
            self._known.popitem(last=False)
