"""Imports of an account: handing a file over, and seeing what became of it."""

from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.repository import ConversationRepository
from app.chat.transfer.errors import ImportNotFoundError, ImportTooLargeError, TooManyImportsError
from app.chat.transfer.jobs import ImportJob
from app.chat.transfer.models import Import
from app.chat.transfer.repository import ImportChunkRepository, ImportRepository
from app.chat.transfer.types import UploadedFile
from app.core.ids import new_id
from app.core.pagination import Page
from app.db.engine import Session

MAX_WAITING = 3
KEPT_IMPORTS = 100
_SORT = "-created_at"


class ImportService:
    """The imports of one account, within one transaction."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._session = session
        self._parts = parts
        self._imports = ImportRepository(session, parts.clock)
        self._chunks = ImportChunkRepository(session, parts.clock)
        self._conversations = ConversationRepository(session, parts.clock)

    async def create(self, user_id: UUID, file: UploadedFile) -> Import:
        """Keep a file, and have it imported by a job.

        Raises:
            ImportTooLargeError: it has more bytes than it may have.
            TooManyImportsError: as many wait as may wait.
        """
        if len(file.content) > self._parts.settings.chat_import_max_bytes:
            raise ImportTooLargeError(f"At most {self._parts.settings.chat_import_max_bytes} bytes.")
        await self._conversations.hold_owner(Owner(user_id=user_id))
        mine = self._imports.owned_by(user_id)
        if await mine.count_waiting() >= MAX_WAITING:
            raise TooManyImportsError(f"At most {MAX_WAITING} wait at a time.")
        await mine.forget_old(KEPT_IMPORTS)
        row = Import(
            id=new_id(),
            user_id=user_id,
            file_sha256=file.sha256,
            file_bytes=len(file.content),
            created_at=self._parts.clock.now(),
        )
        await self._imports.add(row)
        await self._chunks.store(row.id, file.content)
        await self._parts.jobs.enqueue(self._session, ImportJob.KIND, {"import_id": str(row.id)})
        return await self.get(user_id, row.id)

    async def get(self, user_id: UUID, import_id: UUID) -> Import:
        """One import.

        Raises:
            ImportNotFoundError: none of the account's.
        """
        row = await self._imports.owned_by(user_id).get(import_id)
        if row is None:
            raise ImportNotFoundError
        return row

    async def list_(self, user_id: UUID, *, limit: int, cursor: str | None) -> Page[Import]:
        """One page of imports, the newest first.

        Raises:
            InvalidCursorError: the cursor belongs to another list.
        """
        after = None if cursor is None else self._parts.cursors.decode("imports", cursor)
        rows, position = await self._imports.owned_by(user_id).page(sort=_SORT, limit=limit, after=after)
        next_cursor = None if position is None else self._parts.cursors.encode("imports", position)
        return Page(items=rows, next_cursor=next_cursor)
