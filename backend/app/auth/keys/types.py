"""The states of a signing key, and when it goes from one to the next."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from app.auth.types import KeyState
from app.core.settings import Settings

TRANSITIONS = {
    KeyState.NEXT: frozenset({KeyState.ACTIVE, KeyState.REMOVED}),
    KeyState.ACTIVE: frozenset({KeyState.RETIRING, KeyState.REMOVED}),
    KeyState.RETIRING: frozenset({KeyState.REMOVED}),
    KeyState.REMOVED: frozenset[KeyState](),
}
"""Every key may be removed at once, when it is compromised."""

ACTIVE_SLOT = 1
NEXT_SLOT = 2
SLOTS = {KeyState.ACTIVE: ACTIVE_SLOT, KeyState.NEXT: NEXT_SLOT}
"""The states that only one key of an algorithm is in."""

WORKERS_KNOW_AFTER = timedelta(seconds=5)
"""Every worker that serves has read what changed by then: after three seconds without it asks at each request."""

_ADVANCE_AT_MOST_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class KeySchedule:
    """How long a key stays in a state. `rotation` is None where nothing but a person begins a rotation.

    A next key is published twice as long as verifiers may keep the key set, so that each has it before the first
    token comes, though a cache in between or a clock be late. A retiring key stays until its last token has expired.
    """

    publication: timedelta
    retirement: timedelta
    rotation: timedelta | None
    advance_every: timedelta

    @classmethod
    def create(cls, settings: Settings, longest_token_life: timedelta) -> Self:
        """The schedule that the settings make."""
        cached = timedelta(seconds=settings.jwks_max_age_seconds)
        return cls(
            publication=2 * cached + WORKERS_KNOW_AFTER,
            retirement=longest_token_life + WORKERS_KNOW_AFTER,
            rotation=timedelta(days=settings.key_rotation_days) if settings.key_rotation_days else None,
            advance_every=min(cached, _ADVANCE_AT_MOST_EVERY),
        )

    def ends_at(self, state: KeyState, since: datetime) -> datetime | None:
        """When a key that came into a state leaves it, or for an active one begins to be replaced; None for never."""
        durations = {
            KeyState.NEXT: self.publication,
            KeyState.ACTIVE: self.rotation,
            KeyState.RETIRING: self.retirement,
        }
        duration = durations.get(state)
        return None if duration is None else since + duration


@dataclass(frozen=True, slots=True)
class KeyView:
    """A signing key as administrators see it: never its private part."""

    kid: str
    algorithm: str
    state: KeyState
    created_at: datetime
    state_since: datetime
    changes_at: datetime | None
