"""`/admin/prices`, `/admin/limits` and `/admin/usage`: what models cost, and what everyone may use and did use."""

from uuid import UUID

from fastapi import Response, status

from app.auth.dependencies import ClientDep
from app.chat.usage.administration import PricesLoaded
from app.chat.usage.dependencies import (
    DEFAULT_BUCKETS,
    BucketLimit,
    GroupBy,
    LimitServiceDep,
    PageCursor,
    PriceServiceDep,
    PricesReader,
    PricesWriter,
    QuotasReader,
    QuotasWriter,
    UsageReader,
    UsageReportsDep,
)
from app.chat.usage.errors import LimitExistsError, LimitNotFoundError, TooManyLimitsError, UsageRangeError
from app.chat.usage.models import ModelPrice
from app.chat.usage.reports import UsageQuery
from app.chat.usage.schemas import (
    LimitCreate,
    LimitRead,
    LimitUpdate,
    PriceRead,
    PricesCreate,
    PricesLoadedRead,
    UsagePageRead,
    page_read,
)
from app.chat.usage.types import BucketWidth, LimitView
from app.core.errors import InvalidCursorError
from app.core.moments import UtcMoment
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, IfMatch, Limit, etag
from app.db.session import reads_replica
from app.idempotency.dependencies import OnceDep, version_of
from app.routing import api_router

router = api_router("/admin", tags=["admin"])


@router.get("/prices", response_model=PageRead[PriceRead], summary="List prices of models")
async def list_prices(
    _actor: PricesReader, prices: PriceServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ModelPrice]:
    """All prices, also those of the past, in the order in which they were loaded."""
    return await prices.list_(limit=limit, cursor=cursor)


@router.post("/prices", response_model=PricesLoadedRead, summary="Load prices of models")
async def load_prices(
    body: PricesCreate, actor: PricesWriter, prices: PriceServiceDep, client: ClientDep
) -> PricesLoaded:
    """Add prices, and change those for the same pattern, provider, tier, unit and `valid_from`; all or none.

    They hold from `valid_from` on, for replies that are asked for from then on. Past costs stay as they were.
    """
    return await prices.load(body.prices, client, actor_id=actor.user_id)


@router.get("/limits", response_model=PageRead[LimitRead], summary="List limits of use")
async def list_limits(
    _actor: QuotasReader, limits: LimitServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[LimitView]:
    """All limits, in the order in which they were set."""
    return await limits.list_(limit=limit, cursor=cursor)


@router.post(
    "/limits",
    response_model=LimitRead,
    status_code=status.HTTP_201_CREATED,
    summary="Set a limit of use",
    responses=error_responses(LimitExistsError, TooManyLimitsError),
)
async def create_limit(
    body: LimitCreate, actor: QuotasWriter, limits: LimitServiceDep, client: ClientDep, once: OnceDep
) -> LimitView | Response:
    """Set a limit. Of several with the same metric and window, an owner's own holds, else the largest of its roles',
    else the one for each; a global one holds besides."""
    return await once.run(
        actor.user_id,
        body,
        lambda: limits.create(**dict(body), client=client, actor_id=actor.user_id),
        headers=version_of,
    )


@router.get(
    "/limits/{limit_id}",
    response_model=LimitRead,
    summary="Get a limit of use",
    responses=error_responses(LimitNotFoundError),
)
async def get_limit(limit_id: UUID, _actor: QuotasReader, limits: LimitServiceDep, response: Response) -> LimitView:
    """One limit; its `ETag` goes into `If-Match` when you change it."""
    limit = await limits.get(limit_id)
    response.headers["ETag"] = etag(limit.row_version)
    return limit


@router.patch(
    "/limits/{limit_id}",
    response_model=LimitRead,
    summary="Change a limit of use",
    responses=error_responses(LimitNotFoundError),
)
async def update_limit(
    limit_id: UUID,
    body: LimitUpdate,
    actor: QuotasWriter,
    limits: LimitServiceDep,
    client: ClientDep,
    response: Response,
    expected_version: IfMatch,
) -> LimitView:
    """Change the amount, at once and for the present window too."""
    limit = await limits.update(
        limit_id, body.amount, client=client, actor_id=actor.user_id, expected_version=expected_version
    )
    response.headers["ETag"] = etag(limit.row_version)
    return limit


@router.delete(
    "/limits/{limit_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Remove a limit of use",
    responses=error_responses(LimitNotFoundError),
)
async def delete_limit(limit_id: UUID, actor: QuotasWriter, limits: LimitServiceDep, client: ClientDep) -> None:
    """Remove a limit; it holds no more from the next reply on."""
    await limits.delete(limit_id, client=client, actor_id=actor.user_id)


@router.get(
    "/usage",
    response_model=UsagePageRead,
    summary="Get what everyone used",
    responses=error_responses(UsageRangeError, InvalidCursorError),
)
@reads_replica
async def get_everyones_usage(
    _actor: UsageReader,
    reports: UsageReportsDep,
    start: UtcMoment,
    end: UtcMoment,
    bucket: BucketWidth = BucketWidth.DAY,
    group_by: GroupBy = [],  # noqa: B006 - FastAPI copies it
    user_id: UUID | None = None,
    limit: BucketLimit = DEFAULT_BUCKETS,
    page: PageCursor = None,
) -> UsagePageRead:
    """The tokens, requests and costs of all accounts and guests, or of one account; see `GET /usage`.

    Guests have no `user_id`.
    """
    query = UsageQuery(start, end, bucket, group_by)
    return page_read(await reports.of_all(query, user_id=user_id, limit=limit, cursor=page))
