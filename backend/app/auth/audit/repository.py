"""The SQL of the audit trail, but for inserting and listing events (`app.auth.repository`)."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, String, func, insert, select, type_coerce, update

from app.auth.audit.models import AuditHead
from app.auth.audit.types import BEFORE_FIRST, AuditFilter
from app.auth.models import AuditEvent
from app.db.query import snapshot
from app.db.repository import BaseRepository
from app.db.types import EnumString
from app.db.upsert import insert_or_keep

ChainedEvent = Mapping[str, Any]
"""An event by its columns, as they are stored: nothing vouches for the values of a row that is to be verified."""

_ID = 1


class AuditHeadRepository(BaseRepository[AuditHead]):
    """The one row that tells where the chain ends."""

    model = AuditHead

    async def get_head(self) -> AuditHead | None:
        """The head as it is."""
        return await self.get_by(AuditHead.id, _ID)

    async def lock(self) -> AuditHead | None:
        """The head, locked until the transaction ends; on SQLite the transaction itself is the lock."""
        rows = await self.session.rows(_LOCK)
        return snapshot(AuditHead, AuditHead.__table__.c.keys(), rows[0]) if rows else None

    async def create(self, **values: Any) -> None:
        """Make the head of these columns, unless another transaction is first, whose end is waited for."""
        await self.session.change(insert_or_keep(self.session, AuditHead), {"id": _ID, **values})

    async def move(self, sequence: int, mac: bytes, seal: bytes) -> None:
        """Let the chain end at another link."""
        connection = await self.session.connection()
        await connection.execute(_MOVE, {"sequence": sequence, "mac": mac, "seal": seal})


def matches(filter_: AuditFilter) -> list[ColumnElement[bool]]:
    """The conditions of what is set in a filter."""
    conditions: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "user_id": lambda value: AuditEvent.user_id == value,
        "actor_id": lambda value: AuditEvent.actor_id == value,
        "session_id": lambda value: AuditEvent.session_id == value,
        "actions": AuditEvent.action.in_,
        "outcome": lambda value: AuditEvent.outcome == value,
        "address": lambda value: AuditEvent.address == value,
        "request_id": lambda value: AuditEvent.request_id == value,
        "occurred_after": lambda value: AuditEvent.occurred_at >= value,
        "occurred_before": lambda value: AuditEvent.occurred_at < value,
    }
    return [make(value) for name, make in conditions.items() if (value := getattr(filter_, name))]


class ChainRepository(BaseRepository[AuditEvent]):
    """The events in the order of the chain."""

    model = AuditEvent

    async def insert(self, events: list[dict[str, Any]]) -> None:
        """Insert events, given by their columns."""
        connection = await self.session.connection()
        await connection.execute(_INSERT, events if len(events) > 1 else events[0])

    async def last_sequence(self) -> int:
        """The highest sequence number of any event in the chain; 0 where there is none."""
        last: int | None = await self.session.scalar(select(func.max(AuditEvent.sequence)).where(_IS_CHAINED))
        return last or 0

    async def mac_of(self, sequence: int) -> bytes | None:
        """The MAC of the event with this number."""
        mac: bytes | None = await self.session.scalar(select(AuditEvent.mac).where(AuditEvent.sequence == sequence))
        return mac

    async def list_sequences(self, after: int, end: int, *, limit: int) -> list[int]:
        """The next numbers behind `after`, up to `end`."""
        statement = select(AuditEvent.sequence).where(AuditEvent.sequence > after, AuditEvent.sequence <= end)
        rows = await self.session.rows(statement.order_by(AuditEvent.sequence).limit(limit))
        return [row.sequence for row in rows]

    async def list_chained(self, after: int, end: int, *, limit: int) -> list[ChainedEvent]:
        """The next events behind the number `after`, up to `end`.

        Raises:
            ValueError, TypeError: a column of one of them holds what was never written there.
        """
        statement = select(*_AS_STORED).where(AuditEvent.sequence > after, AuditEvent.sequence <= end)
        rows = await self.session.rows(statement.order_by(AuditEvent.sequence).limit(limit))
        return [dict(row._mapping) for row in rows]

    async def count_outside(self) -> tuple[int, int]:
        """How many events have no number, as those from before the chain; how many others have no place in it.

        The latter have a number that the chain never gave, or none although they are younger than its first event.
        """
        began: Select[Any] = select(AuditEvent.occurred_at).where(_IS_CHAINED)
        start = await self.session.scalar(began.order_by(AuditEvent.sequence).limit(1))
        unnumbered = await self.count(AuditEvent.sequence.is_(None))
        misnumbered = await self.count(AuditEvent.sequence <= BEFORE_FIRST.sequence)
        if start is None:
            return unnumbered, misnumbered
        younger = await self.count(AuditEvent.sequence.is_(None), AuditEvent.occurred_at >= start)
        return unnumbered - younger, misnumbered + younger


_IS_CHAINED = AuditEvent.sequence > BEFORE_FIRST.sequence

# Without the ORM's share of the cost: the head is locked all the while.
_LOCK = select(*AuditHead.__table__.c).where(AuditHead.id == _ID).with_for_update()
_MOVE = update(AuditHead.__table__).where(AuditHead.id == _ID)
_INSERT = insert(AuditEvent.__table__)

# An action that no release knows is still to be read.
_AS_STORED = [
    type_coerce(column, String()).label(column.key) if isinstance(column.type, EnumString) else column
    for column in AuditEvent.__table__.c
]
