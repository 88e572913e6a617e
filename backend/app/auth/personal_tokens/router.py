"""`/users/me/tokens`: a person's own access tokens; and an administrator's view of anyone's."""

from datetime import timedelta
from uuid import UUID

from fastapi import Depends, status

from app.auth.dependencies import (
    ClientDep,
    FreshProfileWriter,
    InteractiveProfileReader,
    InteractiveProfileWriter,
    InteractiveUsersWriter,
    UsersReader,
    forbid_storing,
)
from app.auth.errors import (
    CredentialThrottledError,
    InvalidScopeError,
    SuperuserProtectedError,
    UserNotFoundError,
)
from app.auth.personal_tokens.dependencies import PersonalTokenServiceDep
from app.auth.personal_tokens.errors import PersonalTokenNotFoundError, TooManyPersonalTokensError
from app.auth.personal_tokens.models import PersonalToken
from app.auth.personal_tokens.schemas import PersonalTokenCreate, PersonalTokenCreatedRead, PersonalTokenRead
from app.auth.personal_tokens.service import IssuedPersonalToken
from app.auth.roles.errors import AccountProtectedError, PermissionNotHeldError
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, Limit
from app.routing import api_router

router = api_router("/users/me/tokens", tags=["tokens"])
admin_router = api_router("/admin/users/{user_id}/tokens", tags=["admin"])


@router.get(
    "",
    response_model=PageRead[PersonalTokenRead],
    summary="List your personal access tokens",
)
async def list_my_tokens(
    principal: InteractiveProfileReader,
    tokens: PersonalTokenServiceDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[PersonalToken]:
    """Your tokens, the newest first, without their texts. Expired ones are listed for a month."""
    return await tokens.list_(principal.user_id, limit=limit, cursor=cursor)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=PersonalTokenCreatedRead,
    summary="Make a personal access token",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(
        InvalidScopeError, PermissionNotHeldError, TooManyPersonalTokensError, CredentialThrottledError
    ),
)
async def create_my_token(
    body: PersonalTokenCreate, principal: FreshProfileWriter, tokens: PersonalTokenServiceDep, client: ClientDep
) -> IssuedPersonalToken:
    """Make a token for a script. Its text is shown this once; what it may do is never more than you may do then."""
    lifetime = timedelta(days=body.expires_in_days)
    return await tokens.create(principal, name=body.name, scopes=body.scopes, lifetime=lifetime, client=client)


@router.delete(
    "/{token_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Revoke one of your personal access tokens",
    responses=error_responses(PersonalTokenNotFoundError),
)
async def revoke_my_token(
    token_id: UUID, principal: InteractiveProfileWriter, tokens: PersonalTokenServiceDep, client: ClientDep
) -> None:
    """Revoke a token; it is refused from the next request on."""
    await tokens.revoke(principal, token_id, client)


@admin_router.get(
    "",
    response_model=PageRead[PersonalTokenRead],
    summary="List an account's personal access tokens",
    responses=error_responses(UserNotFoundError),
)
async def list_user_tokens(
    user_id: UUID,
    _actor: UsersReader,
    tokens: PersonalTokenServiceDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[PersonalToken]:
    """Someone's tokens, the newest first."""
    return await tokens.list_of(user_id, limit=limit, cursor=cursor)


@admin_router.delete(
    "",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Revoke an account's personal access tokens",
    responses=error_responses(UserNotFoundError, SuperuserProtectedError, AccountProtectedError),
)
async def revoke_user_tokens(
    user_id: UUID, actor: InteractiveUsersWriter, tokens: PersonalTokenServiceDep, client: ClientDep
) -> None:
    """Revoke all of someone's tokens; they are refused from the next request on."""
    await tokens.revoke_of(actor, user_id, client)
