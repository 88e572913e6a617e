"""Values of the audit trail."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.auth.types import AuditAction, AuditOutcome

MAC_BYTES = 32


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain: the sequence number of an event and its MAC."""

    sequence: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.mac.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Link":
        """The link behind a text such as `12:0af3…`.

        Raises:
            ValueError: the text is none.
        """
        sequence, _, mac = text.partition(":")
        link = cls(int(sequence), bytes.fromhex(mac))
        if link.sequence < 0 or len(link.mac) != MAC_BYTES:
            raise ValueError("a link is a sequence number, a colon and 64 hexadecimal digits")
        return link


BEFORE_FIRST = Link(0, bytes(MAC_BYTES))
"""The place before the first event."""

Progress = Callable[[Link], None]
"""Told how far a verification has come; it can begin there another time."""


class FaultKind(StrEnum):
    """What can be wrong with the chain."""

    CHANGED = "changed"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    CUT_OFF = "cut_off"
    BEHIND_HEAD = "behind_head"
    HEAD_CHANGED = "head_changed"
    HEAD_MISSING = "head_missing"
    ANCHOR = "anchor"
    UNCHAINED = "unchained"


MEANINGS = {
    FaultKind.CHANGED: "the event was changed, moved or put in",
    FaultKind.UNREADABLE: "a column of the event holds what was never written there",
    FaultKind.MISSING: "the event was removed",
    FaultKind.CUT_OFF: "this event and all after it were removed",
    FaultKind.BEHIND_HEAD: "the event stands behind the end of the chain",
    FaultKind.HEAD_CHANGED: "the chain's head was changed",
    FaultKind.HEAD_MISSING: "the chain's head was removed",
    FaultKind.ANCHOR: "the event is not the one that was here before",
    FaultKind.UNCHAINED: "events without a place in the chain were put in, or removed",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the chain is broken. `last` is the end of a range of missing events, otherwise `sequence` itself."""

    kind: FaultKind
    sequence: int | None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a verification found. `faults` are the first ones of `fault_count`, in the order of the chain.

    `events` were checked; `before_chain` are older than the chain: their number is vouched for, not what they say.
    `end` is where the next verification can begin.
    """

    events: int
    before_chain: int
    end: Link | None
    faults: tuple[Fault, ...]
    fault_count: int

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.fault_count


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events an administrator wants to see; None means any. Bounds are inclusive below, exclusive above."""

    user_id: UUID | None = None
    actor_id: UUID | None = None
    session_id: UUID | None = None
    actions: tuple[AuditAction, ...] = ()
    outcome: AuditOutcome | None = None
    address: str | None = None
    request_id: str | None = None
    occurred_after: datetime | None = None
    occurred_before: datetime | None = None


BY_OPERATOR = "operator"
"""The `by` in the detail of what was done at the command line."""


class EventBy(StrEnum):
    """Who caused an event, as the person whom it concerns is told. `unknown` is someone who proved nothing."""

    YOU = "you"
    ADMINISTRATOR = "administrator"
    SYSTEM = "system"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """An event as the person whom it concerns sees it: nothing of an administrator's own whereabouts."""

    id: UUID
    occurred_at: datetime
    action: AuditAction
    outcome: AuditOutcome
    by: EventBy
    session_id: UUID | None
    address: str | None
    device: str | None
