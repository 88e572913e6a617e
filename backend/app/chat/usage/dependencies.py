"""What the endpoints of prices, limits and use take in their signatures."""

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BeforeValidator
from starlette.requests import Request

from app.auth.bearer import require
from app.auth.guests.dependencies import require_owner
from app.auth.guests.types import Owner
from app.auth.types import Principal
from app.chat.permissions import CHAT_READ
from app.chat.usage.administration import LimitService, PriceService
from app.chat.usage.reports import UsageReports
from app.chat.usage.service import UsageService
from app.chat.usage.types import PRICES_READ, PRICES_WRITE, QUOTAS_READ, QUOTAS_WRITE, USAGE_READ, UsageGroup
from app.db.session import SessionDep

UsageOwner = Annotated[Owner, require_owner(CHAT_READ)]
UsageReader = Annotated[Principal, require(USAGE_READ)]
PricesReader = Annotated[Principal, require(PRICES_READ)]
PricesWriter = Annotated[Principal, require(PRICES_WRITE)]
QuotasReader = Annotated[Principal, require(QUOTAS_READ)]
QuotasWriter = Annotated[Principal, require(QUOTAS_WRITE)]


def _apart(given: Any) -> Any:
    """`a,b` is the same as the parameter twice."""
    return [name for text in given for name in text.split(",")] if isinstance(given, list) else given


GroupBy = Annotated[
    list[UsageGroup],
    BeforeValidator(_apart),
    Query(max_length=3, description="What the results are told apart by: names with commas, or one a parameter."),
]
BucketLimit = Annotated[int, Query(ge=1, le=1440, description="How many buckets at most.")]
DEFAULT_BUCKETS = 31
PageCursor = Annotated[str | None, Query(max_length=1024, description="The `next_page` of the page before.")]


async def get_usage_service(request: Request, session: SessionDep) -> UsageService:
    """The service of this request."""
    return UsageService(session, request.app.state.merit.auth)


async def get_usage_reports(request: Request, session: SessionDep) -> UsageReports:
    """The reports of this request."""
    return UsageReports(session, request.app.state.merit.auth)


async def get_price_service(request: Request, session: SessionDep) -> PriceService:
    """The service of this request."""
    return PriceService(session, request.app.state.merit.auth)


async def get_limit_service(request: Request, session: SessionDep) -> LimitService:
    """The service of this request."""
    return LimitService(session, request.app.state.merit.auth)


UsageServiceDep = Annotated[UsageService, Depends(get_usage_service)]
UsageReportsDep = Annotated[UsageReports, Depends(get_usage_reports)]
PriceServiceDep = Annotated[PriceService, Depends(get_price_service)]
LimitServiceDep = Annotated[LimitService, Depends(get_limit_service)]
