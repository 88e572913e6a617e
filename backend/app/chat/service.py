"""Conversations: making, finding, arranging and deleting them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.errors import (
    ConversationNotFoundError,
    FolderNotFoundError,
    MessageNotFoundError,
    TooManyConversationsError,
)
from app.chat.folders.repository import FolderRepository
from app.chat.indexing import MessageIndex
from app.chat.models import Conversation
from app.chat.repository import ConversationRepository, MessageRepository, TagRepository, has_tag
from app.chat.types import MAX_MODEL_LENGTH, ConversationFilter, ConversationSort, ConversationView, TitleSource
from app.core.ids import new_id
from app.core.pagination import Page
from app.db.engine import Session
from app.db.query import Column
from app.preferences.catalogue import CHAT_DEFAULT_MODEL
from app.preferences.service import PreferenceService

_MAX_DELETED_AT_ONCE = 500
_PLAIN: Mapping[str, Column] = {
    "default_model": Conversation.default_model,
    "system_prompt": Conversation.system_prompt,
    "settings": Conversation.settings,
    "is_pinned": Conversation.is_pinned,
    "workspace_path": Conversation.workspace_path,
    "folder_id": Conversation.folder_id,
    "active_leaf_id": Conversation.active_leaf_id,
}


@dataclass(frozen=True, slots=True)
class NewConversation:
    """What a conversation begins with. `expires_in` is in seconds."""

    title: str | None = None
    title_source: TitleSource | None = None
    default_model: str | None = None
    system_prompt: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder_id: UUID | None = None
    tags: Sequence[str] = ()
    is_temporary: bool = False
    expires_in: int | None = None
    workspace_path: str | None = None
    client_session_id: str | None = None


class ConversationService:
    """The conversations of whoever calls, within one transaction."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._clock = parts.clock
        self._settings = parts.settings
        self._cursors = parts.cursors
        self._default_model = parts.default_model
        self._conversations = ConversationRepository(session, parts.clock)
        self._messages = MessageRepository(session, parts.clock)
        self._folders = FolderRepository(session, parts.clock)
        self._tags = TagRepository(session, parts.clock)
        self._index = MessageIndex(session, parts.clock)
        self._preferences = PreferenceService(session, parts.auth)

    async def create(self, owner: Owner, new: NewConversation) -> ConversationView:
        """Make a conversation.

        Raises:
            FolderNotFoundError: the folder is none of the owner's.
            TooManyConversationsError: there are as many as there may be.
            SessionTakenError, as an IntegrityError: another conversation has the client session.
        """
        await self._conversations.hold_owner(owner)
        await self._require_room(owner)
        await self._require_folder(owner, new.folder_id)
        if new.client_session_id is not None:
            await self._conversations.owned_by(owner).free_session(new.client_session_id)
        model = new.default_model or await self._model_of(owner)
        row = await self._conversations.add(self._row(owner, new, model))
        await self._tags.replace(row.id, new.tags)
        return _view(row, sorted(set(new.tags)))

    async def list_(
        self, owner: Owner, filter_: ConversationFilter, *, sort: ConversationSort, limit: int, cursor: str | None
    ) -> Page[ConversationView]:
        """One page of conversations, with the tags of all of them by one statement.

        Raises:
            InvalidCursorError: the cursor belongs to another order.
        """
        scope = f"conversations {sort.value}"
        after = None if cursor is None else self._cursors.decode(scope, cursor)
        rows, position = await self._conversations.owned_by(owner).page(
            *_conditions(filter_), sort=sort.value, limit=limit, after=after
        )
        tags = await self._tags.by_conversation([row.id for row in rows])
        next_cursor = None if position is None else self._cursors.encode(scope, position)
        return Page(items=[_view(row, tags.get(row.id, ())) for row in rows], next_cursor=next_cursor)

    async def get(self, owner: Owner, conversation_id: UUID) -> ConversationView:
        """One conversation.

        Raises:
            ConversationNotFoundError: none of the owner's.
        """
        row = await self._require(owner, conversation_id)
        tags = await self._tags.by_conversation([row.id])
        return _view(row, tags.get(row.id, ()))

    async def update(
        self, owner: Owner, conversation_id: UUID, changes: Mapping[str, Any], *, expected_version: int | None
    ) -> ConversationView:
        """Change the named members.

        Raises:
            ConversationNotFoundError, PreconditionFailedError: none of the owner's, or no longer at that version.
            FolderNotFoundError: the folder is none of the owner's.
            MessageNotFoundError: the active leaf is to be a message of another conversation.
        """
        mine = self._conversations.owned_by(owner)
        if "folder_id" in changes:  # who deletes a folder holds the account, and then conversations
            await self._conversations.hold_owner(owner)
        conversation = await self._require(owner, conversation_id)
        await self._require_folder(owner, changes.get("folder_id"))
        leaf_id = changes.get("active_leaf_id")
        if leaf_id is not None and await self._messages.get_in(conversation_id, leaf_id) is None:
            raise MessageNotFoundError
        values = self._values(conversation, changes)
        is_changed = await mine.update(conversation_id, values, expected_version=expected_version)
        if not is_changed:  # pragma: no cover # deleted at this moment
            raise ConversationNotFoundError
        if "tags" in changes:
            await self._tags.replace(conversation_id, changes["tags"])
        return await self.get(owner, conversation_id)

    async def delete(self, owner: Owner, conversation_id: UUID, *, expected_version: int | None) -> None:
        """Delete a conversation with all its messages. It is gone at once, though the rows of some go by and by.

        Those are long ones, and those in which a reply is being made, which is stopped.

        Raises:
            ConversationNotFoundError, PreconditionFailedError: see `update`.
        """
        mine = self._conversations.owned_by(owner)
        row = await mine.hold(conversation_id)  # nobody asks for a reply in it any more
        if row is None:
            raise ConversationNotFoundError
        await mine.expire(conversation_id, expected_version=expected_version)
        is_short = row.message_count <= _MAX_DELETED_AT_ONCE
        if is_short and not await self._conversations.is_being_answered(conversation_id):
            await self._index.forget(conversation_id)
            await self._conversations.delete(conversation_id)

    async def _require(self, owner: Owner, conversation_id: UUID) -> Conversation:
        row = await self._conversations.owned_by(owner).get(conversation_id)
        if row is None:
            raise ConversationNotFoundError
        return row

    async def _require_room(self, owner: Owner) -> None:
        limit = self._settings.chat_max_conversations if owner.user_id else self._settings.chat_max_guest_conversations
        if await self._conversations.owned_by(owner).count() >= limit:
            raise TooManyConversationsError(f"Delete one first; {limit} are allowed.")

    async def _require_folder(self, owner: Owner, folder_id: UUID | None) -> None:
        if folder_id is None:
            return
        if owner.user_id is None or await self._folders.owned_by(owner.user_id).get(folder_id) is None:
            raise FolderNotFoundError

    async def _model_of(self, owner: Owner) -> str:
        """The model of conversations that name none: what the account prefers, or else the service."""
        preferred = None
        if owner.user_id is not None:
            preferred = await self._preferences.value_of(owner.user_id, CHAT_DEFAULT_MODEL)
        is_usable = isinstance(preferred, str) and len(preferred) <= MAX_MODEL_LENGTH
        return str(preferred) if is_usable else self._default_model

    def _row(self, owner: Owner, new: NewConversation, model: str) -> Conversation:
        now = self._clock.now()
        source = TitleSource.NONE if new.title is None else new.title_source or TitleSource.USER
        return Conversation(
            id=new_id(),
            user_id=owner.user_id,
            guest_id=owner.guest_id,
            title=new.title,
            title_source=source,
            default_model=model,
            system_prompt=new.system_prompt,
            settings=dict(new.settings),
            folder_id=new.folder_id,
            workspace_path=new.workspace_path,
            client_session_id=new.client_session_id,
            is_temporary=new.is_temporary,
            expires_at=self._end(new.expires_in, is_temporary=new.is_temporary),
            last_message_at=now,
            created_at=now,
        )

    def _values(self, before: Conversation, changes: Mapping[str, Any]) -> dict[Column, Any]:
        """The columns behind the members of a change, but for the tags, which have a table of their own."""
        values: dict[Column, Any] = {_PLAIN[name]: value for name, value in changes.items() if name in _PLAIN}
        if "title" in changes:
            title = changes["title"]
            values |= {
                Conversation.title: title,
                Conversation.title_source: TitleSource.NONE if title is None else TitleSource.USER,
            }
        if "is_archived" in changes:
            is_archived = changes["is_archived"]
            values |= {
                Conversation.is_archived: is_archived,
                Conversation.archived_at: self._conversations.archived_since() if is_archived else None,
            }
        if "expires_in" in changes:
            values[Conversation.expires_at] = self._end(changes["expires_in"], is_temporary=before.is_temporary)
        return values

    def _end(self, expires_in: int | None, *, is_temporary: bool) -> datetime | None:
        """When a conversation expires that is to last some seconds; None for never."""
        if expires_in is not None:
            return self._clock.now() + timedelta(seconds=expires_in)
        return self._clock.now() + timedelta(hours=self._settings.chat_temporary_hours) if is_temporary else None


def _conditions(filter_: ConversationFilter) -> list[ColumnElement[bool]]:
    """The SQL conditions of what a filter sets."""
    columns: Mapping[Column, Any] = {
        Conversation.folder_id: filter_.folder_id,
        Conversation.is_archived: filter_.is_archived,
        Conversation.is_pinned: filter_.is_pinned,
        Conversation.kind: filter_.kind,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in columns.items() if value is not None]
    return conditions if filter_.tag is None else [*conditions, has_tag(filter_.tag)]


def _view(row: Conversation, tags: Sequence[str]) -> ConversationView:
    values = {item.name: getattr(row, item.name) for item in fields(ConversationView) if item.name != "tags"}
    return ConversationView(**values, tags=tags)
