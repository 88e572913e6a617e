"""`/imports`, `/exports/chat` and `/conversations/{id}/export`: taking conversations in, and along."""

from functools import partial
from uuid import UUID

from fastapi import Response, status
from starlette.responses import StreamingResponse

from app.auth.guests.types import Owner
from app.chat.errors import ConversationNotFoundError
from app.chat.transfer.dependencies import (
    UPLOAD_BODY,
    AccountChatReader,
    AccountChatWriter,
    ChatReader,
    ExporterDep,
    ImportServiceDep,
    Upload,
)
from app.chat.transfer.errors import ImportNotFoundError, ImportTooLargeError, NoFileError, TooManyImportsError
from app.chat.transfer.models import Import
from app.chat.transfer.schemas import ImportRead
from app.chat.transfer.types import ExportFormat
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, Limit
from app.db.session import SessionDep
from app.idempotency.dependencies import OnceDep
from app.routing import api_router

router = api_router(tags=["transfer"])

_NDJSON, _JSON, _MARKDOWN = "application/x-ndjson", "application/json", "text/markdown; charset=utf-8"
_FILES = {
    ExportFormat.NATIVE: ("conversation.ndjson", _NDJSON),
    ExportFormat.CHATGPT: ("conversations.json", _JSON),
    ExportFormat.MARKDOWN: ("conversation.md", _MARKDOWN),
}


@router.get(
    "/conversations/{conversation_id}/export",
    response_class=StreamingResponse,
    summary="Export a conversation",
    responses=error_responses(ConversationNotFoundError),
)
async def export_conversation(
    conversation_id: UUID,
    owner: ChatReader,
    exporter: ExporterDep,
    session: SessionDep,
    format: ExportFormat = ExportFormat.NATIVE,  # noqa: A002 - its name in the query
) -> StreamingResponse:
    """The whole tree as lines of JSON (`native`, to be imported again) or in the shape of ChatGPT's export.

    Or the active branch as Markdown, for people.
    """
    conversation = await exporter.require(session, owner, conversation_id)
    name, media_type = _FILES[format]
    return _attachment(exporter.write(conversation, format), name, media_type)


@router.get("/exports/chat", response_class=StreamingResponse, summary="Export all your conversations")
async def export_chat(principal: AccountChatReader, exporter: ExporterDep) -> StreamingResponse:
    """All your conversations with their messages as lines of JSON, the oldest first, sent as they are read."""
    owner = Owner(user_id=principal.user_id)
    return _attachment(exporter.everything(owner), "conversations.ndjson", _NDJSON)


@router.post(
    "/imports",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=ImportRead,
    summary="Import conversations",
    openapi_extra=UPLOAD_BODY,
    responses=error_responses(NoFileError, ImportTooLargeError, TooManyImportsError),
)
async def create_import(
    principal: AccountChatWriter, file: Upload, imports: ImportServiceDep, once: OnceDep
) -> Import | Response:
    """Hand over an export of ChatGPT, Open WebUI or this service, as JSON or in a zip file; whose it is is found out.

    It is imported by a job. Importing a file again adds nothing, one that has grown what is new in it.
    """
    return await once.run(principal.user_id, file.sha256, partial(imports.create, principal.user_id, file))


@router.get("/imports", response_model=PageRead[ImportRead], summary="List your imports")
async def list_imports(
    principal: AccountChatReader, imports: ImportServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[Import]:
    """The newest first."""
    return await imports.list_(principal.user_id, limit=limit, cursor=cursor)


@router.get(
    "/imports/{import_id}",
    response_model=ImportRead,
    summary="Get an import",
    responses=error_responses(ImportNotFoundError),
)
async def get_import(import_id: UUID, principal: AccountChatReader, imports: ImportServiceDep) -> Import:
    """How far an import is, and what was wrong."""
    return await imports.get(principal.user_id, import_id)


def _attachment(pieces: object, name: str, media_type: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces, media_type=media_type, headers=headers)  # type: ignore[arg-type]
