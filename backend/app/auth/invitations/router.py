"""`/admin/invitations`: people who are invited to register."""

from uuid import UUID

from fastapi import Response, status

from app.auth.dependencies import ClientDep, UsersReader
from app.auth.errors import EmailTakenError, SuperuserProtectedError
from app.auth.invitations.dependencies import InvitationServiceDep, InvitationsWriter
from app.auth.invitations.errors import InvitationNotFoundError
from app.auth.invitations.schemas import InvitationCreate, InvitationRead
from app.auth.invitations.types import InvitationView
from app.auth.roles.errors import PermissionNotHeldError
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, Limit
from app.idempotency.dependencies import OnceDep
from app.routing import api_router

router = api_router("/admin/invitations", tags=["admin"])


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=InvitationRead,
    summary="Invite someone",
    responses=error_responses(SuperuserProtectedError, PermissionNotHeldError, EmailTakenError),
)
async def create_invitation(
    body: InvitationCreate,
    actor: InvitationsWriter,
    invitations: InvitationServiceDep,
    client: ClientDep,
    once: OnceDep,
) -> InvitationView | Response:
    """Mail someone a link to register by, which works for a week. Only superusers invite administrators."""
    return await once.run(
        actor.user_id,
        body,
        lambda: invitations.create(actor, email=body.email, role=body.role, client=client),
    )


@router.get("", response_model=PageRead[InvitationRead], summary="List invitations")
async def list_invitations(
    _actor: UsersReader, invitations: InvitationServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[InvitationView]:
    """Invitations, the newest first; a week after their end they are gone."""
    return await invitations.list_(limit=limit, cursor=cursor)


@router.delete(
    "/{invitation_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Take an invitation back",
    responses=error_responses(InvitationNotFoundError),
)
async def revoke_invitation(
    invitation_id: UUID, actor: InvitationsWriter, invitations: InvitationServiceDep, client: ClientDep
) -> None:
    """Make the link of a pending invitation useless."""
    await invitations.revoke(actor, invitation_id, client)
