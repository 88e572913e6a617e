"""The SQL of prices, limits, counters and records of use."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, delete, exists, func, insert, or_, select, update

from app.auth.guests.ownership import OwnerRepository
from app.auth.models import User
from app.auth.roles.models import CustomRole, UserRole
from app.chat.responses.models import Response
from app.chat.types import UNFINISHED
from app.chat.usage.models import ModelPrice, UsageCounter, UsageLimit, UsageRecord, UsageReservation
from app.chat.usage.types import CounterKey, LimitScope, Metric, TokenCounts, UsageSums
from app.core.clock import Clock
from app.db.engine import Session
from app.db.functions import epoch_bucket
from app.db.query import Column
from app.db.repository import BaseRepository
from app.db.upsert import insert_or_keep

_COUNTERS, _RESERVATIONS = UsageCounter.__table__, UsageReservation.__table__
_SUMMED: tuple[Column, ...] = (
    UsageRecord.tokens_prompt,
    UsageRecord.tokens_completion,
    UsageRecord.tokens_cached,
    UsageRecord.tokens_cache_write,
    UsageRecord.tokens_reasoning,
)


class ModelPriceRepository(BaseRepository[ModelPrice]):
    """Prices of models."""

    model = ModelPrice
    sorts: ClassVar = {"created_at": ModelPrice.created_at}

    async def with_prefixes(self, prefixes: Collection[str]) -> list[ModelPrice]:
        """The prices whose pattern begins with one of these texts before its first `*`; few of them match."""
        return await self.list_(ModelPrice.match_prefix.in_(prefixes))

    async def with_pattern(self, patterns: Collection[str]) -> list[ModelPrice]:
        """The prices of these very patterns."""
        return await self.list_(ModelPrice.match_pattern.in_(patterns))


class UsageLimitRepository(BaseRepository[UsageLimit]):
    """Limits of use."""

    model = UsageLimit
    sorts: ClassVar = {"created_at": UsageLimit.created_at}

    async def that_may_concern(self, scope: LimitScope, id_: UUID) -> list[UsageLimit]:
        """Those for all, for every owner of this kind, for this one, and for roles where it is an account."""
        concerns = [
            UsageLimit.scope_type == LimitScope.GLOBAL,
            and_(UsageLimit.scope_type == scope, UsageLimit.scope_id.in_(("", str(id_)))),
        ]
        if scope is LimitScope.USER:
            concerns.append(UsageLimit.scope_type == LimitScope.ROLE)
        return await self.list_(or_(*concerns))

    async def find(
        self, scope_type: LimitScope, scope_id: str, metric: Metric, window_seconds: int
    ) -> UsageLimit | None:
        """The limit with this scope, metric and window."""
        found = await self.list_(
            UsageLimit.scope_type == scope_type,
            UsageLimit.scope_id == scope_id,
            UsageLimit.metric == metric,
            UsageLimit.window_seconds == window_seconds,
        )
        return found[0] if found else None

    async def roles_of(self, user_id: UUID) -> frozenset[str]:
        """The names of an account's built-in role and of its custom ones."""
        statement: Any = (
            select(User.role, CustomRole.name_normalized)
            .outerjoin(UserRole, UserRole.user_id == User.id)
            .outerjoin(CustomRole, CustomRole.id == UserRole.role_id)
            .where(User.id == user_id)
        )
        rows = await self.session.rows(statement)
        return frozenset(name for row in rows for name in row if name is not None)


class UsageCounterRepository:
    """Counters of use, and the reservations that running responses have in them.

    Each change is one `UPDATE` whose condition is the limit itself, so that no reader's view can be outdated.
    """

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def reserve(self, key: CounterKey, amount: int, limit: int) -> bool:
        """Reserve an amount where the limit leaves room for it; False where it does not."""
        room = and_(_is(key), UsageCounter.used + UsageCounter.reserved + amount <= limit)
        change = update(_COUNTERS).where(room).values(reserved=UsageCounter.reserved + amount)
        if await self._session.change(change):
            return True
        await self._make(key)
        return bool(await self._session.change(change))

    async def settle(self, key: CounterKey, *, reserved: int, used: int, limit: int | None = None) -> None:
        """Give a reservation back and count what was really used, but not beyond a limit, which is then reached.

        The counter of a window long gone stays gone.
        """
        left, total = UsageCounter.reserved - reserved, UsageCounter.used + used
        if limit is not None:
            room = limit - left
            total = case((total <= room, total), (UsageCounter.used <= room, room), else_=UsageCounter.used)
        # MySQL sets column by column, and the next one sees what was set.
        change = update(_COUNTERS).where(_is(key)).ordered_values(("used", total), ("reserved", left))
        await self._session.change(change)

    async def read(self, keys: Sequence[CounterKey]) -> dict[CounterKey, tuple[int, int]]:
        """What is used and reserved of those counters that exist."""
        columns = (*_key_columns(UsageCounter), UsageCounter.used, UsageCounter.reserved)
        statement: Select[Any] = select(*columns).where(or_(*map(_is, keys)))
        return {_key(row): (row.used, row.reserved) for row in await self._session.rows(statement)}

    async def remember(self, response_id: UUID, reserved: Iterable[tuple[CounterKey, int]]) -> None:
        """Note what a response has reserved, and where."""
        now = self._clock.now()
        rows = [
            {
                "response_id": response_id,
                "scope": key.scope,
                "metric": key.metric,
                "window_seconds": key.window_seconds,
                "window_start": key.window_start,
                "amount": amount,
                "created_at": now,
            }
            for key, amount in reserved
        ]
        await self._session.change(insert(_RESERVATIONS), rows)

    async def reservations(self, response_id: UUID) -> list[tuple[CounterKey, int]]:
        """What a response has reserved, in the order of locks; nobody else can settle it until the transaction ends."""
        columns = (*_key_columns(UsageReservation), UsageReservation.amount)
        statement: Select[Any] = select(*columns).where(UsageReservation.response_id == response_id).with_for_update()
        held = [(_key(row), row.amount) for row in await self._session.rows(statement)]
        return sorted(held, key=lambda one: one[0].order)

    async def empty(self, response_id: UUID) -> None:
        """Note that a response reserves nothing any more; what it used is still to be counted in these places."""
        await self._session.change(
            update(_RESERVATIONS).where(UsageReservation.response_id == response_id).values(amount=0)
        )

    async def forget(self, response_id: UUID) -> None:
        """Delete the reservations of a response."""
        await self._session.change(delete(_RESERVATIONS).where(UsageReservation.response_id == response_id))

    async def abandoned(self, ago: timedelta, limit: int) -> Sequence[UUID]:
        """The replies that reserved something so long ago and are no longer being made, the oldest first."""
        is_running = exists().where(Response.id == UsageReservation.response_id, Response.status.in_(UNFINISHED))
        statement: Select[Any] = (
            select(UsageReservation.response_id)
            .where(UsageReservation.created_at < self._clock.now() - ago, ~is_running)
            .group_by(UsageReservation.response_id)
            .order_by(func.min(UsageReservation.created_at))
            .limit(limit)
        )
        return [row.response_id for row in await self._session.rows(statement)]

    async def delete_ended(self, ago: timedelta) -> int:
        """Delete the counters of windows that ended so long ago."""
        return await self._session.change(delete(_COUNTERS).where(UsageCounter.window_end < self._clock.now() - ago))

    async def _make(self, key: CounterKey) -> None:
        """Insert an empty counter unless it is there. MySQL locks the row at once for the update that follows."""
        values = {
            "scope": key.scope,
            "metric": key.metric,
            "window_seconds": key.window_seconds,
            "window_start": key.window_start,
            "window_end": key.window_start + timedelta(seconds=key.window_seconds),
            "used": 0,
            "reserved": 0,
        }
        await self._session.change(insert_or_keep(self._session, UsageCounter), values)


class UsageRecordRepository(OwnerRepository[UsageRecord]):
    """The ledger: what responses used and cost."""

    model = UsageRecord

    async def add_once(self, record: dict[str, Any]) -> bool:
        """Insert a record; False where its response has one."""
        await self.session.change(insert_or_keep(self.session, UsageRecord), record)
        return await self.exists(UsageRecord.id == record["id"])

    async def sums(
        self, start: datetime, end: datetime, width: int, groups: Sequence[Column], limit: int
    ) -> list[UsageSums]:
        """The sums of `[start, end)` by buckets of `width` seconds and by these columns, in that order.

        Costs are sums of whole numbers, exact on every database.
        """
        bucket = epoch_bucket(UsageRecord.created_at, width).label("bucket")
        values = (
            func.count().label("requests"),
            func.sum(case((UsageRecord.is_priced, 0), else_=1)).label("unpriced"),
            *(func.sum(column).label(column.key) for column in _SUMMED),
            func.sum(UsageRecord.cost_usd).label("cost_usd"),
        )
        statement: Any = (
            select(bucket, *groups, *values)
            .where(*self._scoped((UsageRecord.created_at >= start, UsageRecord.created_at < end)))
            .group_by(bucket, *groups)
            .order_by(bucket, *groups)
            .limit(limit)
        )
        return [_sums(row, groups) for row in await self.session.rows(statement)]

    async def claim(self, guest_id: UUID, user_id: UUID) -> None:
        """Let an account have what a guest used."""
        values = {UsageRecord.user_id: user_id, UsageRecord.guest_id: None}
        await self.update_where(UsageRecord.guest_id == guest_id, values=values)


def _sums(row: Any, groups: Sequence[Column]) -> UsageSums:
    return UsageSums(
        bucket=int(row.bucket),
        group={column.key: getattr(row, column.key) for column in groups},
        requests=row.requests,
        unpriced=int(row.unpriced),
        tokens=TokenCounts(
            prompt=int(row.tokens_prompt),
            completion=int(row.tokens_completion),
            cached=int(row.tokens_cached),
            cache_write=int(row.tokens_cache_write),
            reasoning=int(row.tokens_reasoning),
        ),
        cost_usd=row.cost_usd,
    )


def _is(key: CounterKey) -> ColumnElement[bool]:
    return and_(
        UsageCounter.scope == key.scope,
        UsageCounter.metric == key.metric,
        UsageCounter.window_seconds == key.window_seconds,
        UsageCounter.window_start == key.window_start,
    )


def _key_columns(model: type[UsageCounter | UsageReservation]) -> tuple[Any, ...]:
    return model.scope, model.metric, model.window_seconds, model.window_start


def _key(row: Any) -> CounterKey:
    return CounterKey(
        scope=row.scope, metric=row.metric, window_seconds=row.window_seconds, window_start=row.window_start
    )
