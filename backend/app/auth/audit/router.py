"""`/admin/audit`: everyone's security events. `/users/me/events`: one's own."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import IPvAnyAddress

from app.auth.audit.dependencies import AuditReader, AuditServiceDep
from app.auth.audit.schemas import AuditEventRead, OwnEventRead
from app.auth.audit.types import AuditFilter, OwnEvent
from app.auth.dependencies import ClientDep, ProfileReader
from app.auth.models import AuditEvent
from app.auth.types import AuditAction, AuditOutcome
from app.core.addresses import parse_address
from app.core.moments import UtcMoment
from app.core.pagination import Page, PageRead
from app.db.http import DEFAULT_LIMIT, Cursor, Limit
from app.routing import api_router

router = api_router("/admin/audit", tags=["admin"])
own_router = api_router("/users/me/events", tags=["users"])


class NdjsonResponse(StreamingResponse):
    """One JSON value a line (github.com/ndjson/ndjson-spec), sent as it comes."""

    media_type = "application/x-ndjson"


async def get_filter(
    user_id: Annotated[UUID | None, Query(description="Whom the event concerns.")] = None,
    actor_id: Annotated[UUID | None, Query(description="Who did it.")] = None,
    session_id: UUID | None = None,
    action: Annotated[list[AuditAction] | None, Query(max_length=100, description="One of these.")] = None,
    outcome: AuditOutcome | None = None,
    address: IPvAnyAddress | None = None,
    request_id: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = None,
    occurred_after: UtcMoment | None = None,
    occurred_before: UtcMoment | None = None,
) -> AuditFilter:
    """The filter of a list or an export."""
    return AuditFilter(
        user_id=user_id,
        actor_id=actor_id,
        session_id=session_id,
        actions=tuple(action or ()),
        outcome=outcome,
        address=None if address is None else parse_address(str(address)),
        request_id=request_id,
        occurred_after=occurred_after,
        occurred_before=occurred_before,
    )


AuditFilterDep = Annotated[AuditFilter, Depends(get_filter)]


@router.get("", response_model=PageRead[AuditEventRead], summary="List security events")
async def list_audit_events(
    _actor: AuditReader,
    audit: AuditServiceDep,
    filter_: AuditFilterDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[AuditEvent]:
    """Events that meet all the filters given, the newest first."""
    return await audit.list_(filter_, limit=limit, cursor=cursor)


@router.get("/export", response_class=NdjsonResponse, summary="Export security events")
async def export_audit_events(
    actor: AuditReader, audit: AuditServiceDep, filter_: AuditFilterDep, client: ClientDep
) -> NdjsonResponse:
    """Every event that meets the filters, one JSON object a line as in the list, the oldest first.

    The last line is `{"end": true, "count": n}`: without it the export is incomplete. The export is recorded.
    """
    return NdjsonResponse(await audit.export(actor, filter_, client))


@own_router.get("", response_model=PageRead[OwnEventRead], summary="List your security events")
async def list_my_events(
    principal: ProfileReader, audit: AuditServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[OwnEvent]:
    """What happened to your account, the newest first: logins, failed ones, changes, and what others did to it."""
    return await audit.list_own(principal, limit=limit, cursor=cursor)
