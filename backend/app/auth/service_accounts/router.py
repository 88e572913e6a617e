"""`/admin/service-accounts`: machines' accounts, for administrators."""

from datetime import timedelta
from uuid import UUID

from fastapi import Depends, Response, status

from app.auth.dependencies import ClientDep, forbid_storing
from app.auth.errors import CredentialThrottledError
from app.auth.roles.errors import PermissionNotHeldError, UnknownPermissionError
from app.auth.service_accounts.dependencies import (
    FreshServicesWriter,
    ServiceAccountServiceDep,
    ServicesReader,
    ServicesWriter,
)
from app.auth.service_accounts.errors import (
    PersonalPermissionError,
    ServiceAccountNotFoundError,
    ServiceSecretNotFoundError,
    TooManyServiceSecretsError,
)
from app.auth.service_accounts.models import ServiceAccount, ServiceAccountSecret
from app.auth.service_accounts.schemas import (
    ServiceAccountCreate,
    ServiceAccountRead,
    ServiceAccountUpdate,
    ServiceSecretCreate,
    ServiceSecretCreatedRead,
    ServiceSecretRead,
)
from app.auth.service_accounts.service import IssuedSecret
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, IfMatch, Limit, etag
from app.idempotency.dependencies import OnceDep
from app.routing import api_router

router = api_router("/admin/service-accounts", tags=["services"])


@router.get("", response_model=PageRead[ServiceAccountRead], summary="List service accounts")
async def list_service_accounts(
    _actor: ServicesReader,
    services: ServiceAccountServiceDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ServiceAccount]:
    """Service accounts, the newest first."""
    return await services.list_(limit=limit, cursor=cursor)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=ServiceAccountRead,
    summary="Make a service account",
    responses=error_responses(UnknownPermissionError, PersonalPermissionError, PermissionNotHeldError),
)
async def create_service_account(
    body: ServiceAccountCreate,
    actor: ServicesWriter,
    services: ServiceAccountServiceDep,
    client: ClientDep,
    once: OnceDep,
) -> ServiceAccount | Response:
    """Make an account for a machine, with permissions that you have. Give it a secret next."""
    return await once.run(
        actor.user_id,
        body,
        lambda: services.create(
            actor, name=body.name, description=body.description, permissions=body.permissions, client=client
        ),
    )


@router.get(
    "/{service_id}",
    response_model=ServiceAccountRead,
    summary="Get a service account",
    responses=error_responses(ServiceAccountNotFoundError),
)
async def get_service_account(
    service_id: UUID, _actor: ServicesReader, services: ServiceAccountServiceDep, response: Response
) -> ServiceAccount:
    """One service account, with its `ETag`."""
    service = await services.get(service_id)
    response.headers["ETag"] = etag(service.row_version)
    return service


@router.patch(
    "/{service_id}",
    response_model=ServiceAccountRead,
    summary="Change a service account",
    responses=error_responses(
        ServiceAccountNotFoundError,
        UnknownPermissionError,
        PersonalPermissionError,
        PermissionNotHeldError,
    ),
)
async def update_service_account(
    service_id: UUID,
    body: ServiceAccountUpdate,
    actor: ServicesWriter,
    services: ServiceAccountServiceDep,
    client: ClientDep,
    response: Response,
    expected_version: IfMatch,
) -> ServiceAccount:
    """Change the members that are given. Disabling it, or taking a permission away, kills its access tokens at once."""
    changes = body.model_dump(exclude_unset=True)
    service = await services.update(actor, service_id, changes, expected_version=expected_version, client=client)
    response.headers["ETag"] = etag(service.row_version)
    return service


@router.delete(
    "/{service_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a service account",
    responses=error_responses(ServiceAccountNotFoundError),
)
async def delete_service_account(
    service_id: UUID, actor: ServicesWriter, services: ServiceAccountServiceDep, client: ClientDep
) -> None:
    """Delete it with its secrets; its access tokens are refused from the next request on."""
    await services.delete(actor, service_id, client)


@router.get(
    "/{service_id}/secrets",
    response_model=PageRead[ServiceSecretRead],
    summary="List a service account's secrets",
    responses=error_responses(ServiceAccountNotFoundError),
)
async def list_service_secrets(
    service_id: UUID,
    _actor: ServicesReader,
    services: ServiceAccountServiceDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ServiceAccountSecret]:
    """Its secrets, the newest first, without their texts. Expired ones are listed for a month."""
    return await services.list_secrets(service_id, limit=limit, cursor=cursor)


@router.post(
    "/{service_id}/secrets",
    status_code=status.HTTP_201_CREATED,
    response_model=ServiceSecretCreatedRead,
    summary="Make a secret of a service account",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(
        ServiceAccountNotFoundError,
        PermissionNotHeldError,
        TooManyServiceSecretsError,
        CredentialThrottledError,
    ),
)
async def create_service_secret(
    service_id: UUID,
    body: ServiceSecretCreate,
    actor: FreshServicesWriter,
    services: ServiceAccountServiceDep,
    client: ClientDep,
) -> IssuedSecret:
    """Make a secret, shown this once. Two may live at a time: bring the next one out before you revoke the last."""
    lifetime = None if body.expires_in_days is None else timedelta(days=body.expires_in_days)
    return await services.create_secret(actor, service_id, lifetime=lifetime, client=client)


@router.delete(
    "/{service_id}/secrets/{secret_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Revoke a secret of a service account",
    responses=error_responses(ServiceAccountNotFoundError, ServiceSecretNotFoundError),
)
async def revoke_service_secret(
    service_id: UUID,
    secret_id: UUID,
    actor: ServicesWriter,
    services: ServiceAccountServiceDep,
    client: ClientDep,
) -> None:
    """Revoke a secret; access tokens that were made with it are refused from the next request on."""
    await services.revoke_secret(actor, service_id, secret_id, client)
