"""The job that imports a file: conversation by conversation, a batch of messages a transaction."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.transfer.archives import read_documents
from app.chat.transfer.formats import Item, items_of
from app.chat.transfer.importer import ConversationImporter
from app.chat.transfer.models import Import
from app.chat.transfer.preparing import prepare
from app.chat.transfer.repository import ImportChunkRepository, ImportRepository
from app.chat.transfer.types import (
    MAX_ERRORS,
    Fate,
    FileError,
    ImportSource,
    ImportStatus,
    ItemError,
    PreparedConversation,
)
from app.core.logging import get_logger
from app.db.query import Column
from app.jobs.run import JobRun

MAX_ATTEMPTS = 5
_MAX_ERROR_LENGTH = 300
_COUNTED: Mapping[Fate, Column] = {
    Fate.CREATED: Import.created,
    Fate.UPDATED: Import.updated,
    Fate.SKIPPED: Import.skipped,
}
_NO_MORE: tuple[None, Sequence[Item]] = (None, ())

Documents = Iterator[tuple[ImportSource, Sequence[Item]]]

logger = get_logger("chat.transfer")


class ImportJob:
    """Carries imports out. What an attempt has done stands; the next one goes on behind it."""

    KIND: ClassVar[str] = "chat.import"
    TIMEOUT: ClassVar[timedelta] = timedelta(hours=1)

    def __init__(self, parts: ChatComponents) -> None:
        self._parts = parts
        self._database = parts.database
        self._clock = parts.clock

    def register(self) -> None:
        """Make it known; its payload names the import."""
        self._parts.jobs.register(self.KIND, self.run, max_attempts=MAX_ATTEMPTS, timeout=self.TIMEOUT)

    async def run(self, run: JobRun) -> None:
        """Import a file. What is wrong with it stands in the import's row."""
        import_id = UUID(run.payload["import_id"])
        try:
            status, errors = await self._import(import_id)
        except FileError as error:
            status, errors = ImportStatus.FAILED, {"items": [{"error": str(error)}]}
        except Exception:
            if run.attempt < MAX_ATTEMPTS:
                raise
            logger.exception("import given up", import_id=str(import_id))
            status, errors = ImportStatus.FAILED, {"items": [{"error": "The import failed; tell the operator."}]}
        async with run.finish() as session:
            await ImportRepository(session, self._clock).end(import_id, status, errors)

    async def _import(self, import_id: UUID) -> tuple[ImportStatus, dict[str, Any] | None]:
        async with self._database.read_session() as session:
            row = await ImportRepository(session, self._clock).get(import_id)
            content = await ImportChunkRepository(session, self._clock).load(import_id)
        if row is None or row.finished_at is not None:
            return ImportStatus.DONE, None
        documents = items_of(read_documents(content))
        faults = list(row.errors.get("items", []))
        found: int | None = 0
        while found is not None:
            found = await self._import_next(row, documents, found, faults)
        return ImportStatus.DONE, None

    async def _import_next(
        self, row: Import, documents: Documents, found: int, faults: list[dict[str, Any]]
    ) -> int | None:
        """The conversations of the next document, behind so many; how many were found by now.

        None where there is no more to do: that was the last document, another worker has gone on, or it is gone.
        """
        source, items = await asyncio.to_thread(next, documents, _NO_MORE)
        if source is None:
            return None
        async with self._database.session() as session:
            is_mine = await ImportRepository(session, self._clock).begin(row.id, source, found + len(items))
            await session.commit()  # commit: outside any request
        for position, item in enumerate(items, start=found):
            if position >= row.position:
                is_mine = is_mine and await self._import_one(row, position, item, faults)
        return found + len(items) if is_mine else None

    async def _import_one(self, row: Import, position: int, item: Item, faults: list[dict[str, Any]]) -> bool:
        """One conversation. False where another worker has gone on with the import, or it is gone."""
        try:
            prepared = await asyncio.to_thread(lambda: prepare(item()))
            return await self._take_in(row, position, prepared)
        except ItemError as error:
            if len(faults) < MAX_ERRORS:
                faults.append({"item": position, "error": str(error)[:_MAX_ERROR_LENGTH]})
        async with self._database.session() as session:
            values: dict[Column, Any] = {Import.failed: Import.failed + 1, Import.errors: {"items": faults}}
            moved = await ImportRepository(session, self._clock).move_on(row.id, position, values)
            await session.commit()  # commit: outside any request
        return moved

    async def _take_in(self, row: Import, position: int, prepared: PreparedConversation) -> bool:
        """A conversation, batch by batch: each transaction also says how far the import is."""
        importer = ConversationImporter(self._parts, Owner(user_id=row.user_id), prepared)
        fate: Fate | None = None
        while fate is None:
            async with self._database.session() as session:
                progress = await importer.take_in(session)
                imports, fate = ImportRepository(session, self._clock), progress.fate
                values: dict[Column, Any] = {Import.messages_created: Import.messages_created + progress.messages}
                if fate is None:
                    is_mine = await imports.note(row.id, position, values)
                else:
                    counted = _COUNTED[fate]
                    is_mine = await imports.move_on(row.id, position, {**values, counted: counted + 1})
                if not is_mine:
                    return False
                await session.commit()  # commit: outside any request
        return True
