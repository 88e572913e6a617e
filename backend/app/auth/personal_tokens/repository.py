"""The SQL of personal access tokens."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from sqlalchemy import or_

from app.auth.personal_tokens.models import PersonalToken
from app.db.repository import OwnedRepository

USE_NOTED_EVERY = timedelta(minutes=1)


class PersonalTokenRepository(OwnedRepository[PersonalToken]):
    """Personal access tokens."""

    model = PersonalToken
    sorts: ClassVar = {"created_at": PersonalToken.created_at}

    async def count_live(self) -> int:
        """How many have not expired."""
        return await self.count(PersonalToken.expires_at > self.clock.now())

    async def list_ids(self) -> Sequence[UUID]:
        """The ids of all of them."""
        return [token.id for token in await self.list_()]

    async def note_use(self, token_id: UUID, at: datetime, address: str | None) -> bool:
        """Remember a use. False where one of the minute before is remembered already, or the token is gone."""
        return bool(
            await self.update_where(
                PersonalToken.id == token_id,
                or_(PersonalToken.last_used_at.is_(None), PersonalToken.last_used_at <= at - USE_NOTED_EVERY),
                values={PersonalToken.last_used_at: at, PersonalToken.last_used_address: address},
            )
        )

    async def delete_expired(self, ago: timedelta) -> int:
        """Delete tokens that expired some time ago; the audit trail keeps their story."""
        return await self.delete_where(PersonalToken.expires_at < self.clock.now() - ago)
