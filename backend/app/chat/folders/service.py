"""Folders: making, nesting and deleting them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.errors import FolderCycleError, FolderNotFoundError, FolderTooDeepError, TooManyFoldersError
from app.chat.folders.repository import FolderRepository
from app.chat.folders.types import MAX_FOLDER_DEPTH
from app.chat.models import Folder
from app.chat.repository import ConversationRepository
from app.core.pagination import Page
from app.db.engine import Session
from app.db.query import Column

_SORT = "position"
_COLUMNS: Mapping[str, Column] = {"name": Folder.name, "parent_id": Folder.parent_id, "position": Folder.position}


class FolderService:
    """The folders of an account, within one transaction.

    Whoever makes or moves folders holds the account's row until the commit: what two parallel requests do one after the
    other cannot make a cycle, nor more folders than there may be.
    """

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._cursors = parts.cursors
        self._limit = parts.settings.chat_max_folders
        self._folders = FolderRepository(session, parts.clock)
        self._conversations = ConversationRepository(session, parts.clock)

    async def list_(self, user_id: UUID, *, parent_id: UUID | None, limit: int, cursor: str | None) -> Page[Folder]:
        """One page of the folders, or of those within one, by their positions.

        Raises:
            InvalidCursorError: the cursor belongs to another list.
        """
        scope = f"folders {parent_id or ''}"
        after = None if cursor is None else self._cursors.decode(scope, cursor)
        where = [] if parent_id is None else [Folder.parent_id == parent_id]
        rows, position = await self._folders.owned_by(user_id).page(*where, sort=_SORT, limit=limit, after=after)
        next_cursor = None if position is None else self._cursors.encode(scope, position)
        return Page(items=rows, next_cursor=next_cursor)

    async def get(self, user_id: UUID, folder_id: UUID) -> Folder:
        """One folder.

        Raises:
            FolderNotFoundError: none of the account's.
        """
        folder = await self._folders.owned_by(user_id).get(folder_id)
        if folder is None:
            raise FolderNotFoundError
        return folder

    async def create(self, user_id: UUID, *, name: str, parent_id: UUID | None, position: int) -> Folder:
        """Make a folder.

        Raises:
            FolderNotFoundError: the parent is none of the account's.
            FolderTooDeepError, TooManyFoldersError: more than there may be.
        """
        parents = await self._held_parents(user_id)
        if len(parents) >= self._limit:
            raise TooManyFoldersError(f"Delete one first; {self._limit} are allowed.")
        _require_place(parents, None, parent_id)
        return await self._folders.add(Folder(user_id=user_id, name=name, parent_id=parent_id, position=position))

    async def update(
        self, user_id: UUID, folder_id: UUID, changes: Mapping[str, Any], *, expected_version: int | None
    ) -> Folder:
        """Change the named members.

        Raises:
            FolderNotFoundError: the folder, or the parent to be, is none of the account's.
            PreconditionFailedError: the folder is no longer at that version.
            FolderCycleError: it would come to lie within itself.
            FolderTooDeepError: it, or what is in it, would lie too deep.
        """
        if "parent_id" in changes:
            parents = await self._held_parents(user_id)
            if folder_id not in parents:
                raise FolderNotFoundError
            _require_place(parents, folder_id, changes["parent_id"])
        values = {_COLUMNS[name]: value for name, value in changes.items()}
        if not await self._folders.owned_by(user_id).update(folder_id, values, expected_version=expected_version):
            raise FolderNotFoundError
        return await self.get(user_id, folder_id)

    async def delete(self, user_id: UUID, folder_id: UUID) -> None:
        """Delete a folder. What is in it moves one up: folders and conversations.

        Raises:
            FolderNotFoundError: none of the account's.
        """
        parents = await self._held_parents(user_id)
        if folder_id not in parents:
            raise FolderNotFoundError
        owner, parent_id = Owner(user_id=user_id), parents[folder_id]
        await self._conversations.owned_by(owner).move(folder_id, parent_id)
        await self._folders.owned_by(user_id).free_children(folder_id, parent_id)
        await self._folders.delete(folder_id)

    async def _held_parents(self, user_id: UUID) -> dict[UUID, UUID | None]:
        """The parent of each folder, which nobody else changes before the transaction ends."""
        await self._conversations.hold_owner(Owner(user_id=user_id))
        return await self._folders.owned_by(user_id).parents()


def _require_place(parents: Mapping[UUID, UUID | None], folder_id: UUID | None, parent_id: UUID | None) -> None:
    """That a folder, None for one to be, may lie within a parent.

    Raises:
        FolderNotFoundError, FolderCycleError, FolderTooDeepError: see `FolderService.update`.
    """
    if parent_id is not None and parent_id not in parents:
        raise FolderNotFoundError
    above = _way_up(parents, parent_id)
    if folder_id in above:
        raise FolderCycleError
    if len(above) + _height(parents, folder_id) > MAX_FOLDER_DEPTH:
        raise FolderTooDeepError(f"At most {MAX_FOLDER_DEPTH} lie within each other.")


def _way_up(parents: Mapping[UUID, UUID | None], folder_id: UUID | None) -> list[UUID]:
    """A folder and those that it lies in."""
    way: list[UUID] = []
    while folder_id is not None:
        way.append(folder_id)
        folder_id = parents[folder_id]
    return way


def _height(parents: Mapping[UUID, UUID | None], folder_id: UUID | None) -> int:
    """How many folders lie within each other from this one on, itself counted."""
    if folder_id is None:
        return 1
    ways = (_way_up(parents, inner) for inner in parents)
    return max(way.index(folder_id) + 1 for way in ways if folder_id in way)
