"""How preferences change: one person's changes come one at a time, each with its number and its trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.auth.types import Principal
from app.core.clock import Clock
from app.core.errors import PreconditionFailedError
from app.core.json_values import is_same_json
from app.db.engine import Session
from app.preferences.errors import TooManyPreferencesError
from app.preferences.models import PreferenceChange, UserPreference
from app.preferences.repository import PreferenceChangeRepository, PreferenceHeadRepository, UserPreferenceRepository
from app.preferences.types import MAX_CHANGES, MAX_PREFERENCES


@dataclass(frozen=True, slots=True)
class HeldLayer:
    """What is set in a layer, and the number of the account's last change; both stay so until the commit.

    `changes` are those that made it so.
    """

    device_id: UUID
    seq: int
    rows: Mapping[str, UserPreference]
    changes: Sequence[PreferenceChange] = ()

    def version_of(self, key: str) -> int:
        """The version of a preference, 0 where it is not set."""
        row = self.rows.get(key)
        return 0 if row is None else row.seq

    def require_version(self, key: str, expected: int | None) -> None:
        """Refuse a change that is based on another version; None is based on none.

        Raises:
            PreconditionFailedError: the preference was changed since.
        """
        if expected is not None and expected != self.version_of(key):
            raise PreconditionFailedError("The preference was changed since it was read.")


class PreferenceWriter:
    """Changes one person's preferences within the caller's transaction.

    Its statements are as many for a hundred preferences as for one.
    """

    def __init__(self, session: Session, clock: Clock, principal: Principal) -> None:
        self._clock = clock
        self._principal = principal
        self._heads = PreferenceHeadRepository(session, clock)
        self._preferences = UserPreferenceRepository(session, clock).owned_by(principal.user_id)
        self._changes = PreferenceChangeRepository(session, clock).owned_by(principal.user_id)

    async def hold(self, device_id: UUID) -> HeldLayer:
        """Keep everybody else from changing this person's preferences until the commit, and read those of a layer."""
        seq = await self._heads.lock(self._principal.user_id)
        rows = await self._preferences.in_layers(device_id)
        return HeldLayer(device_id, seq, {row.key: row for row in rows})

    async def write(self, layer: HeldLayer, wanted: Mapping[str, Any]) -> HeldLayer:
        """Set preferences, or unset those that are None, and return the layer as it is then.

        What is so already is no change and keeps its version.

        Raises:
            TooManyPreferencesError: the account would have set more than it may.
        """
        changes = self._changes_to(layer, wanted)
        if not changes:
            return layer
        keys = {change.key for change in changes}
        made = {change.key: _row_of(change) for change in changes if change.new_value is not None}
        await self._require_room(len(made) - len(keys & layer.rows.keys()))
        await self._preferences.replace(layer.device_id, keys, made.values())
        await self._changes.add_all(changes)
        seq = changes[-1].seq
        if seq > MAX_CHANGES:
            await self._changes.forget_until(seq - MAX_CHANGES)
        await self._heads.advance(self._principal.user_id, seq)
        kept = {key: row for key, row in layer.rows.items() if key not in keys}
        return HeldLayer(layer.device_id, seq, dict(sorted((kept | made).items())), changes)

    def _changes_to(self, layer: HeldLayer, wanted: Mapping[str, Any]) -> list[PreferenceChange]:
        now = self._clock.now()
        present = {key: row.value for key, row in layer.rows.items()}
        different = [key for key, value in wanted.items() if not is_same_json(present.get(key), value)]
        return [
            PreferenceChange(
                user_id=self._principal.user_id,
                seq=seq,
                device_id=layer.device_id,
                key=key,
                old_value=present.get(key),
                new_value=wanted[key],
                changed_at=now,
                changed_by=self._principal.session_id,
            )
            for seq, key in enumerate(different, start=layer.seq + 1)
        ]

    async def _require_room(self, more: int) -> None:
        if more > 0 and await self._preferences.count() + more > MAX_PREFERENCES:
            raise TooManyPreferencesError(f"Unset some first; {MAX_PREFERENCES} on all devices together are allowed.")


def _row_of(change: PreferenceChange) -> UserPreference:
    return UserPreference(
        user_id=change.user_id,
        device_id=change.device_id,
        key=change.key,
        value=change.new_value,
        seq=change.seq,
        updated_at=change.changed_at,
    )
