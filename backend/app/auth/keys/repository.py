"""The SQL of the signing keys."""

from typing import Any

from sqlalchemy import select

from app.auth.keys.types import SLOTS, TRANSITIONS
from app.auth.models import SigningKeyRecord
from app.auth.types import KeyState
from app.db.query import Column, snapshot
from app.db.repository import BaseRepository


class SigningKeyRepository(BaseRepository[SigningKeyRecord]):
    """Signing keys."""

    model = SigningKeyRecord

    async def list_usable(self) -> list[SigningKeyRecord]:
        """Every key that may still verify a token, the oldest first."""
        return await self.list_(SigningKeyRecord.state != KeyState.REMOVED, order_by=(SigningKeyRecord.id,))

    async def lock_usable(self) -> list[SigningKeyRecord]:
        """The same keys as they are now, locked until the transaction ends: whoever rotates waits for its turn."""
        columns = SigningKeyRecord.__table__.c
        statement = (
            select(*columns)
            .where(SigningKeyRecord.state != KeyState.REMOVED)
            .order_by(SigningKeyRecord.id)
            .with_for_update()
        )
        rows = await self.session.rows(statement)
        return [snapshot(SigningKeyRecord, columns.keys(), row) for row in rows]

    async def move(self, key: SigningKeyRecord, to: KeyState) -> bool:
        """Bring a key into another state, if it is still in the one that it was read in. A removed key is emptied.

        Raises:
            ValueError: that state cannot follow the key's.
        """
        if to not in TRANSITIONS[key.state]:
            raise ValueError(f"a key cannot go from {key.state} to {to}")
        values: dict[Column, Any] = {
            SigningKeyRecord.state: to,
            SigningKeyRecord.active_slot: SLOTS.get(to),
            SigningKeyRecord.state_changed_at: self.clock.now(),
        }
        if to is KeyState.REMOVED:
            values[SigningKeyRecord.private_key] = b""
        where = (SigningKeyRecord.id == key.id, SigningKeyRecord.state == key.state)
        return bool(await self.update_where(*where, values=values))
