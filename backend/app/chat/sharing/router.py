"""`/conversations/{id}/shares` and `/shares`: links to conversations, and what strangers see through them."""

from datetime import timedelta
from functools import partial
from uuid import UUID

from fastapi import Depends, status

from app.auth.dependencies import ClientDep, OptionalPrincipal, forbid_storing
from app.auth.errors import HashQueueFullError
from app.chat.dependencies import AccountChatReader, AccountChatWriter
from app.chat.errors import ConversationNotFoundError, MessageNotFoundError
from app.chat.sharing.dependencies import ShareServiceDep, ShareToken
from app.chat.sharing.errors import (
    NothingToShareError,
    ShareGoneError,
    ShareNotFoundError,
    SharePasswordRequiredError,
    SharePasswordWrongError,
    ShareThrottledError,
    TooManySharesError,
)
from app.chat.sharing.schemas import ShareCreate, ShareCreatedRead, SharedPageRead, ShareOpen, ShareRead
from app.chat.sharing.types import IssuedShare, SharedPage, ShareView
from app.core.errors import InvalidCursorError
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, Limit
from app.idempotency.dependencies import OnceDep
from app.routing import api_router

router = api_router(tags=["shares"])


@router.post(
    "/conversations/{conversation_id}/shares",
    status_code=status.HTTP_201_CREATED,
    response_model=ShareCreatedRead,
    summary="Share a conversation",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(
        ConversationNotFoundError,
        MessageNotFoundError,
        ShareNotFoundError,
        NothingToShareError,
        TooManySharesError,
        HashQueueFullError,
    ),
)
async def create_share(
    conversation_id: UUID,
    body: ShareCreate,
    principal: AccountChatWriter,
    shares: ShareServiceDep,
    client: ClientDep,
    once: OnceDep,
) -> IssuedShare:
    """Make a link that anyone can open who has it. Its token is shown this once.

    A repetition with the same `Idempotency-Key` gets the link without its token: if that was lost, revoke the link.
    Strangers see what people and the model said on one branch; never the system prompt, tools, notes or other branches.
    """
    return await shares.create(
        principal,
        conversation_id,
        mode=body.mode,
        leaf_message_id=body.leaf_message_id,
        lifetime=None if body.expires_in is None else timedelta(seconds=body.expires_in),
        password=body.password,
        client=client,
        name=partial(once.name, principal.user_id, body),
    )


@router.get(
    "/conversations/{conversation_id}/shares",
    response_model=PageRead[ShareRead],
    summary="List the links to a conversation",
    responses=error_responses(ConversationNotFoundError),
)
async def list_conversation_shares(
    conversation_id: UUID,
    principal: AccountChatReader,
    shares: ShareServiceDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ShareView]:
    """The newest first, without their tokens; ended ones are listed for a month."""
    return await shares.list_(principal.user_id, conversation_id=conversation_id, limit=limit, cursor=cursor)


@router.delete(
    "/conversations/{conversation_id}/shares/{share_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Revoke a link",
    responses=error_responses(ShareNotFoundError),
)
async def revoke_share(
    conversation_id: UUID, share_id: UUID, principal: AccountChatWriter, shares: ShareServiceDep, client: ClientDep
) -> None:
    """End a link, for good and at once."""
    await shares.revoke(principal, conversation_id, share_id, client)


@router.get("/shares", response_model=PageRead[ShareRead], summary="List your links")
async def list_shares(
    principal: AccountChatReader, shares: ShareServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ShareView]:
    """The links to all your conversations, the newest first; ended ones are listed for a month."""
    return await shares.list_(principal.user_id, limit=limit, cursor=cursor)


@router.get(
    "/shares/{token}",
    response_model=SharedPageRead,
    summary="Open a link",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(ShareNotFoundError, ShareGoneError, SharePasswordRequiredError, InvalidCursorError),
)
async def get_shared(
    token: ShareToken,
    viewer: OptionalPrincipal,
    shares: ShareServiceDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> SharedPage:
    """What a link shows, for everyone who has it. A link that has ended is as unknown as any other, but to its owner.

    A cursor of a live link is good as long as the last message is the same.
    """
    return await shares.view(token, viewer, limit=limit, cursor=cursor)


@router.post(
    "/shares/{token}",
    response_model=SharedPageRead,
    summary="Open a link with its password",
    dependencies=[Depends(forbid_storing)],
    responses=error_responses(
        ShareNotFoundError, SharePasswordWrongError, ShareThrottledError, HashQueueFullError, InvalidCursorError
    ),
)
async def open_shared(
    token: ShareToken,
    body: ShareOpen,
    shares: ShareServiceDep,
    client: ClientDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> SharedPage:
    """What a link with a password shows, for everyone who has both. Too many wrong passwords make everyone wait."""
    return await shares.view_with_password(token, body.password, client, limit=limit, cursor=cursor)
