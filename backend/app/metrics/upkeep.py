"""Folds what sources have written into rollups of every length, and deletes what is old enough."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import ClassVar

from sqlalchemy.exc import IntegrityError

from app.core.clock import Clock
from app.core.logging import get_logger
from app.db.engine import Database
from app.jobs.queue import Jobs
from app.jobs.run import JobRun
from app.metrics.recorder import WRITTEN_WITHIN
from app.metrics.repository import RetentionRepository, RollupRepository, SystemMetricRepository
from app.metrics.types import DEFAULT_RETENTION, Aggregate, Resolution, Retention, Rollup, Series, Span, floor

FOLDED_AFTER = 2 * WRITTEN_WITHIN
"""The age of a minute from which its sources are folded: by then none of them writes to it any more."""
_ROWS_AT_ONCE = 500
_NAMES_AT_ONCE = 500
_EVENTS_AT_ONCE = 1000
_PRUNED_AT_ONCE = timedelta(days=1)

logger = get_logger("metrics")


class MetricUpkeep:
    """The periodic jobs of metrics. Either may run twice at a time, and may be cut off anywhere."""

    FOLD: ClassVar[str] = "metrics.fold"
    PRUNE: ClassVar[str] = "metrics.prune"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def register(self, jobs: Jobs) -> None:
        """Have both done by one worker of all."""
        jobs.register(self.FOLD, self.fold)
        jobs.every(self.FOLD, timedelta(minutes=5))
        jobs.register(self.PRUNE, self.prune)
        jobs.every(self.PRUNE, timedelta(hours=1))

    async def fold(self, _run: JobRun | None = None) -> None:
        """Fold every minute that nobody writes to any more."""
        before = floor(self._clock.now() - FOLDED_AFTER, Resolution.MINUTE)
        async with self._database.read_session() as session:
            operations = await RollupRepository(session, self._clock).unfolded(before)
        for operation in operations:
            while await self._fold_some(operation, before):
                pass

    async def _fold_some(self, operation: str, before: datetime) -> bool:
        """Move some rows of sources into the folded ones, in one transaction; whether there may be more.

        Whoever deletes the rows first is the one who counts them, and a folded row is changed only if it still counts
        what it did when it was read: of two that fold the same, the second one changes nothing.
        """
        async with self._database.session() as session:
            rollups = RollupRepository(session, self._clock)
            rows = await rollups.oldest_unfolded(operation, before, limit=_ROWS_AT_ONCE)
            if not rows:
                return False
            try:
                is_folded = await rollups.take(operation, rows) and await _add(rollups, operation, rows)
            except IntegrityError:
                is_folded = False
            if not is_folded:
                await session.rollback()  # commit: somebody else has folded them
                logger.info("metrics are folded elsewhere", operation=operation)
                return False
            await session.commit()  # commit: outside any request
            return len(rows) == _ROWS_AT_ONCE

    async def prune(self, _run: JobRun | None = None) -> None:
        """Delete what is older than the rules of its operation say. Rows of sources stay until they are folded."""
        async with self._database.read_session() as session:
            rules = await RetentionRepository(session, self._clock).all()
        async for operation in self._operations(SystemMetricRepository):
            await self._prune_events(operation, self._cut(rule_for(operation, rules).raw_days))
        async for operation in self._operations(RollupRepository):
            rule = rule_for(operation, rules)
            await self._prune_rollups(operation, Resolution.MINUTE, self._cut(rule.minute_days))
            await self._prune_rollups(operation, Resolution.HOUR, self._cut(rule.hour_days))

    def _cut(self, days: int) -> datetime:
        return self._clock.now() - timedelta(days=days)

    async def _operations(self, kind: type[RollupRepository | SystemMetricRepository]):  # type: ignore[no-untyped-def]
        after = ""
        while True:
            async with self._database.read_session() as session:
                names = await kind(session, self._clock).operations(after=after, limit=_NAMES_AT_ONCE)
            for name in names:
                yield name
            if len(names) < _NAMES_AT_ONCE:
                return
            after = names[-1]

    async def _prune_events(self, operation: str, before: datetime) -> None:
        deleted = _EVENTS_AT_ONCE
        while deleted == _EVENTS_AT_ONCE:
            async with self._database.session() as session:
                events = SystemMetricRepository(session, self._clock)
                deleted = await events.prune(operation, before, limit=_EVENTS_AT_ONCE)
                await session.commit()  # commit: outside any request

    async def _prune_rollups(self, operation: str, resolution: Resolution, before: datetime) -> None:
        """Day by day, so that no statement takes long after a shorter life was set."""
        while True:
            async with self._database.session() as session:
                rollups = RollupRepository(session, self._clock)
                oldest = await rollups.oldest_folded(operation, resolution)
                if oldest is None or oldest >= before:
                    return
                await rollups.prune(operation, resolution, min(before, oldest + _PRUNED_AT_ONCE))
                await session.commit()  # commit: outside any request


async def _add(rollups: RollupRepository, operation: str, rows: Iterable[Rollup]) -> bool:
    """Count these rows in the folded ones of each length. False where one of those was changed meanwhile."""
    grown: dict[tuple[Series, Resolution, datetime], Aggregate] = {}
    for row in rows:
        for resolution in Resolution:
            key = (row.series, resolution, floor(row.start, resolution))
            grown.setdefault(key, Aggregate()).merge(row.aggregate)
    spans = {Span(length, start, start + timedelta(seconds=length)) for _, length, start in grown}
    known = {(old.series, old.resolution, old.start): old.aggregate for old in await rollups.folded(operation, spans)}
    await rollups.add_folded(Rollup(*key, aggregate) for key, aggregate in grown.items() if key not in known)
    for key in sorted(grown.keys() & known.keys(), key=repr):
        expected_count = known[key].count
        grown[key].merge(known[key])
        if not await rollups.replace_folded(Rollup(*key, grown[key]), expected_count=expected_count):
            return False
    return True


def rule_for(operation: str, rules: Iterable[Retention]) -> Retention:
    """The rule that counts for an operation: that of the longest pattern that fits, else the default."""
    fitting = [rule for rule in rules if fnmatchcase(operation, rule.pattern)]
    return max(fitting, key=lambda rule: len(rule.pattern), default=DEFAULT_RETENTION)
