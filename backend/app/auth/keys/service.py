"""Rotating the signing keys in stages, so that no token comes before the key that proves it."""

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from app.auth.audit.trail import AuditTrail
from app.auth.errors import KeysFollowFromSecretError, RotationUnderWayError
from app.auth.keys.repository import SigningKeyRepository
from app.auth.keys.store import new_record
from app.auth.keys.types import KeyView
from app.auth.models import SigningKeyRecord
from app.auth.types import AuditAction, Client, KeyState
from app.db.engine import Session

if TYPE_CHECKING:  # the components register what advances the keys
    from app.auth.components import AuthComponents


class KeyService:
    """The signing keys within one transaction. Every change is announced to all workers, and recorded.

    Whoever changes a state first locks the keys until the commit, so that one at a time goes through.
    """

    def __init__(self, session: Session, components: "AuthComponents") -> None:
        self._session = session
        self._parts = components
        self._clock = components.clock
        self._schedule = components.key_schedule
        self._keys = SigningKeyRepository(session, components.clock)
        self._audit = AuditTrail(session, components)

    async def list_(self) -> list[KeyView]:
        """The keys that sign or verify, the oldest first; none with HS256, whose key is in no table."""
        if not self._parts.keys.is_rotatable:
            return []
        return [self._view(key) for key in await self._keys.list_usable()]

    async def rotate(self, actor_id: UUID | None, client: Client, *, is_compromised: bool = False) -> list[KeyView]:
        """Publish a new key, which takes over by itself when all who verify can know it.

        With `is_compromised` there is no time for that: a new key signs at once, and all others end with their tokens.
        Sessions live on: their refresh tokens do not depend on these keys.

        Raises:
            RotationUnderWayError: a new key is published already.
            KeysFollowFromSecretError: there is nothing to rotate with HS256.
        """
        if not self._parts.keys.is_rotatable:
            raise KeysFollowFromSecretError("Rotation needs JWT_ALGORITHM=ES256; a new SECRET_KEY replaces this key.")
        usable = await self._keys.lock_usable()
        if is_compromised:
            for key in usable:
                await self._move(key, KeyState.REMOVED)
            new = await self._add(KeyState.ACTIVE)
        elif any(key.state is KeyState.NEXT for key in usable):
            raise RotationUnderWayError("The key that was published last has not come into use yet.")
        else:
            new = await self._add(KeyState.NEXT)
        action = AuditAction.KEYS_COMPROMISED if is_compromised else AuditAction.KEY_ROTATION_STARTED
        await self._audit.record(action, client, user_id=None, actor_id=actor_id, detail={"kid": new.kid})
        await self._parts.revocations.announce_keys(self._session)
        return await self.list_()

    async def advance(self) -> bool:
        """Bring every key whose time has come into its next state; whether there was any.

        Workers that do it at once do no harm: one waits for the other, and finds nothing left to do.
        """
        if not self._parts.keys.is_rotatable:
            return False
        usable = await self._keys.lock_usable()
        due = self._due(usable)
        for key in due:
            match key.state:
                case KeyState.NEXT:
                    for active in (one for one in usable if one.state is KeyState.ACTIVE):
                        await self._move(active, KeyState.RETIRING)  # first, to make room: there is one at a time
                    await self._move(key, KeyState.ACTIVE)
                case KeyState.RETIRING:
                    await self._move(key, KeyState.REMOVED)
                case _:  # the active one has served its time
                    await self._record(await self._add(KeyState.NEXT), KeyState.NEXT)
        if due:
            await self._parts.revocations.announce_keys(self._session)
        return bool(due)

    def _due(self, usable: list[SigningKeyRecord]) -> list[SigningKeyRecord]:
        """The keys whose time in their state is over. An active one has a successor published, unless there is one."""
        now, states = self._clock.now(), {key.state for key in usable}
        ended = (key for key in usable if (end := self._ends_at(key)) is not None and end <= now)
        return [key for key in ended if key.state is not KeyState.ACTIVE or KeyState.NEXT not in states]

    async def _add(self, state: KeyState) -> SigningKeyRecord:
        return await self._keys.add(new_record(self._parts.settings.secret_key, state, self._clock))

    async def _move(self, key: SigningKeyRecord, to: KeyState) -> None:
        if not await self._keys.move(key, to):
            raise RotationUnderWayError
        await self._record(key, to)

    async def _record(self, key: SigningKeyRecord, state: KeyState) -> None:
        detail = {"kid": key.kid, "state": state.value}
        await self._audit.record(AuditAction.KEY_STATE_CHANGED, Client(), user_id=None, detail=detail)

    def _view(self, key: SigningKeyRecord) -> KeyView:
        return KeyView(
            kid=key.kid,
            algorithm=key.algorithm,
            state=key.state,
            created_at=key.created_at,
            state_since=key.state_since,
            changes_at=self._ends_at(key),
        )

    def _ends_at(self, key: SigningKeyRecord) -> datetime | None:
        return self._schedule.ends_at(key.state, key.state_since)
