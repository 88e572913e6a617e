"""The SQL of metrics."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Row, Select, and_, func, insert, literal, or_, select, tuple_, union_all, update

from app.core.ids import new_id
from app.db.query import Column
from app.db.repository import BaseRepository
from app.db.upsert import insert_or_replace
from app.metrics.models import HASH_BYTES, MetricRetention, MetricRollup, SystemMetric
from app.metrics.sketch import Sketch
from app.metrics.types import FOLDED, Aggregate, Event, Resolution, Retention, Rollup, Series, Span

_ROLLUPS = MetricRollup.__table__
_EVENTS = SystemMetric.__table__
_KEY = ("operation", "bucket_seconds", "bucket_start", "dims_hash", "source")
_FIGURES = ("count", "errors", "sum_ms", "min_ms", "max_ms", "sketch")


class RollupRepository(BaseRepository[MetricRollup]):
    """Rollups: those of a source, which it alone writes, and the folded ones."""

    model = MetricRollup

    async def write(self, rollups: Iterable[Rollup]) -> None:
        """Insert rollups, or overwrite what the same source wrote before: they hold all that it has seen."""
        rows = [_row(rollup) for rollup in rollups]
        if not rows:
            return
        statement = insert_or_replace(self.session, MetricRollup, _KEY, _FIGURES)
        await self.session.change(statement, rows)

    async def read(self, spans: Sequence[Span], *, operation: str, limit: int) -> Sequence[Row[Any]]:
        """What is known of an operation in these spans, which follow each other: folded, and of sources by the minute.

        One statement, so that what is folded meanwhile is neither missed nor counted twice. The rows are for
        `rollup_of`: there may be so many that reading their sketches is work for a thread.
        """
        found = [self._select(MetricRollup.operation == operation, _folded(span)) for span in spans]
        live = Span(Resolution.MINUTE, spans[0].start, spans[-1].end)
        found.append(self._select(MetricRollup.operation == operation, _live(live)))
        return await self.session.rows(select(union_all(*found).subquery()).limit(limit))

    async def totals(self, spans: Sequence[Span]) -> list[Row[Any]]:
        """For each operation in these spans: its `total`, errors, sum and maximum of durations; no sketches."""
        live = Span(Resolution.MINUTE, spans[0].start, spans[-1].end)
        columns = [getattr(MetricRollup, name) for name in ("operation", "count", "errors", "sum_ms", "max_ms")]
        found = [select(*columns).where(condition) for condition in (*map(_folded, spans), _live(live))]
        every = union_all(*found).subquery()
        total = func.sum(every.c["count"]).label("total")
        sums = [func.sum(every.c[name]).label(name) for name in ("errors", "sum_ms")]
        statement = select(every.c.operation, total, *sums, func.max(every.c.max_ms).label("max_ms"))
        return list(await self.session.rows(statement.group_by(every.c.operation).order_by(every.c.operation)))

    async def live(self, span: Span, *, limit: int) -> Sequence[Row[Any]]:
        """What sources know of all operations in a span, for `rollup_of`."""
        return await self.session.rows(self._select(_live(span)).limit(limit))

    async def unfolded(self, before: datetime) -> list[str]:
        """The operations that sources have told something of from before a moment."""
        where = (_is_of(Resolution.MINUTE), MetricRollup.source > FOLDED, MetricRollup.bucket_start < before)
        rows = await self.session.rows(select(MetricRollup.operation).distinct().where(*where))
        return sorted(row.operation for row in rows)

    async def oldest_unfolded(self, operation: str, before: datetime, *, limit: int) -> list[Rollup]:
        """What sources know of an operation from before a moment, the oldest first."""
        where = (
            MetricRollup.operation == operation,
            _is_of(Resolution.MINUTE),
            MetricRollup.bucket_start < before,
            MetricRollup.source > FOLDED,
        )
        rows = await self.session.rows(self._select(*where).order_by(MetricRollup.bucket_start).limit(limit))
        return [rollup_of(row) for row in rows]

    async def folded(self, operation: str, spans: Iterable[Span]) -> list[Rollup]:
        """The folded rollups of an operation in any of these spans."""
        where = or_(*map(_folded, spans))
        rows = await self.session.rows(self._select(MetricRollup.operation == operation, where))
        return [rollup_of(row) for row in rows]

    async def take(self, operation: str, rollups: Sequence[Rollup]) -> bool:
        """Delete these rollups of sources. False where somebody else was first with one of them."""
        starts = [rollup.start for rollup in rollups]
        keys = [(rollup.start, _digest(rollup.series), rollup.source) for rollup in rollups]
        where = (
            MetricRollup.operation == operation,
            _is_of(Resolution.MINUTE),
            MetricRollup.bucket_start.between(min(starts), max(starts)),
            tuple_(MetricRollup.bucket_start, MetricRollup.dims_hash, MetricRollup.source).in_(keys),
        )
        return await self.delete_where(*where) == len(rollups)

    async def add_folded(self, rollups: Iterable[Rollup]) -> None:
        """Insert folded rollups that are not there yet.

        Raises:
            IntegrityError: one is.
        """
        rows = [_row(rollup) for rollup in rollups]
        if rows:
            await self.session.change(insert(_ROLLUPS), rows)

    async def replace_folded(self, rollup: Rollup, *, expected_count: int) -> bool:
        """Change a folded rollup. False where somebody else has changed it since it counted `expected_count` events."""
        row = _row(rollup)
        where = [getattr(MetricRollup, name) == row[name] for name in _KEY]
        statement = update(_ROLLUPS).where(*where, MetricRollup.count == expected_count)
        return bool(await self.session.change(statement.values({name: row[name] for name in _FIGURES})))

    async def operations(self, *, after: str, limit: int) -> list[str]:
        """The names of operations behind `after`, in their order; each is one step along the primary key."""
        return await _distinct(self, MetricRollup.operation, after, limit)

    async def prune(self, operation: str, resolution: Resolution, before: datetime) -> None:
        """Delete the folded rollups of one length from before a moment."""
        scope = (MetricRollup.operation == operation, _is_of(resolution), MetricRollup.source == FOLDED)
        await self.delete_where(*scope, MetricRollup.bucket_start < before)

    async def oldest_folded(self, operation: str, resolution: Resolution) -> datetime | None:
        """When the first folded rollup of one length begins."""
        scope = (MetricRollup.operation == operation, _is_of(resolution), MetricRollup.source == FOLDED)
        statement = select(MetricRollup.bucket_start).where(*scope).order_by(MetricRollup.bucket_start).limit(1)
        rows = await self.session.rows(statement)
        return rows[0].bucket_start if rows else None

    def _select(self, *where: ColumnElement[bool]) -> Select[Any]:
        return select(*_ROLLUPS.c).where(*where)


class SystemMetricRepository(BaseRepository[SystemMetric]):
    """Single events."""

    model = SystemMetric

    async def write(self, events: Iterable[Event]) -> None:
        """Insert events."""
        rows = [
            {
                "id": new_id(),
                "operation": event.operation,
                "duration_ms": event.duration_ms,
                "success": event.is_success,
                "error": event.error,
                "error_class": event.error_class,
                "user_id": event.user_id,
                "trace_id": event.trace_id,
                "extra_data": {**event.extra_data, **event.dimensions},
                "created_at": event.at,
            }
            for event in events
        ]
        if rows:
            await self.session.change(insert(_EVENTS), rows)

    async def operations(self, *, after: str, limit: int) -> list[str]:
        """The names of operations behind `after`, in their order."""
        return await _distinct(self, SystemMetric.operation, after, limit)

    async def prune(self, operation: str, before: datetime, *, limit: int) -> int:
        """Delete the oldest events of an operation from before a moment; the number of them."""
        where = (SystemMetric.operation == operation, SystemMetric.created_at < before)
        rows = await self.session.rows(
            select(SystemMetric.id).where(*where).order_by(SystemMetric.created_at).limit(limit)
        )
        ids = [row.id for row in rows]
        return await self.delete_where(SystemMetric.id.in_(ids)) if ids else 0


class RetentionRepository(BaseRepository[MetricRetention]):
    """For how long metrics are kept."""

    model = MetricRetention

    async def all(self) -> list[Retention]:
        """Every rule."""
        rows = await self.list_(order_by=[MetricRetention.pattern])
        return [Retention(row.pattern, row.raw_days, row.minute_days, row.hour_days) for row in rows]

    async def put(self, rule: Retention) -> None:
        """Store a rule in the place of the one with its pattern."""
        statement = insert_or_replace(
            self.session, MetricRetention, ("pattern",), ("raw_days", "minute_days", "hour_days")
        )
        await self.session.change(statement, [asdict(rule)])

    async def remove(self, pattern: str) -> bool:
        """Delete a rule. False where there is none."""
        return bool(await self.delete_where(MetricRetention.pattern == pattern))


async def _distinct(repository: BaseRepository[Any], column: Column, after: str, limit: int) -> list[str]:
    """The different values of an index's first column: a walk from one to the next, and not a scan of them all.

    MySQL walks by itself where it groups; in the recursion it would look for each value from the index's beginning.
    """
    if repository.session.dialect_name == "mysql":
        names: Any = select(column.label("name")).where(column > after).group_by(column).order_by(column).limit(limit)
        return [row.name for row in await repository.session.rows(names)]
    first = select(func.min(column).label("name")).where(column > literal(after, column.type))
    walk = first.cte("walk", recursive=True)
    following = select(column).where(column > walk.c.name).order_by(column).limit(1).correlate(walk).scalar_subquery()
    walk = walk.union_all(select(following).where(walk.c.name.is_not(None)))
    rows = await repository.session.rows(select(walk.c.name).where(walk.c.name.is_not(None)).limit(limit))
    return [row.name for row in rows]


def _is_of(resolution: Resolution) -> ColumnElement[bool]:
    return MetricRollup.bucket_seconds == int(resolution)


def _within(span: Span) -> ColumnElement[bool]:
    start = MetricRollup.bucket_start
    return and_(_is_of(span.resolution), start >= span.start, start < span.end)


def _folded(span: Span) -> ColumnElement[bool]:
    return and_(_within(span), MetricRollup.source == FOLDED)


def _live(span: Span) -> ColumnElement[bool]:
    return and_(_within(span), MetricRollup.source > FOLDED)


def _digest(series: Series) -> bytes:
    return hashlib.sha256(orjson.dumps(series.dimensions)).digest()[:HASH_BYTES]


def _row(rollup: Rollup) -> Mapping[str, Any]:
    known = rollup.aggregate
    return {
        "operation": rollup.series.operation,
        "bucket_seconds": int(rollup.resolution),
        "bucket_start": rollup.start,
        "dims_hash": _digest(rollup.series),
        "source": rollup.source,
        "dims": dict(rollup.series.dimensions),
        "count": known.count,
        "errors": known.errors,
        "sum_ms": known.sum_ms,
        "min_ms": known.min_ms,
        "max_ms": known.max_ms,
        "sketch": known.sketch.to_bytes(),
    }


def rollup_of(row: Row[Any]) -> Rollup:
    """The rollup in a row of all columns."""
    known = Aggregate()
    # `count` of a row is a method of tuples.
    known.count, known.errors, known.sum_ms = row._mapping["count"], row.errors, row.sum_ms
    known.min_ms, known.max_ms, known.sketch = row.min_ms, row.max_ms, Sketch.from_bytes(row.sketch)
    source: UUID = row.source
    series = Series(row.operation, tuple(sorted(row.dims.items())))
    return Rollup(series, Resolution(row.bucket_seconds), row.bucket_start, known, source)
