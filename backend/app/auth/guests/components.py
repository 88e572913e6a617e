"""The parts of the guests package that live as long as the process."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from app.auth.guests.claims import ClaimRegistry
from app.auth.guests.models import Guest
from app.auth.guests.sightings import GuestSightings
from app.auth.guests.types import KnownGuest
from app.auth.secret_texts import SecretText, SecretTextCodec
from app.core.clock import Clock
from app.core.settings import Settings, Toggle
from app.db.engine import Database

TOKEN_PREFIX = "mgt"  # noqa: S105 - the kind of the secret, not a secret


@dataclass(frozen=True, slots=True)
class GuestComponents:
    """What tells a living guest from a dead one. `life` counts from when a guest was last seen."""

    codec: SecretTextCodec
    claims: ClaimRegistry
    sightings: GuestSightings
    life: timedelta
    is_on: bool
    _clock: Clock

    @classmethod
    def create(cls, settings: Settings, database: Database, clock: Clock) -> Self:
        """Build the parts; nothing touches the database before `start`."""
        return cls(
            codec=SecretTextCodec(TOKEN_PREFIX, settings.secret_key),
            claims=ClaimRegistry(),
            sightings=GuestSightings(database, clock),
            life=timedelta(days=settings.guest_days),
            is_on=settings.guests is Toggle.ON,
            _clock=clock,
        )

    @property
    def unseen_since(self) -> datetime:
        """Guests who were last seen before this moment, or at it, are gone."""
        return self._clock.now() - self.life

    def known(self, guest: Guest) -> KnownGuest:
        """What others need to know of a guest's row."""
        return KnownGuest(id=guest.id, created_at=guest.created_at, expires_at=guest.last_seen_at + self.life)

    def is_alive(self, guest: Guest | None, secret: SecretText) -> bool:
        """Whether a row is of a guest who may act now, and has this secret."""
        return (
            guest is not None
            and hmac.compare_digest(guest.secret_hash, secret.digest)
            and guest.claimed_at is None
            and guest.last_seen_at > self.unseen_since
        )
