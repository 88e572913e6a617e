"""What the endpoints of metrics take in their signatures."""

import hmac
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import SecurityScopes
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from app.auth.bearer import BearerScheme, bearer_token, require
from app.auth.types import Principal, PrincipalKind
from app.core.errors import InvalidInputError
from app.core.moments import UtcMoment
from app.core.settings import Settings
from app.core.text import SafeLine
from app.db.session import SessionDep
from app.metrics.dashboard import DashboardService
from app.metrics.errors import UnsupportedMetricsError
from app.metrics.schemas import MetricCreate
from app.metrics.scrape import ScrapeService
from app.metrics.service import MetricService
from app.metrics.types import (
    MAX_DIMENSION_NAME_LENGTH,
    MAX_OPERATION_LENGTH,
    METRICS_READ,
    METRICS_WRITE,
    Event,
    Question,
    Resolution,
)

MAX_EVENTS = 500
MAX_QUANTILES = 10
_MAX_GROUPS = 4
_JSON, _NDJSON = "application/json", "application/x-ndjson"
_LONGEST_STEP = 31 * int(Resolution.DAY)
_USUAL_WINDOW = timedelta(hours=1)
_FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)

MetricsReader = Annotated[Principal, require(METRICS_READ)]
MetricsWriter = Annotated[Principal, require(METRICS_WRITE)]

_Events = TypeAdapter(MetricCreate)


class ScrapeScheme(BearerScheme):
    """Lets callers with `metrics:read` in, and whoever has the METRICS_TOKEN, such as Prometheus."""

    async def __call__(self, request: Request, security_scopes: SecurityScopes) -> Principal | None:  # type: ignore[override]
        """The caller, None for the METRICS_TOKEN.

        Raises:
            MissingTokenError, MalformedAuthorizationError, InvalidTokenError: no usable token.
            InsufficientScopeError: the token lacks the permission.
        """
        settings: Settings = request.app.state.merit.settings
        if settings.metrics_token is not None:
            expected = settings.metrics_token.get_secret_value().encode()
            if hmac.compare_digest(bearer_token(request).encode(), expected):
                return None
        return await super().__call__(request, security_scopes)


async def _reported(request: Request, actor: MetricsWriter) -> list[Event]:
    """The events of a report: one JSON object, or one a line. What a machine tells is nobody's.

    Raises:
        RequestValidationError: one of them is none.
        UnsupportedMetricsError: they come in another form.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {_JSON, _NDJSON}:
        raise UnsupportedMetricsError(f"Send {_JSON} or {_NDJSON}.", headers={"Accept": f"{_JSON}, {_NDJSON}"})
    body = await request.body()
    user_id = None if actor.kind is PrincipalKind.SERVICE else actor.user_id
    now: datetime = request.app.state.merit.clock.now()
    if media_type == _JSON:
        return [_parsed(body).event(user_id, now)]
    lines = [(number, line) for number, line in enumerate(body.split(b"\n")) if line.strip()]
    if not 0 < len(lines) <= MAX_EVENTS:
        raise InvalidInputError.at("body", type_="too_long", message=f"Between 1 and {MAX_EVENTS} lines.")
    return [_parsed(line, number).event(user_id, now) for number, line in lines]


def _parsed(text: bytes, *place: int) -> MetricCreate:
    try:
        return _Events.validate_json(text)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *place, *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from None


def _quantiles(
    q: Annotated[
        str,
        Query(
            max_length=100,
            description=f"Percentiles as numbers between 0 and 1, at most {MAX_QUANTILES}, separated by commas.",
            examples=["0.5,0.95,0.99"],
        ),
    ] = "0.5,0.95,0.99",
) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in q.split(",")) if q else ()
    except ValueError:
        found = (-1.0,)
    if len(found) > MAX_QUANTILES or not all(0 <= one <= 1 for one in found):
        raise InvalidInputError.at("query", "q", type_="quantiles", message="Numbers between 0 and 1, by commas")
    return found


def _groups(
    group_by: Annotated[
        str,
        Query(
            max_length=_MAX_GROUPS * (MAX_DIMENSION_NAME_LENGTH + 1),
            description="Names of dimensions, such as `status` or `model`, separated by commas.",
        ),
    ] = "",
) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in group_by.split(","))) if group_by else ()
    if len(names) > _MAX_GROUPS or not all(names):
        raise InvalidInputError.at("query", "group_by", type_="names", message=f"At most {_MAX_GROUPS} names")
    return names


def get_question(
    request: Request,
    quantiles: Annotated[tuple[float, ...], Depends(_quantiles)],
    group_by: Annotated[tuple[str, ...], Depends(_groups)],
    operation: Annotated[
        SafeLine,
        Query(
            max_length=MAX_OPERATION_LENGTH,
            description="Such as `http.get_me`; `http`, `job` and `llm` are all of theirs together.",
        ),
    ] = "http",
    start: Annotated[UtcMoment | None, Query(alias="from", description="By default an hour before `to`.")] = None,
    end: Annotated[UtcMoment | None, Query(alias="to", description="By default now.")] = None,
    step: Annotated[
        int | None,
        Query(
            ge=int(Resolution.MINUTE),
            le=_LONGEST_STEP,
            multiple_of=int(Resolution.MINUTE),
            description="Seconds, whole minutes: asks for the figures of each step too.",
        ),
    ] = None,
) -> Question:
    """What is asked; the moments are within what a calendar can widen to whole steps."""
    now: datetime = request.app.state.merit.clock.now()
    end = min(end or now, now + timedelta(days=1))
    start = end - _USUAL_WINDOW if start is None else max(start, _FIRST_DAY)
    return Question(operation, start, end, step, quantiles, group_by)


async def get_metric_service(request: Request, session: SessionDep) -> MetricService:
    """The service of this request."""
    parts = request.app.state.merit
    return MetricService(session, parts.clock, parts.auth.cursors, parts.metrics.reported)


MetricServiceDep = Annotated[MetricService, Depends(get_metric_service)]


async def get_dashboard_service(request: Request, session: SessionDep, metrics: MetricServiceDep) -> DashboardService:
    """The service of this request."""
    parts = request.app.state.merit
    return DashboardService(session, parts.clock, metrics, parts.jobs)


async def get_scrape_service(request: Request, session: SessionDep) -> ScrapeService:
    """The service of this request."""
    parts = request.app.state.merit
    return ScrapeService(session, parts.clock, parts.database, parts.jobs, parts.metrics)


Scraper = Annotated[Principal | None, Security(ScrapeScheme(), scopes=[METRICS_READ])]
ReportedEvents = Annotated[list[Event], Depends(_reported)]
QuestionDep = Annotated[Question, Depends(get_question)]
DashboardServiceDep = Annotated[DashboardService, Depends(get_dashboard_service)]
ScrapeServiceDep = Annotated[ScrapeService, Depends(get_scrape_service)]
