"""`/metrics`: report operations, and ask for averages, error rates and percentiles."""

from fastapi import Request, Response, status

from app.core.errors import InvalidInputError
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, Limit
from app.idempotency.dependencies import OnceDep
from app.metrics.dependencies import (
    MetricServiceDep,
    MetricsReader,
    MetricsWriter,
    QuestionDep,
    ReportedEvents,
)
from app.metrics.errors import UnsupportedMetricsError, WindowTooWideError
from app.metrics.schemas import REPORT_BODY, MetricAnswerRead, ReportRead
from app.metrics.types import Answer
from app.routing import api_router

router = api_router("/metrics", tags=["metrics"])


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=ReportRead,
    summary="Report operations",
    responses=error_responses(UnsupportedMetricsError, InvalidInputError),
    openapi_extra=REPORT_BODY,
)
async def report_metrics(
    request: Request, actor: MetricsWriter, events: ReportedEvents, metrics: MetricServiceDep, once: OnceDep
) -> dict[str, int] | Response:
    """Store operations that have ended: one JSON object, or up to 500 of them one a line (`application/x-ndjson`).

    All are stored, or none. The figures of more different names and dimensions than 500 and 50 are summed up under
    `other`.
    """

    async def report() -> dict[str, int]:
        return {"stored": await metrics.report(events)}

    return await once.run(actor.user_id, await request.body(), report)


@router.get(
    "",
    response_model=MetricAnswerRead,
    summary="Ask about an operation",
    responses=error_responses(WindowTooWideError),
)
async def query_metrics(_actor: MetricsReader, metrics: MetricServiceDep, question: QuestionDep) -> Answer:
    """Count, error rate, average and percentiles of an operation over any time, of each step, and by dimensions.

    The figures are exact for the time from `start` up to `end` of the answer: the time asked for, widened to whole
    minutes. Of times whose minutes are not kept any more it is whole hours, later days. Percentiles are within 1 %.
    """
    return await metrics.answer(question)


@router.get("/operations", response_model=PageRead[str], summary="List operations")
async def list_operations(
    _actor: MetricsReader, metrics: MetricServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[str]:
    """The names of all operations that anything is known of, in alphabetical order."""
    return await metrics.list_operations(limit=limit, cursor=cursor)
