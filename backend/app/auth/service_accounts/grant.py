"""The client credentials grant (RFC 6749 section 4.4)."""

import hmac
from dataclasses import dataclass, field
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import InvalidScopeError
from app.auth.limits import Attempt, LoginLimiter, account_key
from app.auth.permissions import known_permissions
from app.auth.service_accounts.errors import InvalidClientError, UnauthorizedClientError
from app.auth.service_accounts.models import ServiceAccount, ServiceAccountSecret
from app.auth.service_accounts.repository import ServiceAccountRepository, ServiceAccountSecretRepository
from app.auth.sessions import require_known
from app.auth.types import NO_ASSURANCE, AuditAction, Client
from app.db.engine import Session


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a client has presented itself with."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthenticatedService:
    """A service account that has proven itself, and the secret it did so with."""

    account: ServiceAccount
    secret: ServiceAccountSecret

    @property
    def permissions(self) -> frozenset[str]:
        """What it may do now; what has become personal since it was given permits nothing."""
        return frozenset(one for one in known_permissions(self.account.permissions) if not one.is_personal)


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """What the grant hands out. `expires_in` is the token's life in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str


class ClientCredentialsGrant:
    """Authenticates service accounts, and gives them access tokens.

    A right secret is never held up: 256 random bits cannot be guessed, so others' failures must not shut a client out.
    Failures are counted like failed logins, which bounds what someone with wrong secrets can make the service write.
    """

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._clock = components.clock
        self._access_tokens = components.access_tokens
        self._codec = components.service_secrets
        self._services = ServiceAccountRepository(session, components.clock)
        self._secrets = ServiceAccountSecretRepository(session, components.clock)
        self._audit = AuditTrail(session, components)
        self._limiter = LoginLimiter(session, components.settings, components.clock)

    async def authenticate(self, credentials: ClientCredentials, client: Client) -> AuthenticatedService:
        """The service account behind an id and a secret.

        Raises:
            InvalidClientError: unknown, disabled, or a wrong, expired or revoked secret; nobody can tell which.
            LoginThrottledError: wrong, and too many failures before this one.
        """
        account = await self._account(credentials.client_id)
        found = None if account is None else await self._proven(account, credentials.client_secret)
        if found is None:
            await self._refuse(credentials.client_id, account, client)
            raise InvalidClientError
        await self._secrets.note_use(found.secret.id, self._clock.now())
        return found

    async def require_public(self, client_id: str) -> None:
        """Refuse the id of a service account from whoever has not proven to be it: tokens would bear its name.

        Raises:
            InvalidClientError: it is one.
        """
        if await self._account(client_id) is not None:
            raise InvalidClientError

    async def issue(self, credentials: ClientCredentials, scope: frozenset[str] | None, client: Client) -> ServiceToken:
        """An access token for all that the service account may do, or for a part of it.

        Raises:
            InvalidClientError, LoginThrottledError: see `authenticate`.
            UnauthorizedClientError: it may do nothing.
            InvalidScopeError: more is requested than it may do.
        """
        service = await self.authenticate(credentials, client)
        if not service.permissions:
            raise UnauthorizedClientError("This service account has no permissions.")
        granted = service.permissions if scope is None else scope
        require_known(granted)
        if not granted <= service.permissions:
            raise InvalidScopeError("The scope is wider than what this service account may do.")
        account = service.account
        issued = self._access_tokens.issue(
            user_id=account.id,
            session_id=service.secret.id,
            client_id=str(account.id),
            auth_version=account.auth_version,
            scope=granted,
            amr=(),  # no person was there to log in: this is how such a token is known
            acr=NO_ASSURANCE,
            auth_time=self._clock.now(),
            not_after=service.secret.expires_at,
        )
        await self._audit.record(
            AuditAction.SERVICE_TOKEN_ISSUED, client, user_id=account.id, session_id=service.secret.id
        )
        return ServiceToken(issued.token, issued.expires_in, " ".join(sorted(granted)))

    async def _account(self, client_id: str) -> ServiceAccount | None:
        try:
            return await self._services.get(UUID(client_id))
        except ValueError:
            return None

    async def _proven(self, account: ServiceAccount, text: str) -> AuthenticatedService | None:
        presented = self._codec.decode(text)
        secret = None if presented is None else await self._secrets.of(account.id).get(presented.id)
        if presented is None or secret is None or not hmac.compare_digest(secret.secret_hash, presented.digest):
            return None
        if not account.is_active or not secret.is_live(self._clock.now()):
            return None
        return AuthenticatedService(account, secret)

    async def _refuse(self, client_id: str, account: ServiceAccount | None, client: Client) -> None:
        key = account_key(f"service {client_id}", None if account is None else account.id)
        limits = await self._limiter.reserve(Attempt(key, client.address))
        user_id = None if account is None else account.id
        await self._audit.record_failure(AuditAction.SERVICE_LOGIN_FAILED, client, user_id=user_id, limits=limits)
        await self._session.commit()  # commit: security write before a refusal
