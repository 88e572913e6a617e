"""The SQL of preferences."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from app.db.repository import BaseRepository, OwnedRepository
from app.db.upsert import insert_or_keep
from app.preferences.models import PreferenceChange, PreferenceHead, UserPreference
from app.preferences.types import ACCOUNT_LAYER, PreferenceDevice


class PreferenceHeadRepository(BaseRepository[PreferenceHead]):
    """The numbers of accounts' last changes."""

    model = PreferenceHead

    async def seq_of(self, user_id: UUID) -> int:
        """The number of the account's last change, 0 before the first."""
        head = await self.get_by(PreferenceHead.user_id, user_id)
        return 0 if head is None else head.seq

    async def lock(self, user_id: UUID) -> int:
        """Hold the account's row until the commit, and read the number of its last change."""
        seq = await self._lock(user_id)
        if seq is not None:
            return seq
        await self._ensure(user_id)
        return await self._lock(user_id) or 0

    async def advance(self, user_id: UUID, seq: int) -> None:
        """Remember the number of the last change."""
        await self.update_where(PreferenceHead.user_id == user_id, values={PreferenceHead.seq: seq})

    async def _lock(self, user_id: UUID) -> int | None:
        statement = select(PreferenceHead.seq).where(PreferenceHead.user_id == user_id).with_for_update()
        rows = await self.session.rows(statement)
        return rows[0].seq if rows else None

    async def _ensure(self, user_id: UUID) -> None:
        """Make the row, unless somebody else makes it at this moment."""
        await self.session.change(insert_or_keep(self.session, PreferenceHead), {"user_id": user_id, "seq": 0})


class UserPreferenceRepository(OwnedRepository[UserPreference]):
    """Preferences that are set."""

    model = UserPreference

    async def in_layers(self, *device_ids: UUID) -> Sequence[UserPreference]:
        """Those of some layers, by their keys."""
        return await self.list_(UserPreference.device_id.in_(device_ids), order_by=[UserPreference.key])

    async def find(self, device_id: UUID, key: str) -> UserPreference | None:
        """One of a layer."""
        found = await self.list_(UserPreference.device_id == device_id, UserPreference.key == key)
        return found[0] if found else None

    async def replace(self, device_id: UUID, keys: Collection[str], rows: Collection[UserPreference]) -> None:
        """Take away what these keys of a layer are set to, and set `rows`."""
        await self.delete_where(UserPreference.device_id == device_id, UserPreference.key.in_(keys))
        await self.add_all(rows)

    async def devices(self) -> list[PreferenceDevice]:
        """The devices that something is set for, the one with the latest change first."""
        count, latest = func.count(), func.max(UserPreference.seq)
        moment: Any = func.max(UserPreference.updated_at)
        statement = (
            select(UserPreference.device_id, count.label("preferences"), moment.label("updated_at"))
            .where(*self._scoped([UserPreference.device_id != ACCOUNT_LAYER]))
            .group_by(UserPreference.device_id)
            .order_by(latest.desc())
        )
        return [PreferenceDevice(**row._mapping) for row in await self.session.rows(statement)]


class PreferenceChangeRepository(OwnedRepository[PreferenceChange]):
    """The changes that are kept of accounts."""

    model = PreferenceChange

    async def find(self, seq: int) -> PreferenceChange | None:
        """The change with this number."""
        return await self.get_by(PreferenceChange.seq, seq)

    async def after(self, seq: int, limit: int) -> list[PreferenceChange]:
        """The first changes after this number, in their order."""
        return await self.list_(PreferenceChange.seq > seq, order_by=[PreferenceChange.seq], limit=limit)

    async def of_key(
        self, device_id: UUID, key: str, *, limit: int, before: int | None = None
    ) -> list[PreferenceChange]:
        """The last changes of one preference in a layer, the newest first, of those before this number."""
        where = [PreferenceChange.device_id == device_id, PreferenceChange.key == key]
        if before is not None:
            where.append(PreferenceChange.seq < before)
        return await self.list_(*where, order_by=[PreferenceChange.seq.desc()], limit=limit)

    async def forget_until(self, seq: int) -> int:
        """Delete the changes up to this number."""
        return await self.delete_where(PreferenceChange.seq <= seq)
