"""Values of devices."""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class DeviceCookie:
    """What a browser keeps of the accounts that have logged in on it: one mark each, the newest first."""

    device_id: UUID
    marks: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Device:
    """Where a login comes from. `is_known` says that a cookie proves an earlier login of the same account on it."""

    cookie: DeviceCookie
    is_known: bool

    @property
    def id(self) -> UUID:
        """The device's id, random and of no meaning without the account."""
        return self.cookie.device_id

    @property
    def known_id(self) -> UUID | None:
        """The id of a known device."""
        return self.id if self.is_known else None
