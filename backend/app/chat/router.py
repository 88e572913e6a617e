"""`/conversations`: conversations, and the tree of the messages of each."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response, status

from app.auth.dependencies import ClientDep, InteractiveProfileWriter
from app.auth.guests.dependencies import GuestServiceDep, GuestTokenHeader
from app.auth.guests.errors import GuestClaimedError, GuestNotFoundError
from app.auth.guests.schemas import GuestClaimedRead
from app.chat.dependencies import (
    ChatReader,
    ChatWriter,
    ConversationFilterDep,
    ConversationServiceDep,
    ForkerDep,
    MessageTreeDep,
)
from app.chat.errors import (
    ConversationNotFoundError,
    FolderNotFoundError,
    ForkTooLargeError,
    MessageNotFoundError,
    SessionTakenError,
    TooManyConversationsError,
)
from app.chat.models import Message
from app.chat.schemas import (
    ConversationCreate,
    ConversationDetailRead,
    ConversationRead,
    ConversationUpdate,
    ForkCreate,
    MessageRead,
    TreeNodeRead,
)
from app.chat.service import NewConversation
from app.chat.types import ConversationSort, ConversationView, TreeNode
from app.core.pagination import Page, PageRead
from app.core.problems import error_responses
from app.db.http import DEFAULT_LIMIT, Cursor, IfMatch, Limit, etag
from app.idempotency.dependencies import OnceDep, version_of
from app.routing import api_router

router = api_router("/conversations", tags=["conversations"])
messages_router = api_router("/messages", tags=["conversations"])

DEFAULT_TREE_LIMIT = 200
TreeLimit = Annotated[int, Query(ge=1, le=1000, description="How many messages at most.")]


@router.get("", response_model=PageRead[ConversationRead], summary="List your conversations")
async def list_conversations(
    owner: ChatReader,
    conversations: ConversationServiceDep,
    filter_: ConversationFilterDep,
    sort: ConversationSort = ConversationSort.LAST_MESSAGE_AT_DESC,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ConversationView]:
    """Your conversations with their tags, without messages; by default those you talked in last come first."""
    return await conversations.list_(owner, filter_, sort=sort, limit=limit, cursor=cursor)


@router.post(
    "",
    response_model=ConversationDetailRead,
    status_code=status.HTTP_201_CREATED,
    summary="Begin a conversation",
    responses=error_responses(FolderNotFoundError, SessionTakenError, TooManyConversationsError),
)
async def create_conversation(
    body: ConversationCreate, owner: ChatWriter, conversations: ConversationServiceDep, once: OnceDep
) -> ConversationView | Response:
    """Make an empty conversation. Without a title it gets one from the first thing you say."""
    create = partial(conversations.create, owner, NewConversation(**body.model_dump()))
    return await once.run(owner.id, body, create, headers=version_of)


@router.post(
    "/claim",
    response_model=GuestClaimedRead,
    summary="Take over your conversations as a guest",
    responses=error_responses(GuestNotFoundError, GuestClaimedError),
)
async def claim_conversations(
    principal: InteractiveProfileWriter, token: GuestTokenHeader, guests: GuestServiceDep, client: ClientDep
) -> GuestClaimedRead:
    """The same as `POST /guests/claim`: whatever the guest of this `Guest-Token` made becomes your account's."""
    return GuestClaimedRead(guest_id=await guests.claim(principal, token, client))


@router.get(
    "/{conversation_id}",
    response_model=ConversationDetailRead,
    summary="Get a conversation",
    responses=error_responses(ConversationNotFoundError),
)
async def get_conversation(
    conversation_id: UUID, owner: ChatReader, conversations: ConversationServiceDep, response: Response
) -> ConversationView:
    """One conversation without its messages, with its `ETag`, which every new message changes too."""
    conversation = await conversations.get(owner, conversation_id)
    response.headers["ETag"] = etag(conversation.row_version)
    return conversation


@router.patch(
    "/{conversation_id}",
    response_model=ConversationDetailRead,
    summary="Change a conversation",
    responses=error_responses(ConversationNotFoundError, FolderNotFoundError, MessageNotFoundError),
)
async def update_conversation(
    conversation_id: UUID,
    body: ConversationUpdate,
    owner: ChatWriter,
    conversations: ConversationServiceDep,
    response: Response,
    expected_version: IfMatch,
) -> ConversationView:
    """Change the members that are given. A title of yours is never replaced; a null one lets the next words make it."""
    changes = body.model_dump(exclude_unset=True)
    conversation = await conversations.update(owner, conversation_id, changes, expected_version=expected_version)
    response.headers["ETag"] = etag(conversation.row_version)
    return conversation


@router.delete(
    "/{conversation_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a conversation",
    responses=error_responses(ConversationNotFoundError),
)
async def delete_conversation(
    conversation_id: UUID, owner: ChatWriter, conversations: ConversationServiceDep, expected_version: IfMatch
) -> None:
    """Delete a conversation with all its messages, replies and feedback."""
    await conversations.delete(owner, conversation_id, expected_version=expected_version)


@router.post(
    "/{conversation_id}/fork",
    response_model=ConversationDetailRead,
    status_code=status.HTTP_201_CREATED,
    summary="Fork a conversation",
    responses=error_responses(
        ConversationNotFoundError, MessageNotFoundError, ForkTooLargeError, TooManyConversationsError
    ),
)
async def fork_conversation(
    conversation_id: UUID, body: ForkCreate, owner: ChatWriter, forker: ForkerDep, once: OnceDep
) -> ConversationView | Response:
    """Copy the way to a message, what follows it, or the whole tree into a new conversation."""
    fork = partial(forker.fork, owner, conversation_id, from_message=body.from_message, mode=body.mode)
    return await once.run(owner.id, body, fork, headers=version_of)


@router.get(
    "/{conversation_id}/messages",
    response_model=PageRead[MessageRead],
    summary="List the messages on one way",
    responses=error_responses(ConversationNotFoundError, MessageNotFoundError),
)
async def list_messages(
    conversation_id: UUID,
    owner: ChatReader,
    messages: MessageTreeDep,
    leaf: Annotated[UUID | None, Query(description="Where the way ends; by default at the active leaf.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[Message]:
    """The last messages on the way from the first one to a leaf, in reading order; the next page holds those before."""
    return await messages.path(owner, conversation_id, leaf_id=leaf, limit=limit, cursor=cursor)


@router.get(
    "/{conversation_id}/tree",
    response_model=PageRead[TreeNodeRead],
    summary="List the tree of messages",
    responses=error_responses(ConversationNotFoundError),
)
async def list_tree(
    conversation_id: UUID,
    owner: ChatReader,
    messages: MessageTreeDep,
    limit: TreeLimit = DEFAULT_TREE_LIMIT,
    cursor: Cursor = None,
) -> Page[TreeNode]:
    """Every message's place without its text, in the order in which they were stored: parents come first."""
    return await messages.tree(owner, conversation_id, limit=limit, cursor=cursor)


@messages_router.get(
    "/{message_id}",
    response_model=MessageRead,
    summary="Get a message",
    responses=error_responses(MessageNotFoundError),
)
async def get_message(message_id: UUID, owner: ChatReader, messages: MessageTreeDep) -> Message:
    """One message of one of your conversations."""
    return await messages.get(owner, message_id)


@messages_router.get(
    "/{message_id}/siblings",
    response_model=PageRead[MessageRead],
    summary="List a message's siblings",
    responses=error_responses(MessageNotFoundError),
)
async def list_siblings(
    message_id: UUID,
    owner: ChatReader,
    messages: MessageTreeDep,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[Message]:
    """The messages that stand in one place, such as edits and regenerated replies, this one among them."""
    return await messages.siblings(owner, message_id, limit=limit, cursor=cursor)
