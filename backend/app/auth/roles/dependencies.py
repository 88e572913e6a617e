"""What the endpoints of roles take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.bearer import require
from app.auth.permissions import ROLES_READ, ROLES_WRITE
from app.auth.roles.service import RoleService
from app.auth.types import Principal
from app.db.session import SessionDep

RolesReader = Annotated[Principal, require(ROLES_READ)]
InteractiveRolesWriter = Annotated[Principal, require(ROLES_WRITE, interactive=True)]


async def get_role_service(request: Request, session: SessionDep) -> RoleService:
    """The service of this request."""
    return RoleService(session, request.app.state.merit.auth)


RoleServiceDep = Annotated[RoleService, Depends(get_role_service)]
