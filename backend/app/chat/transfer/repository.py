"""The SQL of imports, and of taking many messages in at once."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import insert, select

from app.auth.guests.types import Owner
from app.chat.models import Conversation, Message
from app.chat.repository import ConversationRepository, MessageRepository
from app.chat.transfer.models import CHUNK_BYTES, Import, ImportChunk
from app.chat.transfer.types import ImportSource, ImportStatus
from app.db.query import Column
from app.db.repository import BaseRepository, OwnedRepository

_UNFINISHED = (ImportStatus.QUEUED, ImportStatus.RUNNING)
_INSERTED_AT_ONCE = 200


class ImportRepository(OwnedRepository[Import]):
    """Imports."""

    model = Import
    sorts: ClassVar = {"created_at": Import.created_at}

    async def count_waiting(self) -> int:
        """How many are not finished."""
        return await self.count(Import.status.in_(_UNFINISHED))

    async def note(self, import_id: UUID, position: int, values: Mapping[Column, Any]) -> bool:
        """Note what was done at a position. False where another worker was faster, or the import is gone."""
        where = (Import.id == import_id, Import.position == position, Import.status == ImportStatus.RUNNING)
        return bool(await self.update_where(*where, values=values))

    async def move_on(self, import_id: UUID, position: int, values: Mapping[Column, Any]) -> bool:
        """The same, and go on to the next one."""
        return await self.note(import_id, position, {Import.position: position + 1, **values})

    async def begin(self, import_id: UUID, source: ImportSource, found: int) -> bool:
        """Say what was found in a file so far. False where the import is over."""
        where = (Import.id == import_id, Import.status.in_(_UNFINISHED))
        values = {Import.source: source, Import.found: found, Import.status: ImportStatus.RUNNING}
        return bool(await self.update_where(*where, values=values))

    async def end(self, import_id: UUID, status: ImportStatus, errors: Mapping[str, Any] | None = None) -> None:
        """Say how an import ended. Its file goes."""
        values: dict[Column, Any] = {Import.status: status, Import.finished_at: self.clock.now()}
        if errors is not None:
            values[Import.errors] = dict(errors)
        await self.update_where(Import.id == import_id, Import.status.in_(_UNFINISHED), values=values)
        await ImportChunkRepository(self.session, self.clock).delete_where(ImportChunk.import_id == import_id)

    async def forget_old(self, keep: int) -> None:
        """Delete the oldest finished ones beyond so many."""
        old = await self.list_(
            Import.status.not_in(_UNFINISHED), order_by=(Import.created_at.desc(), Import.id.desc()), limit=2 * keep
        )
        if len(old) > keep:
            await self.delete_where(Import.id.in_([row.id for row in old[keep:]]))


class ImportChunkRepository(BaseRepository[ImportChunk]):
    """The parts of files that wait."""

    model = ImportChunk

    async def store(self, import_id: UUID, content: bytes) -> None:
        """Keep a file."""
        starts = range(0, len(content), CHUNK_BYTES)
        rows = [
            {"import_id": import_id, "seq": seq, "data": content[start : start + CHUNK_BYTES]}
            for seq, start in enumerate(starts)
        ]
        for start in range(0, len(rows), _INSERTED_AT_ONCE):
            await self.session.change(insert(ImportChunk.__table__), rows[start : start + _INSERTED_AT_ONCE])

    async def load(self, import_id: UUID) -> bytes:
        """The file."""
        statement: Any = select(ImportChunk.data).where(ImportChunk.import_id == import_id).order_by(ImportChunk.seq)
        return b"".join(row.data for row in await self.session.rows(statement))


class ImportedConversationRepository(ConversationRepository):
    """Conversations that came from elsewhere."""

    async def hold_source(self, owner: Owner, source: ImportSource, source_id: str) -> Conversation | None:
        """The one that was made of this, also where its row waits to be deleted; see `hold`."""
        return await self._hold_where(
            Conversation.user_id == owner.user_id,
            Conversation.source == source.value,
            Conversation.source_id == source_id,
        )

    async def grow(self, conversation_id: UUID, count: int, values: Mapping[Column, Any]) -> None:
        """Count more messages, and change the named columns."""
        more = {Conversation.message_count: Conversation.message_count + count, **values}
        await self.update_where(Conversation.id == conversation_id, values=more)


class ImportedMessageRepository(MessageRepository):
    """Messages that came from elsewhere."""

    async def insert_many(self, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows without making objects of them."""
        connection = await self.session.connection()
        for start in range(0, len(rows), _INSERTED_AT_ONCE):
            await connection.execute(insert(Message.__table__), rows[start : start + _INSERTED_AT_ONCE])

    async def known_ids(self, ids: Collection[UUID]) -> frozenset[UUID]:
        """Those of the ids that are messages already."""
        statement = select(Message.__table__.c.id).where(Message.id.in_(ids))
        return frozenset(row.id for row in await self.session.rows(statement))
