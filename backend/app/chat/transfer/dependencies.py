"""What the endpoints of imports and exports take in their signatures."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import UploadFile
from starlette.requests import Request

from app.auth.guests.types import Owner
from app.chat.dependencies import AccountChatReader, AccountChatWriter, ChatReader
from app.chat.transfer.errors import NoFileError
from app.chat.transfer.exports import Exporter
from app.chat.transfer.service import ImportService
from app.chat.transfer.types import UploadedFile
from app.db.session import SessionDep

__all__ = ["AccountChatReader", "AccountChatWriter", "ChatReader", "ExporterDep", "ImportServiceDep", "Owner", "Upload"]

UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "examples": [{"file": "conversations.json"}],
                }
            }
        },
    }
}
"""The form as the document shows it. FastAPI would read it before it knows who calls."""


async def get_import_service(request: Request, session: SessionDep) -> ImportService:
    """The service of this request."""
    return ImportService(session, request.app.state.merit.chat)


async def get_exporter(request: Request) -> Exporter:
    """What writes conversations down."""
    return Exporter(request.app.state.merit.chat)


async def _in_turn(request: Request, principal: AccountChatWriter) -> AsyncIterator[None]:
    """Let only one upload of an account go on at a time: others would wait for its row, with connections in hand."""
    async with request.app.state.merit.import_turns.take(principal.user_id):
        yield


async def read_upload(request: Request, _turn: Annotated[None, Depends(_in_turn, scope="function")]) -> UploadedFile:
    """The file of the form, read only for those who may import, in their turn.

    Raises:
        NoFileError: there is none, or there are several.
    """
    async with request.form(max_files=1, max_fields=0) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise NoFileError("Send a multipart form with the file as `file`.")
        content = await file.read()
    return await asyncio.to_thread(_hashed, content)


def _hashed(content: bytes) -> UploadedFile:
    return UploadedFile(content, hashlib.sha256(content).digest())


ImportServiceDep = Annotated[ImportService, Depends(get_import_service)]
ExporterDep = Annotated[Exporter, Depends(get_exporter)]
Upload = Annotated[UploadedFile, Depends(read_upload)]
