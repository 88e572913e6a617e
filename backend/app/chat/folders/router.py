"""`/folders`: an account's folders of conversations; guests have none."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response, status

from app.chat.dependencies import AccountChatReader, AccountChatWriter
from app.chat.errors import FolderCycleError, FolderNotFoundError, FolderTooDeepError, TooManyFoldersError
from app.chat.folders.dependencies import FolderServiceDep
from app.chat.folders.schemas import FolderCreate, FolderRead, FolderUpdate
from app.chat.models import Folder
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, IfMatch, Limit, etag
from app.idempotency.dependencies import OnceDep, version_of
from app.routing import api_router

router = api_router("/folders", tags=["conversations"])


@router.get("", response_model=PageRead[FolderRead], summary="List your folders")
async def list_folders(
    principal: AccountChatReader,
    folders: FolderServiceDep,
    parent_id: Annotated[UUID | None, Query(description="Only those within this folder.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[Folder]:
    """All your folders by their positions, or those within one."""
    return await folders.list_(principal.user_id, parent_id=parent_id, limit=limit, cursor=cursor)


@router.post(
    "",
    response_model=FolderRead,
    status_code=status.HTTP_201_CREATED,
    summary="Make a folder",
    responses=error_responses(FolderNotFoundError, FolderTooDeepError, TooManyFoldersError),
)
async def create_folder(
    body: FolderCreate, principal: AccountChatWriter, folders: FolderServiceDep, once: OnceDep
) -> Folder | Response:
    """Make a folder, outermost or within another."""
    create = partial(folders.create, principal.user_id, **body.model_dump())
    return await once.run(principal.user_id, body, create, headers=version_of)


@router.get(
    "/{folder_id}", response_model=FolderRead, summary="Get a folder", responses=error_responses(FolderNotFoundError)
)
async def get_folder(
    folder_id: UUID, principal: AccountChatReader, folders: FolderServiceDep, response: Response
) -> Folder:
    """One of your folders; its `ETag` goes into `If-Match` when you change it."""
    folder = await folders.get(principal.user_id, folder_id)
    response.headers["ETag"] = etag(folder.row_version)
    return folder


@router.patch(
    "/{folder_id}",
    response_model=FolderRead,
    summary="Change a folder",
    responses=error_responses(FolderNotFoundError, FolderCycleError, FolderTooDeepError),
)
async def update_folder(
    folder_id: UUID,
    body: FolderUpdate,
    principal: AccountChatWriter,
    folders: FolderServiceDep,
    response: Response,
    expected_version: IfMatch,
) -> Folder:
    """Rename or move a folder, with all that is in it."""
    changes = body.model_dump(exclude_unset=True)
    folder = await folders.update(principal.user_id, folder_id, changes, expected_version=expected_version)
    response.headers["ETag"] = etag(folder.row_version)
    return folder


@router.delete(
    "/{folder_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a folder",
    responses=error_responses(FolderNotFoundError),
)
async def delete_folder(folder_id: UUID, principal: AccountChatWriter, folders: FolderServiceDep) -> None:
    """Delete a folder. The folders and conversations in it move one up."""
    await folders.delete(principal.user_id, folder_id)
