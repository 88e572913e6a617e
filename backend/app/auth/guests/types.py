"""Who owns what people make before and after they have an account."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Owner:
    """An account or a guest, exactly one of the two."""

    user_id: UUID | None = None
    guest_id: UUID | None = None

    def __post_init__(self) -> None:
        if (self.user_id is None) == (self.guest_id is None):
            raise ValueError("an owner is an account or a guest")

    @property
    def id(self) -> UUID:
        """The id of whichever it is; both are UUIDv7 and never meet."""
        return self.user_id or self.guest_id  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class KnownGuest:
    """A living guest. `expires_at` moves on whenever the guest is seen, by the hour."""

    id: UUID
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class IssuedGuest:
    """A new guest, with the token that is shown once."""

    guest: KnownGuest
    token: str = field(repr=False)
