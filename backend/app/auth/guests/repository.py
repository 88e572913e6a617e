"""The SQL of guests."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from app.auth.guests.models import Guest
from app.db.query import snapshot
from app.db.repository import BaseRepository

SEEN_NOTED_EVERY = timedelta(hours=1)


class GuestRepository(BaseRepository[Guest]):
    """Guests."""

    model = Guest

    async def hold(self, guest_id: UUID) -> Guest | None:
        """The guest, whom nobody can claim or delete before the transaction ends."""
        # Not FOR SHARE: two holders who went on to change the row would wait for each other. `key_share` lets
        # background work write rows of the guest meanwhile.
        columns = Guest.__table__.c
        statement = select(*columns).where(Guest.id == guest_id).with_for_update(key_share=True)
        rows = await self.session.rows(statement)
        return snapshot(Guest, columns.keys(), rows[0]) if rows else None

    async def claim(self, guest_id: UUID, digest: bytes, user_id: UUID, *, seen_since: datetime) -> bool:
        """Mark a guest as claimed by an account, if it lives and nobody has claimed it; that kills its token."""
        return bool(
            await self.update_where(
                Guest.id == guest_id,
                Guest.secret_hash == digest,
                Guest.claimed_at.is_(None),
                Guest.last_seen_at > seen_since,
                values={Guest.claimed_by_user_id: user_id, Guest.claimed_at: self.clock.now()},
            )
        )

    async def note_seen(self, guest_id: UUID, at: datetime) -> bool:
        """Remember that a guest was there. False where one of the hour before is remembered, or it is no guest now."""
        return bool(
            await self.update_where(
                Guest.id == guest_id,
                Guest.claimed_at.is_(None),
                Guest.last_seen_at <= at - SEEN_NOTED_EVERY,
                values={Guest.last_seen_at: at},
            )
        )

    async def idle_ids(self, unseen_since: datetime, limit: int) -> Sequence[UUID]:
        """Some who were not seen since a moment, the longest unseen first."""
        order = (Guest.last_seen_at, Guest.id)
        return [guest.id for guest in await self.list_(Guest.last_seen_at <= unseen_since, order_by=order, limit=limit)]

    async def delete_idle(self, guest_ids: Sequence[UUID], unseen_since: datetime) -> int:
        """Delete those of them who have not come back meanwhile, with all that they own."""
        return await self.delete_where(Guest.id.in_(guest_ids), Guest.last_seen_at <= unseen_since)
