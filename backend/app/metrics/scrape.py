"""What Prometheus is told: sums of the whole service from the database, and the state of this process."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.pool import QueuePool

from app.core.clock import Clock
from app.db.engine import Database, Session
from app.jobs.queue import Jobs
from app.metrics.exposition import Family, Sample, render
from app.metrics.recorder import Metrics
from app.metrics.repository import RollupRepository, rollup_of
from app.metrics.types import FAMILIES, TOKENS, Aggregate, Resolution, Span, floor

RECENT = timedelta(minutes=5)
"""What the quantiles are of; the sums are those since the UTC day began."""
_QUANTILES = (0.5, 0.95, 0.99)
_MAX_RECENT = 5000


class ScrapeService:
    """The text of `GET /metrics`.

    Any process gives the same sums: they are those of all processes and servers, as written down some seconds ago.
    Those of one process would be another's at the next scrape wherever several serve one port.
    """

    def __init__(self, session: Session, clock: Clock, database: Database, jobs: Jobs, metrics: Metrics) -> None:
        self._clock = clock
        self._rollups = RollupRepository(session, clock)
        self._database = database
        self._jobs = jobs
        self._metrics = metrics

    async def text(self) -> str:
        """Everything, in Prometheus's own format."""
        now = self._clock.now()
        today = floor(now, Resolution.DAY)
        totals = await self._rollups.totals([Span(Resolution.DAY, today, today + timedelta(days=1))])
        since, until = floor(now - RECENT, Resolution.MINUTE), now + timedelta(minutes=1)
        rows = await self._rollups.live(Span(Resolution.MINUTE, since, until), limit=_MAX_RECENT)
        recent = await asyncio.to_thread(_by_operation, rows)
        return render([*_operations(totals, recent), *await self._job_gauges(), *self._process_gauges()])

    async def _job_gauges(self) -> list[Family]:
        health = await self._jobs.health()
        figures = {
            "due": ("Jobs that could be taken now.", health.due),
            "oldest_due_seconds": ("How long the first of them has waited.", health.oldest_due_seconds),
            "dead": ("Jobs that were given up.", health.dead),
        }
        return [
            Family(f"merit_jobs_{name}", "gauge", text, [Sample(value, {})]) for name, (text, value) in figures.items()
        ]

    def _process_gauges(self) -> list[Family]:
        worker = {"worker": str(os.getpid())}
        connections = []
        for lane, engine in (("write", self._database.writer), ("read", self._database.reader)):
            pool = engine.pool
            if isinstance(pool, QueuePool):  # it is, of every engine here
                for state, count in (("in_use", pool.checkedout()), ("idle", pool.checkedin())):
                    connections.append(Sample(count, {**worker, "lane": lane, "state": state}))
        dropped = [Sample(self._metrics.dropped, worker)]
        text = "Connections of the worker that answered this scrape."
        return [
            Family("merit_worker_database_connections", "gauge", text, connections),
            Family("merit_worker_observations_dropped_total", "counter", "Observations never written.", dropped),
        ]


def _by_operation(rows: Iterable[Row[Any]]) -> dict[str, Aggregate]:
    found: dict[str, Aggregate] = {}
    for rollup in map(rollup_of, rows):
        found.setdefault(rollup.series.operation, Aggregate()).merge(rollup.aggregate)
    return found


def _operations(totals: Iterable[Row[Any]], recent: dict[str, Aggregate]) -> Iterator[Family]:
    durations, errors, tokens = [], [], []
    for row in totals:
        family, _, kind = row.operation.partition(".")
        if family == TOKENS:
            tokens.append(Sample(float(row.sum_ms), {"kind": kind}))
        elif row.operation not in FAMILIES:
            labels = {"operation": row.operation}
            for q in _QUANTILES:
                value = recent[row.operation].percentile(q) if row.operation in recent else None
                durations.append(
                    Sample(float("nan") if value is None else value / 1000, {**labels, "quantile": str(q)})
                )
            durations.append(Sample(float(row.sum_ms) / 1000, labels, "_sum"))
            durations.append(Sample(float(row.total), labels, "_count"))
            errors.append(Sample(float(row.errors), labels))
    text = "Operations of all processes: sums since 00:00 UTC, quantiles of the last 5 minutes."
    yield Family("merit_operation_duration_seconds", "summary", text, durations)
    yield Family("merit_operation_errors_total", "counter", "Of these, failed, since 00:00 UTC.", errors)
    yield Family("merit_tokens_total", "counter", "Tokens of models since 00:00 UTC.", tokens)
