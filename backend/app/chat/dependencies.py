"""What the endpoints of conversations take in their signatures."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from starlette.requests import Request

from app.auth.bearer import require
from app.auth.guests.dependencies import require_owner
from app.auth.guests.types import Owner
from app.auth.types import Principal
from app.chat.forks import Forker
from app.chat.permissions import CHAT_READ, CHAT_WRITE
from app.chat.schemas import TagName
from app.chat.service import ConversationService
from app.chat.tree import MessageTree
from app.chat.types import ConversationFilter, ConversationKind
from app.db.session import SessionDep

ChatReader = Annotated[Owner, require_owner(CHAT_READ)]
ChatWriter = Annotated[Owner, require_owner(CHAT_WRITE)]
AccountChatReader = Annotated[Principal, require(CHAT_READ)]
AccountChatWriter = Annotated[Principal, require(CHAT_WRITE)]


async def get_conversation_service(request: Request, session: SessionDep) -> ConversationService:
    """The service of this request."""
    return ConversationService(session, request.app.state.merit.chat)


async def get_message_tree(request: Request, session: SessionDep) -> MessageTree:
    """The service of this request."""
    return MessageTree(session, request.app.state.merit.chat)


async def get_forker(request: Request, session: SessionDep) -> Forker:
    """The service of this request."""
    return Forker(session, request.app.state.merit.chat)


async def get_conversation_filter(
    folder_id: UUID | None = None,
    tag: Annotated[TagName | None, Query()] = None,
    is_archived: Annotated[bool | None, Query(description="Only archived ones, or only others.")] = None,
    is_pinned: Annotated[bool | None, Query(description="Only pinned ones, or only others.")] = None,
    kind: ConversationKind | None = None,
) -> ConversationFilter:
    """The filters of a list."""
    return ConversationFilter(folder_id, tag, is_archived, is_pinned, kind)


ConversationServiceDep = Annotated[ConversationService, Depends(get_conversation_service)]
MessageTreeDep = Annotated[MessageTree, Depends(get_message_tree)]
ForkerDep = Annotated[Forker, Depends(get_forker)]
ConversationFilterDep = Annotated[ConversationFilter, Depends(get_conversation_filter)]
