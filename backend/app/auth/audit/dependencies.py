"""What the endpoints of the audit trail take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.audit.service import AuditService
from app.auth.bearer import require
from app.auth.permissions import AUDIT_READ
from app.auth.types import Principal
from app.db.session import SessionDep


async def get_audit_service(request: Request, session: SessionDep) -> AuditService:
    """The service of this request."""
    return AuditService(session, request.app.state.merit.auth)


AuditReader = Annotated[Principal, require(AUDIT_READ)]
AuditServiceDep = Annotated[AuditService, Depends(get_audit_service)]
