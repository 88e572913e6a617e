"""`/usage` and `/quota`: what the caller used, what it cost, and what is left."""

from fastapi import Response

from app.chat.usage.dependencies import (
    DEFAULT_BUCKETS,
    BucketLimit,
    GroupBy,
    PageCursor,
    UsageOwner,
    UsageReportsDep,
    UsageServiceDep,
)
from app.chat.usage.errors import UsageRangeError
from app.chat.usage.reports import UsageQuery
from app.chat.usage.schemas import QuotasRead, UsagePageRead, page_read
from app.chat.usage.service import rate_limit_headers
from app.chat.usage.types import BucketWidth, QuotaView
from app.core.errors import InvalidCursorError
from app.core.moments import UtcMoment
from app.core.problems import error_responses
from app.db.session import reads_replica
from app.routing import api_router

router = api_router(tags=["usage"])


@router.get(
    "/usage",
    response_model=UsagePageRead,
    summary="Get what you used",
    responses=error_responses(UsageRangeError, InvalidCursorError),
)
@reads_replica
async def get_usage(
    owner: UsageOwner,
    reports: UsageReportsDep,
    start: UtcMoment,
    end: UtcMoment,
    bucket: BucketWidth = BucketWidth.DAY,
    group_by: GroupBy = [],  # noqa: B006 - FastAPI copies it
    limit: BucketLimit = DEFAULT_BUCKETS,
    page: PageCursor = None,
) -> UsagePageRead:
    """Your tokens, requests and costs from `start` up to, and without, `end`, in the shape of OpenAI's usage API.

    Replies count at the moment when they were asked for. Costs are exact: those of any grouping add up to the same.
    Conversations that were deleted count too.
    """
    query = UsageQuery(start, end, bucket, group_by)
    return page_read(await reports.of(owner, query, limit=limit, cursor=page))


@router.get("/quota", response_model=QuotasRead, summary="Get your quotas")
async def get_quota(owner: UsageOwner, usage: UsageServiceDep, response: Response) -> QuotaView:
    """The limits that hold for you, what was used of them, and what replies on their way have reserved."""
    quota = await usage.view(owner)
    response.headers.update(rate_limit_headers(quota.items, quota.at))
    return quota
