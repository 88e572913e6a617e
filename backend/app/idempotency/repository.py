"""The SQL of idempotency keys."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.db.repository import BaseRepository
from app.db.upsert import insert_or_keep
from app.idempotency.models import IdempotencyKey
from app.idempotency.types import Answer, Request

KEPT_FOR = timedelta(hours=24)
KEPT_PER_OWNER = 1000


class IdempotencyKeyRepository(BaseRepository[IdempotencyKey]):
    """Idempotency keys."""

    model = IdempotencyKey

    async def take(self, id_: UUID, request: Request, resource_id: UUID | None = None) -> IdempotencyKey | None:
        """Take a key for a request, unless somebody has it; what is known of it then, under the id of who has it.

        Whoever comes second waits here until the first one's transaction ends, and may take the key after a rollback.
        None where it was deleted at this moment.
        """
        now = self.clock.now()
        values: dict[str, Any] = {
            "id": id_,
            "owner_id": request.owner_id,
            "operation": request.operation,
            "key": request.key,
            "fingerprint": request.fingerprint,
            "resource_id": resource_id,
            "created_at": now,
            "expires_at": now + KEPT_FOR,
        }
        await self.session.change(insert_or_keep(self.session, IdempotencyKey), values)
        found = await self.list_(
            IdempotencyKey.owner_id == request.owner_id,
            IdempotencyKey.operation == request.operation,
            IdempotencyKey.key == request.key,
        )
        return found[0] if found else None

    async def keep(self, id_: UUID, answer: Answer) -> None:
        """Keep the answer of the request that took a key."""
        values = {
            IdempotencyKey.status: answer.status,
            IdempotencyKey.headers: answer.headers,
            IdempotencyKey.body: answer.body,
        }
        await self.update(id_, values)

    async def delete_expired(self, limit: int) -> int:
        """Delete some keys whose time is over; how many."""
        ids = select(IdempotencyKey.id).where(IdempotencyKey.expires_at <= self.clock.now())
        rows = await self.session.rows(ids.order_by(IdempotencyKey.expires_at, IdempotencyKey.id).limit(limit))
        return await self.delete_where(IdempotencyKey.id.in_([id_ for (id_,) in rows])) if rows else 0

    async def delete_of(self, owner_id: UUID) -> int:
        """Delete all of an owner's keys, for an owner who is deleted."""
        return await self.delete_where(IdempotencyKey.owner_id == owner_id)

    async def trim(self, owner_id: UUID) -> int:
        """Delete an owner's oldest keys beyond `KEPT_PER_OWNER`; how many."""
        mine = IdempotencyKey.owner_id == owner_id
        ids = select(IdempotencyKey.id).where(mine).order_by(IdempotencyKey.id.desc())
        rows = await self.session.rows(ids.offset(KEPT_PER_OWNER).limit(1))
        return await self.delete_where(mine, IdempotencyKey.id <= rows[0].id) if rows else 0
