"""The hash chain of the audit trail.

Every event has a sequence number, and a MAC over itself and the MAC of the event before it; the head repeats the last
of them under a seal of its own. Without `SECRET_KEY` nobody can change, remove, insert or reorder an event, or cut the
end off, and make the chain fit again. Format 1 of what is authenticated, by HMAC-SHA256 (RFC 2104) under a key that
serves nothing else:

- an event: `merit audit event 1`, a line feed, and the event as a JSON object of all its columns but `mac`, with the
  MAC before it as `previous`. Keys are sorted, nothing stands between tokens, all but ASCII is escaped; UUIDs and
  bytes are lower-case hexadecimal, moments ISO 8601 in UTC with microseconds; an integer is written in full, any other
  number as the shortest decimal that reads back as the same double, in full too where its value is integral.
- the head: `merit audit head 1`, a line feed, its sequence in decimal, a space, and its MAC in hexadecimal.
- the number of events from before the chain: `merit audit before chain 1`, a line feed, and the number in decimal.

A further format needs another first line; whoever verifies tries them all.
"""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from app.auth.audit.repository import AuditHeadRepository, ChainedEvent, ChainRepository
from app.auth.audit.types import BEFORE_FIRST, Link
from app.auth.models import AuditEvent
from app.core.clock import Clock
from app.core.keys import derive_key
from app.core.logging import get_logger
from app.db.engine import Session

_EVENT_FORMAT = b"merit audit event 1\n"
_HEAD_FORMAT = b"merit audit head 1\n"
_BEFORE_CHAIN_FORMAT = b"merit audit before chain 1\n"
COVERED_COLUMNS = tuple(sorted(set(AuditEvent.__table__.c.keys()) - {"mac"}))

logger = get_logger("audit")


class AuditChain:
    """Chains events, and tells whether a link is genuine."""

    def __init__(self, secret: SecretStr, clock: Clock) -> None:
        self._key = derive_key(secret, "audit chain")
        self._clock = clock

    def mac(self, event: ChainedEvent, previous: bytes) -> bytes:
        """The MAC of an event, given by its columns, behind the one whose MAC is `previous`."""
        covered = {name: _plain(event[name]) for name in COVERED_COLUMNS}
        text = json.dumps({**covered, "previous": previous.hex()}, sort_keys=True, separators=(",", ":"))
        return self._hmac(_EVENT_FORMAT + text.encode())

    def is_genuine(self, event: ChainedEvent, previous: bytes) -> bool:
        """Whether an event is the one that was written behind the one whose MAC is `previous`."""
        return hmac.compare_digest(self.mac(event, previous), event["mac"])

    def seal(self, link: Link) -> bytes:
        """What proves that a link was once the last one."""
        return self._hmac(_HEAD_FORMAT + f"{link.sequence} {link.mac.hex()}".encode())

    def seal_before_chain(self, count: int) -> bytes:
        """What proves that so many events were there before the chain began."""
        return self._hmac(_BEFORE_CHAIN_FORMAT + str(count).encode())

    def first_head(self) -> dict[str, Any]:
        """The columns of a head before the first event."""
        return {
            "sequence": BEFORE_FIRST.sequence,
            "mac": BEFORE_FIRST.mac,
            "seal": self.seal(BEFORE_FIRST),
            "before_chain": 0,
            "before_chain_seal": self.seal_before_chain(0),
        }

    async def append(self, session: Session, events: list[dict[str, Any]]) -> None:
        """Write events, given by their columns, as the next of the chain.

        One transaction at a time does so; the others wait for its end.
        """
        heads = AuditHeadRepository(session, self._clock)
        chain = ChainRepository(session, self._clock)
        link = await self._lock_end(heads, chain)
        for event in events:
            event["sequence"] = link.sequence + 1
            event["mac"] = self.mac(event, link.mac)
            link = Link(event["sequence"], event["mac"])
        await chain.insert(events)
        await heads.move(link.sequence, link.mac, self.seal(link))

    async def _lock_end(self, heads: AuditHeadRepository, events: ChainRepository) -> Link:
        """The last link, locked until the transaction ends.

        A head that is gone or not ours was tampered with, for the migration makes the first one. The chain goes on
        behind a number that no event has: nothing stops, and the gap tells of it for ever.
        """
        head = await heads.lock()
        was_there = head is not None
        if head is None:
            await heads.create(**self.first_head())
            head = await heads.lock()
        link = BEFORE_FIRST if head is None else Link(head.sequence, head.mac)
        is_sealed = head is not None and hmac.compare_digest(head.seal, self.seal(link))
        if is_sealed and link != BEFORE_FIRST:
            return link
        last = await events.last_sequence()
        if is_sealed and was_there and not last:
            return BEFORE_FIRST
        logger.error("the audit trail's head was lost", behind=last)
        return Link(last + 1, BEFORE_FIRST.mac)

    def _hmac(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, hashlib.sha256)


def _plain(value: Any) -> Any:
    """A column's value, or a part of one, as what `json` writes in one way only."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float() if value.is_integer():  # PostgreSQL keeps the decimals: 1e16 comes back as an integer
            return int(Decimal(repr(value)))
        case UUID():
            return value.hex
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case _:
            return value
