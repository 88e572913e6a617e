"""`Metrics`: takes note of what happens in this process, and writes it down by and by.

Nobody who is observed waits for anything: an observation costs some microseconds and no statement. Every few seconds
one short transaction writes what has changed. A process that is killed forgets its last seconds.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from app.core.clock import Clock
from app.core.ids import new_id
from app.core.logging import get_logger, request_id_var
from app.core.observations import Observation
from app.core.tasks import end_task
from app.core.text import clean_header
from app.db.engine import Database
from app.metrics.names import ReportedNames
from app.metrics.repository import RollupRepository, SystemMetricRepository
from app.metrics.sketch import LARGEST_VALUE
from app.metrics.types import (
    FAMILIES,
    MAX_DIMENSION_NAME_LENGTH,
    MAX_DIMENSION_VALUE_LENGTH,
    MAX_DIMENSIONS,
    MAX_ERROR_CLASS_LENGTH,
    MAX_OPERATION_LENGTH,
    MAX_TRACE_ID_LENGTH,
    OTHER,
    Aggregate,
    Dimensions,
    Event,
    Resolution,
    Rollup,
    Series,
)

WRITTEN_WITHIN = timedelta(minutes=10)
"""A source writes nothing about a minute that began longer ago: by then it may have been folded."""
MAX_SERIES = 2000
MAX_SERIES_PER_OPERATION = 50
MAX_FAILURES_A_MINUTE = 10
"""So many failures of an operation are kept as single events, and the slowest of its events."""
_MAX_EVENTS = 1000
_MINUTE_SECONDS = int(Resolution.MINUTE)

logger = get_logger("metrics")

_Key = tuple[str, Dimensions]


class _Minute:
    """What this process has seen in one minute. Its `source` is its own: nothing is ever overwritten by less."""

    __slots__ = ("aggregates", "failures", "keys", "sets", "slowest", "source", "start", "written")

    def __init__(self, number: int) -> None:
        self.start = datetime.fromtimestamp(number * _MINUTE_SECONDS, UTC)
        self.source = new_id()
        self.keys: dict[_Key, Aggregate] = {}
        self.aggregates: dict[Series, Aggregate] = {}
        self.sets: dict[str, int] = {}
        self.slowest: dict[str, Event] = {}
        self.failures: dict[str, int] = {}
        self.written: dict[Series, int] = {}

    def aggregate_of(self, key: _Key) -> Aggregate:
        """The aggregate that counts what comes under this name; beyond the bounds one of the rest."""
        series = _bounded(*key)
        if series not in self.aggregates:
            operations, sets = len(self.sets), self.sets.get(series.operation, 0)
            if len(self.aggregates) >= MAX_SERIES or (not sets and operations >= MAX_SERIES // 2):
                series = Series(OTHER)
            elif sets >= MAX_SERIES_PER_OPERATION:
                series = Series(series.operation, ((OTHER, OTHER),))
            else:
                self.sets[series.operation] = sets + 1
        found = self.aggregates.setdefault(series, Aggregate())
        if len(self.keys) < MAX_SERIES:
            self.keys[key] = found
        return found

    def changed(self) -> Iterator[Rollup]:
        """What is to be written: each series that has grown since it was, and the sums of the families."""
        families: dict[Series, Aggregate] = {}
        for series, aggregate in self.aggregates.items():
            family = series.operation.partition(".")[0]
            if family in FAMILIES:
                families.setdefault(Series(family, series.dimensions), Aggregate()).merge(aggregate)
        for series, aggregate in (*self.aggregates.items(), *families.items()):
            if aggregate.count != self.written.get(series):
                yield Rollup(series, Resolution.MINUTE, self.start, aggregate, self.source)


class Metrics:
    """What one process has observed lately. To be used from its event loop alone."""

    def __init__(self, database: Database, clock: Clock, *, flush_seconds: float) -> None:
        self._database = database
        self._clock = clock
        self._flush_seconds = flush_seconds
        self._now: _Minute | None = None
        self._number = -1
        self._minutes: list[_Minute] = []
        self._events: list[Event] = []
        self._lock = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self.reported = ReportedNames(clock)
        self.dropped = 0

    async def start(self) -> None:
        """Begin to write, every `flush_seconds`; 0 is never."""
        if self._flush_seconds:
            self._writer = asyncio.create_task(self._run(), name="metrics")

    async def close(self) -> None:
        """Write what is left, and stop."""
        await end_task(self._writer)
        if self._flush_seconds:
            await self._flush_or_log(is_last=True)

    def observe(self, observation: Observation) -> None:
        """Take note of an operation that has ended. Neither waits nor raises."""
        number = int(self._clock.now().timestamp()) // _MINUTE_SECONDS
        minute = self._now
        if minute is None or number != self._number:
            minute = self._turn(number)
        dimensions = tuple(observation.dimensions.items())
        key = (observation.operation, dimensions)
        aggregate = minute.keys.get(key) or minute.aggregate_of(key)
        duration = observation.duration_ms
        if not 0 <= duration <= LARGEST_VALUE:
            duration = _countable(duration)
        aggregate.add(duration, is_success=observation.is_success)
        for name, amount in observation.amounts.items():
            minute.aggregate_of((name, dimensions)).add(_countable(amount), is_success=True)
        slowest = minute.slowest.get(observation.operation)
        if slowest is None or duration > slowest.duration_ms or not observation.is_success:
            self._sample(minute, observation, duration)

    async def flush(self, *, is_last: bool = False) -> None:
        """Write what has changed since the last time. What cannot be written stays, for some minutes."""
        async with self._lock:
            self._forget_old()
            number = int(self._clock.now().timestamp()) // _MINUTE_SECONDS
            open_ = self._now if number == self._number and not is_last else None
            for minute in self._minutes:
                if minute is not open_:
                    self._keep([*minute.slowest.values()])
                    minute.slowest.clear()
            rollups = [rollup for minute in self._minutes for rollup in minute.changed()]
            counts = [rollup.aggregate.count for rollup in rollups]
            events, self._events = self._events, []
            try:
                await self._write(rollups, events)
            except BaseException:
                self._events = (events + self._events)[:_MAX_EVENTS]
                raise
            self._note_written(rollups, counts)
            self._minutes = [minute for minute in self._minutes if minute is self._now or _has_more(minute)]

    async def _write(self, rollups: list[Rollup], events: list[Event]) -> None:
        if not rollups and not events:
            return
        async with self._database.session() as session:
            await RollupRepository(session, self._clock).write(rollups)
            await SystemMetricRepository(session, self._clock).write(events)
            await session.commit()  # commit: outside any request

    def _note_written(self, rollups: list[Rollup], counts: list[int]) -> None:
        minutes = {minute.source: minute for minute in self._minutes}
        for rollup, count in zip(rollups, counts, strict=True):
            minutes[rollup.source].written[rollup.series] = count

    def _turn(self, number: int) -> _Minute:
        self._forget_old()
        self._number = number
        self._now = _Minute(number)
        self._minutes.append(self._now)
        return self._now

    def _forget_old(self) -> None:
        """Give up what could not be written in time; nobody can tell any more whether it would be counted twice."""
        oldest = self._clock.now() - WRITTEN_WITHIN
        for minute in [minute for minute in self._minutes if minute.start < oldest]:
            self._minutes.remove(minute)
            self.dropped += sum(
                aggregate.count - minute.written.get(series, 0) for series, aggregate in minute.aggregates.items()
            )
            if self._now is minute:
                self._now = None

    def _sample(self, minute: _Minute, observation: Observation, duration: float) -> None:
        operation = clean_header(observation.operation, MAX_OPERATION_LENGTH)
        trace_id, error_class = request_id_var.get(), observation.error_class
        event = Event(
            operation=operation,
            duration_ms=duration,
            is_success=observation.is_success,
            at=self._clock.now(),
            error_class=None if error_class is None else clean_header(error_class, MAX_ERROR_CLASS_LENGTH),
            trace_id=None if trace_id is None else trace_id[:MAX_TRACE_ID_LENGTH],
            dimensions=dict(_bounded(operation, tuple(observation.dimensions.items())).dimensions),
        )
        if observation.is_success:
            if observation.operation in minute.slowest or len(minute.slowest) < MAX_SERIES // 2:
                minute.slowest[observation.operation] = event
            return
        failures = minute.failures.get(operation, 0)
        if failures < MAX_FAILURES_A_MINUTE and len(minute.failures) <= MAX_SERIES:
            minute.failures[operation] = failures + 1
            self._keep([event])

    def _keep(self, events: list[Event]) -> None:
        self._events.extend(events[: _MAX_EVENTS - len(self._events)])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._flush_seconds)
            await self._flush_or_log()

    async def _flush_or_log(self, *, is_last: bool = False) -> None:
        try:
            await self.flush(is_last=is_last)
        except Exception as error:  # the database may be away; the next time will do
            logger.warning("metrics are not written", error=type(error).__name__)


def _countable(value: float) -> float:
    """A value within what is counted; what is no number is zero."""
    return min(value, LARGEST_VALUE) if value > 0 else 0.0


def _has_more(minute: _Minute) -> bool:
    return any(True for _ in minute.changed())


def _bounded(operation: str, dimensions: Dimensions) -> Series:
    """The series of an observation, within what the tables hold."""
    return Series(
        clean_header(operation, MAX_OPERATION_LENGTH) or OTHER,
        tuple(
            sorted(
                (clean_header(name, MAX_DIMENSION_NAME_LENGTH), clean_header(str(value), MAX_DIMENSION_VALUE_LENGTH))
                for name, value in dimensions[:MAX_DIMENSIONS]
            )
        ),
    )
