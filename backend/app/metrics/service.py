"""Questions about metrics, and reports from outside."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from app.core.clock import Clock
from app.core.errors import InvalidInputError
from app.core.ids import new_id
from app.core.pagination import CursorCodec, Page
from app.db.engine import Session
from app.metrics.errors import WindowTooWideError
from app.metrics.names import ReportedNames
from app.metrics.repository import RetentionRepository, RollupRepository, SystemMetricRepository, rollup_of
from app.metrics.types import (
    Aggregate,
    Answer,
    Event,
    Line,
    Point,
    Question,
    Resolution,
    Rollup,
    Series,
    Stats,
    floor,
)
from app.metrics.upkeep import rule_for
from app.metrics.windows import Window

MAX_POINTS = 1500
MAX_LINES = 100
MAX_WINDOW = timedelta(days=5 * 366)
OLDEST_REPORT = timedelta(hours=12)
"""The age up to which events can be reported: shorter than the life of any minute's rollup."""
_AHEAD = timedelta(minutes=1)
_MAX_BUCKETS = 20_000
_SCOPE = "metric operations"


class MetricService:
    """Metrics within one request."""

    def __init__(self, session: Session, clock: Clock, cursors: CursorCodec, names: ReportedNames) -> None:
        self._clock = clock
        self._cursors = cursors
        self._names = names
        self._rollups = RollupRepository(session, clock)
        self._events = SystemMetricRepository(session, clock)
        self._retention = RetentionRepository(session, clock)

    async def report(self, events: Sequence[Event]) -> int:
        """Store events that a caller reports, and count them, in the caller's transaction; the number of them.

        Raises:
            InvalidInputError: one is from the future or too old.
        """
        now = self._clock.now()
        if any(not now - OLDEST_REPORT <= event.at <= now + _AHEAD for event in events):
            hours = OLDEST_REPORT // timedelta(hours=1)
            raise InvalidInputError.at(
                "body", "created_at", type_="out_of_range", message=f"Must be of the last {hours} hours"
            )
        source = new_id()
        counted: dict[tuple[Series, datetime], Aggregate] = {}
        stored = []
        for event in events:
            series = self._names.admit(event.operation, event.dimensions)
            aggregate = counted.setdefault((series, floor(event.at, Resolution.MINUTE)), Aggregate())
            aggregate.add(event.duration_ms, is_success=event.is_success)
            stored.append(replace(event, operation=series.operation))
        await self._events.write(stored)
        await self._rollups.write(
            Rollup(series, Resolution.MINUTE, start, aggregate, source)
            for (series, start), aggregate in counted.items()
        )
        return len(stored)

    async def answer(self, question: Question) -> Answer:
        """What is known of an operation.

        Raises:
            InvalidInputError: the time ends before it begins.
            WindowTooWideError: there are too many steps, buckets or groups.
        """
        now = self._clock.now()
        end = min(question.end, now + _AHEAD)
        if question.start >= end:
            raise InvalidInputError.at("query", "from", type_="out_of_range", message="Must be before `to` and now")
        if end - question.start > MAX_WINDOW:
            raise WindowTooWideError
        step = question.step_seconds
        if step is not None and (end - question.start) / timedelta(seconds=step) > MAX_POINTS:
            raise WindowTooWideError(f"At most {MAX_POINTS} steps.")
        rule = rule_for(question.operation, await self._retention.all())
        window = Window(question.start, end, step_seconds=step, now=now, rule=rule)
        rows = await self._rollups.read(window.spans, operation=question.operation, limit=_MAX_BUCKETS + 1)
        if len(rows) > _MAX_BUCKETS:
            raise WindowTooWideError
        total, lines = await asyncio.to_thread(_summed, rows, question)
        if len(lines) > MAX_LINES:
            raise WindowTooWideError(f"At most {MAX_LINES} groups.")
        resolution = int(window.resolution)
        return Answer(question.operation, window.start, window.end, resolution, step, total, lines)

    async def list_operations(self, *, limit: int, cursor: str | None) -> Page[str]:
        """The names of all operations that anything is known of, in alphabetical order.

        Raises:
            InvalidCursorError: the cursor is not one of this list.
        """
        (after,) = [""] if cursor is None else self._cursors.decode(_SCOPE, cursor)
        names = await self._rollups.operations(after=after, limit=limit + 1)
        if len(names) <= limit:
            return Page(items=names, next_cursor=None)
        return Page(items=names[:limit], next_cursor=self._cursors.encode(_SCOPE, [names[limit - 1]]))


class _Group:
    """The sums of one group: over all of the time, and by step."""

    def __init__(self) -> None:
        self.total = Aggregate()
        self.steps: dict[datetime, Aggregate] = {}


def _summed(rows: Sequence[Row[Any]], question: Question) -> tuple[Stats, list[Line]]:
    """The figures of all rows together, and of each group."""
    groups: dict[tuple[str | None, ...], _Group] = {}
    every = Aggregate()
    for rollup in map(rollup_of, rows):
        dimensions = dict(rollup.series.dimensions)
        group = groups.setdefault(tuple(dimensions.get(name) for name in question.group_by), _Group())
        every.merge(rollup.aggregate)
        group.total.merge(rollup.aggregate)
        if question.step_seconds is not None:
            step = floor(rollup.start, question.step_seconds)
            group.steps.setdefault(step, Aggregate()).merge(rollup.aggregate)
    quantiles = question.quantiles
    lines = [
        Line(
            dimensions=dict(zip(question.group_by, key, strict=True)),
            total=Stats.of(group.total, quantiles),
            points=[Point(at, Stats.of(known, quantiles)) for at, known in sorted(group.steps.items())],
        )
        for key, group in sorted(groups.items(), key=lambda item: tuple(value or "" for value in item[0]))
    ]
    return Stats.of(every, quantiles), lines
