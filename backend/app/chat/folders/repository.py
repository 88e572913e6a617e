"""The SQL of folders."""

from typing import ClassVar
from uuid import UUID

from sqlalchemy import select

from app.chat.models import Folder
from app.db.repository import OwnedRepository


class FolderRepository(OwnedRepository[Folder]):
    """Folders."""

    model = Folder
    sorts: ClassVar = {"position": Folder.position}

    async def parents(self) -> dict[UUID, UUID | None]:
        """The parent of each folder."""
        statement = select(Folder.__table__.c.id, Folder.__table__.c.parent_id).where(*self._scoped(()))
        return {row.id: row.parent_id for row in await self.session.rows(statement)}

    async def free_children(self, folder_id: UUID, parent_id: UUID | None) -> None:
        """Move the folders within a folder one up."""
        await self.update_where(Folder.parent_id == folder_id, values={Folder.parent_id: parent_id})
