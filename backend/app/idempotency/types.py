"""Values of idempotent requests."""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Request:
    """What a key stands for: whose, of which operation, and the digest of everything that was asked."""

    owner_id: UUID
    operation: str
    key: str
    fingerprint: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request was answered; `body` is None where it was too long to keep."""

    status: int
    headers: dict[str, str]
    body: bytes | None = field(repr=False)


class Named(NamedTuple):
    """The thing that a key stands for; `is_new` where it is still to be made under this id."""

    id: UUID
    is_new: bool
