"""The JSON of metrics."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from app.core.json_values import MAX_JSON_DEPTH, safe_json
from app.core.moments import UtcMoment
from app.core.text import SafeLine, SafeStr
from app.metrics.types import (
    FAMILIES,
    MAX_DIMENSION_NAME_LENGTH,
    MAX_DIMENSION_VALUE_LENGTH,
    MAX_DIMENSIONS,
    MAX_DURATION_MS,
    MAX_ERROR_CLASS_LENGTH,
    MAX_ERROR_LENGTH,
    MAX_OPERATION_LENGTH,
    MAX_TRACE_ID_LENGTH,
    OTHER,
    TOKENS,
    Event,
    Period,
)

MAX_EXTRA_BYTES = 4096
_RESERVED = frozenset({*FAMILIES, TOKENS, OTHER})


def _require_free(operation: str) -> str:
    if operation.partition(".")[0] in _RESERVED:
        raise ValueError("is a name under which the service records what it does itself")
    return operation


OperationName = Annotated[
    SafeLine,
    Field(max_length=MAX_OPERATION_LENGTH, pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_-]+)*$", examples=["editor.save"]),
]
_DimensionName = Annotated[SafeLine, Field(max_length=MAX_DIMENSION_NAME_LENGTH, pattern=r"^[a-z][a-z0-9_]*$")]
_DimensionValue = Annotated[SafeLine, Field(max_length=MAX_DIMENSION_VALUE_LENGTH)]


class MetricCreate(BaseModel):
    """One operation that has ended."""

    model_config = ConfigDict(extra="forbid")

    operation: Annotated[OperationName, AfterValidator(_require_free)]
    duration_ms: Annotated[float, Field(ge=0, le=MAX_DURATION_MS, allow_inf_nan=False, strict=True, examples=[12.5])]
    success: StrictBool = True
    error: Annotated[SafeStr, Field(max_length=MAX_ERROR_LENGTH)] | None = None
    error_class: Annotated[SafeLine, Field(max_length=MAX_ERROR_CLASS_LENGTH, examples=["TimeoutError"])] | None = None
    trace_id: Annotated[SafeLine, Field(max_length=MAX_TRACE_ID_LENGTH)] | None = None
    dimensions: Annotated[
        dict[_DimensionName, _DimensionValue],
        Field(max_length=MAX_DIMENSIONS, description="What the figures can be grouped by; few values each."),
    ] = Field(default_factory=dict)
    extra_data: Annotated[
        dict[str, Any],
        Field(description=f"At most {MAX_EXTRA_BYTES} bytes of JSON, nested at most {MAX_JSON_DEPTH} deep."),
        safe_json(max_bytes=MAX_EXTRA_BYTES),
    ] = Field(default_factory=dict)
    created_at: Annotated[UtcMoment | None, Field(description="When it ended; by default now.")] = None

    def event(self, user_id: UUID | None, now: datetime) -> Event:
        """What is stored of it; `user_id` is who reports it."""
        return Event(
            operation=self.operation,
            duration_ms=self.duration_ms,
            is_success=self.success,
            at=self.created_at or now,
            error=self.error,
            error_class=self.error_class,
            user_id=user_id,
            trace_id=self.trace_id,
            dimensions=self.dimensions,
            extra_data=self.extra_data,
        )


_SCHEMA = MetricCreate.model_json_schema()
_EXAMPLE = {"operation": "editor.save", "duration_ms": 12.5, "dimensions": {"language": "python"}}
REPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _SCHEMA, "examples": {"one": {"value": _EXAMPLE}}},
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "One such object a line."},
                "examples": {"two": {"value": 2 * f"{orjson.dumps(_EXAMPLE).decode()}\n"}},
            },
        },
    }
}
"""What the OpenAPI document says of a report, which FastAPI does not read by itself."""


class ReportRead(BaseModel):
    """What has become of a report."""

    stored: int = Field(description="Events stored.")


class _Read(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PercentileRead(_Read):
    """The value that a share `q` of the events does not exceed, within 1 %."""

    q: float
    ms: float


class StatsRead(_Read):
    """The figures of some events."""

    count: int
    errors: int
    error_rate: float | None = Field(description="Between 0 and 1; null where nothing happened.")
    sum_ms: float
    average_ms: float | None
    min_ms: float | None
    max_ms: float | None
    percentiles: list[PercentileRead]


class PointRead(_Read):
    """The figures of one step."""

    at: datetime = Field(description="When the step begins.")
    stats: StatsRead


class LineRead(_Read):
    """A group; steps without events are left out."""

    dimensions: dict[str, str | None]
    total: StatsRead
    points: list[PointRead]


class MetricAnswerRead(_Read):
    """What is known of an operation, exact for the time from `start` up to `end`."""

    operation: str
    start: datetime = Field(description="`from`, moved back to the beginning of its bucket (and step).")
    end: datetime = Field(description="`to`, moved on to the end of its bucket (and step).")
    resolution_seconds: int = Field(description="The buckets at the beginning: 60, later 3600, then 86400.")
    step_seconds: int | None
    total: StatsRead
    lines: list[LineRead]


class UsageRead(_Read):
    """One operation over the whole period."""

    operation: str
    count: int
    errors: int
    average_ms: float
    max_ms: float


class JobHealthRead(_Read):
    """How the jobs are doing now."""

    due: int
    oldest_due_seconds: float
    dead: int


class DashboardRead(_Read):
    """What the page at `/admin/dashboard` shows."""

    period: Period
    start: datetime
    end: datetime
    step_seconds: int
    made_at: datetime
    requests: MetricAnswerRead
    statuses: MetricAnswerRead
    jobs: MetricAnswerRead
    models: MetricAnswerRead
    prompt_tokens: MetricAnswerRead
    completion_tokens: MetricAnswerRead
    busiest: list[UsageRead]
    job_health: JobHealthRead
