"""Service accounts and their secrets, for administrators."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.limits import LoginLimiter
from app.auth.permissions import Permission, all_permissions, known_permissions
from app.auth.roles.authority import Authority, Standing
from app.auth.roles.errors import UnknownPermissionError
from app.auth.service_accounts.errors import (
    PersonalPermissionError,
    ServiceAccountNotFoundError,
    ServiceSecretNotFoundError,
    TooManyServiceSecretsError,
)
from app.auth.service_accounts.models import ServiceAccount, ServiceAccountSecret
from app.auth.service_accounts.repository import ServiceAccountRepository, ServiceAccountSecretRepository
from app.auth.sessions import SessionManager
from app.auth.types import AuditAction, Client, Principal
from app.core.ids import new_id
from app.core.pagination import Page
from app.db.engine import Session
from app.db.query import Column

MAX_LIVE_SECRETS = 2
"""Enough to hand out the next one while the last is still in use."""

_SORT = "-created_at"
_PLACE = ("body", "permissions")


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """A new secret, with the text that is shown once."""

    secret: ServiceAccountSecret
    text: str = field(repr=False)


class ServiceAccountService:
    """Service accounts within one transaction.

    Nobody hands a machine more than they hold themselves: neither by its permissions nor by a secret of one that may
    do more. Whoever makes a secret holds the rows of its own account and of the service account until the commit.
    """

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._session = session
        self._clock = components.clock
        self._cursors = components.cursors
        self._codec = components.service_secrets
        self._revocations = components.revocations
        self._services = ServiceAccountRepository(session, components.clock)
        self._secrets = ServiceAccountSecretRepository(session, components.clock)
        self._sessions = SessionManager(session, components)
        self._authority = Authority(session, components)
        self._audit = AuditTrail(session, components)
        self._limiter = LoginLimiter(session, components.settings, components.clock)

    async def list_(self, *, limit: int, cursor: str | None) -> Page[ServiceAccount]:
        """One page of service accounts, the newest first."""
        after = None if cursor is None else self._cursors.decode(_SORT, cursor)
        items, position = await self._services.page(sort=_SORT, limit=limit, after=after)
        return Page(items=items, next_cursor=None if position is None else self._cursors.encode(_SORT, position))

    async def get(self, service_id: UUID) -> ServiceAccount:
        """One service account.

        Raises:
            ServiceAccountNotFoundError: there is none.
        """
        return _found(await self._services.get(service_id))

    async def create(
        self, actor: Principal, *, name: str, description: str | None, permissions: Collection[str], client: Client
    ) -> ServiceAccount:
        """Make a service account, which has no secret yet.

        Raises:
            UnknownPermissionError, PersonalPermissionError: one is unknown, or for people only.
            PermissionNotHeldError: the actor, or its session, does not have one.
            InvalidTokenError: the actor's session has ended meanwhile.
        """
        standing = await self._hold(actor)
        granted = _grantable(standing, permissions)
        service = await self._services.add(
            ServiceAccount(
                name=name, description=description, scope=" ".join(sorted(granted)), created_by=actor.user_id
            )
        )
        detail = {"name": name, "permissions": service.permissions}
        await self._record(AuditAction.SERVICE_CREATED, actor, service.id, client, detail)
        return service

    async def update(
        self,
        actor: Principal,
        service_id: UUID,
        changes: Mapping[str, Any],
        *,
        expected_version: int | None,
        client: Client,
    ) -> ServiceAccount:
        """Change the named members. Disabling it, or taking a permission away, kills its access tokens at once.

        Raises:
            ServiceAccountNotFoundError: there is none.
            UnknownPermissionError, PersonalPermissionError, PermissionNotHeldError: see `create`; only permissions that
                are new count, and all of them where a disabled service account is enabled again.
            PreconditionFailedError: it is no longer at `expected_version`.
            InvalidTokenError: the actor's session has ended meanwhile.
        """
        standing = await self._hold(actor)
        service = _found(await self._services.lock(service_id))
        before = frozenset(service.permissions)
        after = frozenset(changes.get("permissions", before))
        is_enabled_again = not service.is_active and changes.get("is_active", False)
        _grantable(standing, after if is_enabled_again else after - before)
        values: dict[Column, Any] = {
            column: changes[name]
            for name, column in {
                "name": ServiceAccount.name,
                "description": ServiceAccount.description,
                "is_active": ServiceAccount.is_active,
            }.items()
            if name in changes
        }
        values[ServiceAccount.scope] = " ".join(sorted(after))
        is_narrowed = bool(before - after) or (service.is_active and not changes.get("is_active", True))
        if is_narrowed:
            values[ServiceAccount.auth_version] = service.auth_version + 1
        await self._services.update(service_id, values, expected_version=expected_version)
        if is_narrowed:
            await self._revocations.revoke_versions_below(self._session, service_id, service.auth_version + 1)
        detail = {"members": sorted(changes), "permissions": sorted(after)}
        await self._record(AuditAction.SERVICE_UPDATED, actor, service_id, client, detail)
        return await self.get(service_id)

    async def delete(self, actor: Principal, service_id: UUID, client: Client) -> None:
        """Delete a service account with its secrets; its access tokens are refused from the next request on.

        Raises:
            ServiceAccountNotFoundError: there is none.
        """
        service = _found(await self._services.lock(service_id))
        await self._services.delete(service_id)
        await self._revocations.revoke_versions_below(self._session, service_id, service.auth_version + 1)
        await self._record(AuditAction.SERVICE_DELETED, actor, service_id, client, {"name": service.name})

    async def list_secrets(self, service_id: UUID, *, limit: int, cursor: str | None) -> Page[ServiceAccountSecret]:
        """A service account's secrets, the newest first; expired ones are among them for a month.

        Raises:
            ServiceAccountNotFoundError: there is none.
        """
        await self.get(service_id)
        after = None if cursor is None else self._cursors.decode(_SORT, cursor)
        items, position = await self._secrets.of(service_id).page(sort=_SORT, limit=limit, after=after)
        return Page(items=items, next_cursor=None if position is None else self._cursors.encode(_SORT, position))

    async def create_secret(
        self, actor: Principal, service_id: UUID, *, lifetime: timedelta | None, client: Client
    ) -> IssuedSecret:
        """Make a secret.

        Raises:
            ServiceAccountNotFoundError: there is no such service account.
            PermissionNotHeldError: the service account may do what the actor may not.
            TooManyServiceSecretsError: it has two that live.
            CredentialThrottledError: the actor made too many in the last hour.
            InvalidTokenError: the actor's session has ended meanwhile.
        """
        standing = await self._hold(actor)
        service = _found(await self._services.lock(service_id))
        _grantable(standing, known_permissions(service.permissions))
        if await self._secrets.of(service_id).count_live() >= MAX_LIVE_SECRETS:
            raise TooManyServiceSecretsError("Revoke one of the two first.")
        await self._limiter.reserve_credential(actor.user_id, client.address)
        text, now = self._codec.new(new_id()), self._clock.now()
        secret = await self._secrets.add(
            ServiceAccountSecret(
                id=text.id,
                service_account_id=service_id,
                secret_hash=text.digest,
                created_at=now,
                expires_at=None if lifetime is None else now + lifetime,
            )
        )
        await self._record(AuditAction.SERVICE_SECRET_CREATED, actor, service_id, client, {"secret_id": str(secret.id)})
        return IssuedSecret(secret=secret, text=text.text)

    async def revoke_secret(self, actor: Principal, service_id: UUID, secret_id: UUID, client: Client) -> None:
        """Revoke a secret, and the access tokens that were made with it.

        Raises:
            ServiceAccountNotFoundError: there is no such service account.
            ServiceSecretNotFoundError: it has no such secret.
        """
        await self.get(service_id)
        if not await self._secrets.of(service_id).delete(secret_id):
            raise ServiceSecretNotFoundError
        await self._revocations.revoke_sessions(self._session, [secret_id])
        await self._record(AuditAction.SERVICE_SECRET_REVOKED, actor, service_id, client, {"secret_id": str(secret_id)})

    async def _hold(self, actor: Principal) -> Standing:
        """Where the actor stands, who is held until the transaction ends."""
        await self._sessions.hold(actor)
        return await self._authority.standing(actor)

    async def _record(
        self, action: AuditAction, actor: Principal, service_id: UUID, client: Client, detail: Mapping[str, Any]
    ) -> None:
        await self._audit.record(
            action,
            client,
            user_id=service_id,
            actor_id=actor.user_id,
            session_id=actor.session_id,
            detail=detail,
        )


def _found(service: ServiceAccount | None) -> ServiceAccount:
    if service is None:
        raise ServiceAccountNotFoundError
    return service


def _grantable(standing: Standing, permissions: Collection[str]) -> frozenset[Permission]:
    """The permissions, if a caller of this standing may hand them to a machine."""
    if not frozenset(permissions) <= all_permissions().keys():
        raise UnknownPermissionError.at(*_PLACE, type_=UnknownPermissionError.code, message="names no permission")
    granted = known_permissions(permissions)
    if any(permission.is_personal for permission in granted):
        raise PersonalPermissionError.at(*_PLACE, type_=PersonalPermissionError.code, message="is for people only")
    standing.require_givable(granted)
    return granted
