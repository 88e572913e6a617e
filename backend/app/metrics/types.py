"""Values of metrics: series and what is known of them, buckets of time, questions and answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, Self
from uuid import UUID

from app.auth.permissions import declare
from app.metrics.sketch import LARGEST_VALUE, Sketch

MAX_OPERATION_LENGTH = 100
MAX_DIMENSIONS = 4
MAX_DIMENSION_NAME_LENGTH = 32
MAX_DIMENSION_VALUE_LENGTH = 64
MAX_ERROR_LENGTH = 500
MAX_ERROR_CLASS_LENGTH = 64
MAX_TRACE_ID_LENGTH = 64
MAX_DURATION_MS = LARGEST_VALUE
OTHER = "other"
"""The operation, and the dimension, that everything beyond the bounds is counted under."""

FAMILIES = ("http", "job", "llm")
"""Whose operations the service records itself; the name alone is the operation that sums each family up."""
TOKENS = "tokens"
"""What the operations that count the tokens of models begin with: they have numbers of tokens for milliseconds."""

METRICS_READ = declare("metrics:read", "Read the metrics of every operation")
METRICS_WRITE = declare("metrics:write", "Report metrics of operations")

FOLDED = UUID(int=0)
"""The `source` of rollups that belong to no process any more."""

Dimensions = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""


class Resolution(IntEnum):
    """The length of a bucket in seconds. Each is a whole number of the finer ones."""

    MINUTE = 60
    HOUR = 3600
    DAY = 86_400


@dataclass(frozen=True, slots=True)
class Series:
    """What is counted together."""

    operation: str
    dimensions: Dimensions = ()


class Aggregate:
    """What is known of some events: enough for averages, rates and percentiles, and mergeable in any order."""

    __slots__ = ("count", "errors", "max_ms", "min_ms", "sketch", "sum_ms")

    def __init__(self) -> None:
        self.count = 0
        self.errors = 0
        self.sum_ms = 0.0
        self.min_ms = float("inf")
        self.max_ms = 0.0
        self.sketch = Sketch()

    def add(self, duration_ms: float, *, is_success: bool) -> None:
        """Count one event."""
        self.count += 1
        self.sum_ms += duration_ms
        if not is_success:
            self.errors += 1
        self.min_ms = min(self.min_ms, duration_ms)
        self.max_ms = max(self.max_ms, duration_ms)
        self.sketch.add(duration_ms)

    def merge(self, other: "Aggregate") -> None:
        """Count what the other has counted."""
        self.count += other.count
        self.errors += other.errors
        self.sum_ms += other.sum_ms
        self.min_ms = min(self.min_ms, other.min_ms)
        self.max_ms = max(self.max_ms, other.max_ms)
        self.sketch.merge(other.sketch)

    def percentile(self, q: float) -> float | None:
        """The value at `q` within 1 %, and never outside of what was seen; None where nothing was."""
        value = self.sketch.quantile(q)
        return None if value is None else min(max(value, self.min_ms), self.max_ms)


@dataclass(frozen=True, slots=True)
class Rollup:
    """What one source knows of a series in one bucket of time."""

    series: Series
    resolution: Resolution
    start: datetime
    aggregate: Aggregate
    source: UUID = FOLDED


@dataclass(frozen=True, slots=True)
class Event:
    """One operation that has ended, kept as it was told."""

    operation: str
    duration_ms: float
    is_success: bool
    at: datetime
    error: str | None = None
    error_class: str | None = None
    user_id: UUID | None = None
    trace_id: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    extra_data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days each form of an operation's metrics is kept; daily rollups stay."""

    pattern: str
    raw_days: int
    minute_days: int
    hour_days: int


DEFAULT_RETENTION = Retention("*", raw_days=7, minute_days=30, hour_days=366)


@dataclass(frozen=True, slots=True)
class Span:
    """Buckets of one length from `start` up to, and without, `end`."""

    resolution: Resolution
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to know of an operation from `start` up to `end`."""

    operation: str
    start: datetime
    end: datetime
    step_seconds: int | None = None
    quantiles: tuple[float, ...] = ()
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Percentile:
    """The value that a share `q` of the events does not exceed, within 1 %."""

    q: float
    ms: float


@dataclass(frozen=True, slots=True)
class Stats:
    """The figures of some events; of none, all but the count are None or empty."""

    count: int
    errors: int
    error_rate: float | None
    sum_ms: float
    average_ms: float | None
    min_ms: float | None
    max_ms: float | None
    percentiles: list[Percentile]

    @classmethod
    def of(cls, known: Aggregate, quantiles: Sequence[float]) -> Self:
        """The figures of an aggregate."""
        values = [(q, known.percentile(q)) for q in quantiles]
        return cls(
            count=known.count,
            errors=known.errors,
            error_rate=known.errors / known.count if known.count else None,
            sum_ms=known.sum_ms,
            average_ms=known.sum_ms / known.count if known.count else None,
            min_ms=known.min_ms if known.count else None,
            max_ms=known.max_ms if known.count else None,
            percentiles=[Percentile(q, value) for q, value in values if value is not None],
        )


@dataclass(frozen=True, slots=True)
class Point:
    """The figures of one step of the time asked for."""

    at: datetime
    stats: Stats


@dataclass(frozen=True, slots=True)
class Line:
    """A group of series over the time asked for. Steps without events have no point."""

    dimensions: dict[str, str | None]
    total: Stats
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known. `start` and `end` are those asked for, widened to whole buckets of `resolution_seconds`."""

    operation: str
    start: datetime
    end: datetime
    resolution_seconds: int
    step_seconds: int | None
    total: Stats
    lines: list[Line]


def floor(moment: datetime, seconds: int) -> datetime:
    """The beginning of the bucket of this many seconds, counted from 1970, in which a moment lies."""
    since = int(moment.timestamp())
    return datetime.fromtimestamp(since - since % seconds, UTC)


def ceiling(moment: datetime, seconds: int) -> datetime:
    """The end of that bucket, or the moment itself where it is the beginning of one."""
    start = floor(moment, seconds)
    return start if start == moment else start + timedelta(seconds=seconds)


class Period(StrEnum):
    """How far the dashboard looks back."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def length(self) -> timedelta:
        """How long it is."""
        days = {Period.DAY: 1, Period.WEEK: 7, Period.MONTH: 30}
        return timedelta(days=days[self]) if self in days else timedelta(hours=1)

    @property
    def step_seconds(self) -> int:
        """How long the steps of its charts are."""
        hour = int(Resolution.HOUR)
        steps = {Period.DAY: hour, Period.WEEK: 6 * hour, Period.MONTH: 24 * hour}
        return steps.get(self, int(Resolution.MINUTE))
