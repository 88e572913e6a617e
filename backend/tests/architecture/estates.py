"""Rows of every table: what an owner has, as many of each as a test wants, in the midst of others who have the same."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, insert, update

from app.auth.guests.models import Guest
from app.auth.guests.types import Owner
from app.auth.models import User
from app.auth.one_time_tokens.types import TokenPurpose
from app.auth.secret_texts import SecretText
from app.chat.models import Conversation
from app.chat.responses.types import EventKind
from app.chat.sharing.types import ShareMode
from app.chat.types import MessageStatus
from app.chat.usage.types import LimitScope
from app.core.ids import new_id
from app.db.engine import Database
from app.metrics.sketch import Sketch
from app.metrics.types import FOLDED
from app.models import Base
from app.preferences.types import ACCOUNT_LAYER
from tests.db.rows import MOMENT, row_of

Row = dict[str, Any]

# Accounts and guests log in and the index of texts is made of texts; the others are what every process holds in memory.
MADE_OTHERWISE = {
    "audit_heads", "guests", "revocations", "search_collections", "search_documents", "search_postings", "signing_keys",
    "users",
}  # fmt: skip
NEVER = MOMENT + timedelta(days=36_500)
SESSION = "session of the estate"
OPERATION = "job.estate"
KEY = "x-estate"
TAG = "estate"


class _Nearest(list[Any]):
    """Keys of which there may be fewer than asked for."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(min(index, len(self) - 1)) if self else None


@dataclass
class Estate:
    """What an owner has. `number` is of the next rows, `link` the one to the first conversation."""

    owner: Owner
    link: SecretText | None = None
    number: int = 0
    keys: dict[str, _Nearest] = field(default_factory=lambda: defaultdict(_Nearest))
    _start: int = field(init=False)

    def __post_init__(self) -> None:
        self.keys["users.id"].append(self.owner.user_id)
        self.keys["guests.id"].append(self.owner.guest_id)
        self._start = self.number

    @property
    def is_new(self) -> bool:
        """Whether there is nothing yet."""
        return self.number == self._start

    def first(self, table: str) -> Any:
        """The key of a table's first row; None where there is none."""
        return self.keys[f"{table}.id"][0]

    def rows(self, count: int) -> Iterator[tuple[Table, Row]]:
        """Further rows of each table, parents first: about `count`, and more where some stand elsewhere."""
        for _ in range(count):
            for table in Base.metadata.sorted_tables:
                if table.name not in MADE_OTHERWISE and self._may_have(table):
                    yield from ((table, row) for row in self._rows(table))
            self.number += 1

    def _may_have(self, table: Table) -> bool:
        """Guests have what has a column for them, and what hangs on that."""
        parents = {key.column.table.name for key in table.foreign_keys}
        is_within = bool(parents) and parents <= {"conversations", "responses"}
        return self.owner.user_id is not None or "guest_id" in table.c or is_within

    def _rows(self, table: Table) -> Iterator[Row]:
        for given in GIVEN.get(table.name, _anything)(self):
            row = self._plain(table) | given
            if "id" in row:
                self.keys[f"{table.name}.id"].append(row["id"])
            yield row

    def _plain(self, table: Table) -> Row:
        """A row that lasts, and of which nothing is told that need not be."""
        row = row_of(table, self.number, self.keys)  # type: ignore[arg-type] # lists they are
        for column in table.columns:
            if column.nullable and not column.foreign_keys:
                row[column.key] = None
            elif column.name.endswith("expires_at"):
                row[column.key] = NEVER
        owners = {"user_id": self.owner.user_id, "guest_id": self.owner.guest_id}
        return row | {name: id_ for name, id_ in owners.items() if name in row}


def _anything(_: Estate) -> list[Row]:
    return [{}]


def _folders(estate: Estate) -> list[Row]:
    """One more outermost, and one more within the first."""
    outer = {"id": new_id()}
    return [outer, {"id": new_id(), "parent_id": estate.first("folders") or outer["id"]}]


def _messages(estate: Estate) -> list[Row]:
    """One more at the end of a chain, and one more answer to the first."""
    known, shared = estate.keys["messages.id"], {"status": MessageStatus.COMPLETE, "extra_data": {}}
    root, last = (None, None) if not known else (known[0], known[len(known) - 2])
    link = {**shared, "id": new_id(), "seq": 2 * estate.number + 1, "parent_id": last}
    answer = {**shared, "id": new_id(), "seq": 2 * estate.number + 2, "parent_id": root or link["id"]}
    return [link, answer]


def _events(estate: Estate) -> list[Row]:
    """All of the first reply; the one that ends it stands at its end from the beginning."""
    row = {"response_id": estate.first("responses"), "payload": {"delta": "a"}, "kind": EventKind.DELTA}
    end = {**row, "seq": 1_000_000, "payload": {}, "kind": EventKind.COMPLETED}
    return [*([end] if estate.is_new else []), {**row, "seq": estate.number + 1}]


def _rollups(estate: Estate) -> list[Row]:
    """Of an operation that everybody has, and of another."""
    sketch = Sketch()
    sketch.add(1.0)
    row = {"bucket_seconds": 60, "sketch": sketch.to_bytes(), "dims": {}, "source": FOLDED, "bucket_start": MOMENT}
    return [
        {**row, "operation": OPERATION, "bucket_start": MOMENT + timedelta(minutes=estate.number)},
        {**row, "operation": f"{OPERATION}.{estate.number}"},
    ]


# What rows are where any value would not do.
GIVEN: dict[str, Callable[[Estate], list[Row]]] = {
    "audit_events": lambda estate: [{"actor_id": estate.owner.user_id, "detail": {}}],
    "conversations": lambda estate: [{"client_session_id": SESSION if estate.is_new else None, "settings": {}}],
    "conversation_shares": lambda estate: [
        {"mode": ShareMode.LIVE}
        | ({"id": estate.link.id, "token_hash": estate.link.digest} if estate.link and estate.is_new else {})
    ],
    "folders": _folders,
    "conversation_tags": lambda _: [{"tag": TAG}],
    "imports": lambda _: [{"errors": {"items": []}}],
    "message_feedback": lambda estate: [{"message_id": estate.keys["messages.id"][-1], "tags": []}],
    "messages": _messages,
    "metric_rollups": _rollups,
    "one_time_tokens": lambda _: [
        {"purpose": TokenPurpose.INVITATION, "payload": {"role": "user", "invited_by": str(new_id())}}
    ],
    "preference_changes": lambda estate: [{"key": KEY, "device_id": ACCOUNT_LAYER, "seq": estate.number + 1}],
    "preference_heads": lambda estate: [{"seq": 0}] if estate.is_new else [],
    "response_attempts": lambda estate: [{"number": estate.number + 1}],
    "response_events": _events,
    "responses": lambda _: [{"status": MessageStatus.COMPLETE, "params": {}, "last_event_seq": 1_000_000}],
    "usage_limits": lambda estate: [
        {"scope_type": LimitScope.USER, "scope_id": str(estate.owner.user_id), "window_seconds": 60 + estate.number}
    ],
    "usage_records": lambda estate: [{"created_at": MOMENT - timedelta(minutes=estate.number)}],  # others' are older
    "user_preferences": lambda estate: [
        {"key": KEY if estate.is_new else f"{KEY}-{estate.number}", "device_id": ACCOUNT_LAYER},
        {"key": KEY, "device_id": new_id()},
    ],
}


async def settle(database: Database, estate: Estate, *, count: int) -> None:
    """Give an owner further rows of everything; the newest message is the last of the first conversation."""
    await _store(database, [estate], count)
    conversation, leaf = estate.first("conversations"), estate.keys["messages.id"][-2]
    change = update(Conversation).where(Conversation.id == conversation).values(active_leaf_id=leaf)
    async with database.writer.begin() as connection:
        await connection.execute(change)


async def crowd(database: Database, count: int, *, first: int) -> None:
    """Others: accounts and guests, as many of each, who have one row of everything; numbered from `first` on."""
    numbers, made = range(first, first + count), {"created_at": MOMENT, "last_seen_at": MOMENT}
    people = [row_of(User.__table__, number) for number in numbers]
    guests: list[Row] = [{"id": new_id(), "secret_hash": number.to_bytes(32, "big"), **made} for number in numbers]
    async with database.writer.begin() as connection:
        await connection.execute(insert(User), people)
        await connection.execute(insert(Guest), guests)
    owners = [*(Owner(user_id=row["id"]) for row in people), *(Owner(guest_id=row["id"]) for row in guests)]
    await _store(database, [Estate(owner, number=first + n) for n, owner in enumerate(owners)], 1)


async def _store(database: Database, estates: Iterable[Estate], count: int) -> None:
    rows: dict[Table, list[Row]] = {table: [] for table in Base.metadata.sorted_tables}
    for estate in estates:
        for table, row in estate.rows(count):
            rows[table].append(row)
    async with database.writer.begin() as connection:
        for table, some in rows.items():
            if some:
                await connection.execute(insert(table), some)
