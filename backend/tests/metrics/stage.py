"""What the tests of metrics share: processes that record, and a look at what is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from app.core.observations import Observation
from app.main import Services
from app.metrics.models import MetricRollup, SystemMetric
from app.metrics.recorder import Metrics
from app.metrics.repository import RollupRepository, rollup_of
from app.metrics.types import FOLDED, Aggregate, Resolution, Rollup
from app.metrics.upkeep import MetricUpkeep


@dataclass
class Recorded:
    """The processes of one test, on the database of `app`."""

    services: Services

    def process(self, *, flush_seconds: float = 0) -> Metrics:
        """Another process that records."""
        return Metrics(self.services.database, self.services.clock, flush_seconds=flush_seconds)

    @property
    def upkeep(self) -> MetricUpkeep:
        """The periodic jobs."""
        return MetricUpkeep(self.services.database, self.services.clock)

    async def rollups(self, operation: str) -> list[Rollup]:
        """Every rollup of an operation."""
        statement = select(*MetricRollup.__table__.c).where(MetricRollup.operation == operation)
        async with self.services.database.read_session() as session:
            return [rollup_of(row) for row in await session.rows(statement.order_by(MetricRollup.bucket_start))]

    async def known(self, operation: str, resolution: Resolution) -> Aggregate:
        """All that folded rollups of one length know."""
        known = Aggregate()
        for rollup in await self.rollups(operation):
            if rollup.resolution is resolution and rollup.source == FOLDED:
                known.merge(rollup.aggregate)
        return known

    async def events(self, operation: str) -> list[Mapping[str, Any]]:
        """Every single event of an operation."""
        statement = select(*SystemMetric.__table__.c).where(SystemMetric.operation == operation)
        async with self.services.database.read_session() as session:
            return [dict(row._mapping) for row in await session.rows(statement.order_by(SystemMetric.id))]

    async def write(self, *rollups: Rollup) -> None:
        """Store rollups."""
        async with self.services.database.session() as session:
            await RollupRepository(session, self.services.clock).write(rollups)
            await session.commit()


def seen(operation: str = "job.test", ms: float = 5.0, *, failed: str | None = None, **dimensions: str) -> Observation:
    """An observation."""
    return Observation(operation, ms, failed is None, failed, dimensions)


def aggregate(*durations: float, errors: int = 0) -> Aggregate:
    """An aggregate of these durations, the first of them failed."""
    known = Aggregate()
    for number, duration in enumerate(durations):
        known.add(duration, is_success=number >= errors)
    return known
