"""The SQL of service accounts."""

import copy
from datetime import datetime, timedelta
from typing import ClassVar, Self
from uuid import UUID

from sqlalchemy import or_, select

from app.auth.service_accounts.models import ServiceAccount, ServiceAccountSecret
from app.db.repository import BaseRepository

USE_NOTED_EVERY = timedelta(minutes=1)


class ServiceAccountRepository(BaseRepository[ServiceAccount]):
    """Service accounts."""

    model = ServiceAccount
    sorts: ClassVar = {"created_at": ServiceAccount.created_at}

    async def lock(self, service_id: UUID) -> ServiceAccount | None:
        """A service account, held until the transaction ends."""
        await self.session.rows(select(ServiceAccount.id).where(ServiceAccount.id == service_id).with_for_update())
        return await self.get(service_id)


class ServiceAccountSecretRepository(BaseRepository[ServiceAccountSecret]):
    """Secrets of service accounts."""

    model = ServiceAccountSecret
    sorts: ClassVar = {"created_at": ServiceAccountSecret.created_at}

    def of(self, service_id: UUID) -> Self:
        """The same repository, limited to the secrets of one service account."""
        limited = copy.copy(self)
        limited.scope = {**self.scope, ServiceAccountSecret.service_account_id: service_id}
        return limited

    async def count_live(self) -> int:
        """How many have not expired."""
        now = self.clock.now()
        return await self.count(or_(ServiceAccountSecret.expires_at.is_(None), ServiceAccountSecret.expires_at > now))

    async def note_use(self, secret_id: UUID, at: datetime) -> None:
        """Remember a use, unless one of the minute before is remembered already."""
        await self.update_where(
            ServiceAccountSecret.id == secret_id,
            or_(
                ServiceAccountSecret.last_used_at.is_(None),
                ServiceAccountSecret.last_used_at <= at - USE_NOTED_EVERY,
            ),
            values={ServiceAccountSecret.last_used_at: at},
        )

    async def delete_expired(self, ago: timedelta) -> int:
        """Delete secrets that expired some time ago; the audit trail keeps their story."""
        return await self.delete_where(ServiceAccountSecret.expires_at < self.clock.now() - ago)
