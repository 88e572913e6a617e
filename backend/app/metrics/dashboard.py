"""What the dashboard shows, whether as JSON or as a page."""

from dataclasses import dataclass
from datetime import datetime

from app.core.clock import Clock
from app.db.engine import Session
from app.jobs.queue import Jobs
from app.jobs.types import JobHealth
from app.metrics.repository import RollupRepository
from app.metrics.service import MetricService
from app.metrics.types import DEFAULT_RETENTION, FAMILIES, TOKENS, Answer, Period, Question, Resolution, ceiling
from app.metrics.windows import Window

_QUANTILES = (0.5, 0.95, 0.99)
_BUSIEST = 15


@dataclass(frozen=True, slots=True)
class Usage:
    """One operation over the whole period."""

    operation: str
    count: int
    errors: int
    average_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Everything the page shows. `busiest` are the operations that took the most time in all."""

    period: Period
    start: datetime
    end: datetime
    step_seconds: int
    made_at: datetime
    requests: Answer
    statuses: Answer
    jobs: Answer
    models: Answer
    prompt_tokens: Answer
    completion_tokens: Answer
    busiest: list[Usage]
    job_health: JobHealth


class DashboardService:
    """Reads what the dashboard shows."""

    def __init__(self, session: Session, clock: Clock, metrics: MetricService, jobs: Jobs) -> None:
        self._clock = clock
        self._metrics = metrics
        self._jobs = jobs
        self._rollups = RollupRepository(session, clock)

    async def read(self, period: Period) -> Dashboard:
        """The figures of a period that ends now."""
        now = self._clock.now()
        end = ceiling(now, int(Resolution.MINUTE))
        step = period.step_seconds
        start = ceiling(end, step) - period.length

        async def ask(operation: str, *group_by: str) -> Answer:
            return await self._metrics.answer(Question(operation, start, end, step, _QUANTILES, group_by))

        requests = await ask("http")
        return Dashboard(
            period=period,
            start=requests.start,
            end=requests.end,
            step_seconds=step,
            made_at=now,
            requests=requests,
            statuses=await ask("http", "status"),
            jobs=await ask("job"),
            models=await ask("llm"),
            prompt_tokens=await ask(f"{TOKENS}.prompt"),
            completion_tokens=await ask(f"{TOKENS}.completion"),
            busiest=await self._busiest(start, end, step, now),
            job_health=await self._jobs.health(),
        )

    async def _busiest(self, start: datetime, end: datetime, step: int, now: datetime) -> list[Usage]:
        window = Window(start, end, step_seconds=step, now=now, rule=DEFAULT_RETENTION)
        used = [
            Usage(row.operation, int(row.total), int(row.errors), float(row.sum_ms) / int(row.total), float(row.max_ms))
            for row in await self._rollups.totals(window.spans)
            if row.operation not in FAMILIES and row.operation.partition(".")[0] != TOKENS
        ]
        return sorted(used, key=lambda one: one.average_ms * one.count, reverse=True)[:_BUSIEST]
