"""Taking a conversation of a file in, so that doing it again changes nothing.

A conversation is known again by its source and its id there, a message by its id there: its own id is made of both, so
that it is the same at every attempt. A file that has grown brings what is new in it, and nothing twice.
"""

import hashlib
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.indexing import LateIndexing
from app.chat.models import MAX_SOURCE_ID_LENGTH, Conversation
from app.chat.repository import TagRepository
from app.chat.transfer.repository import ImportedConversationRepository, ImportedMessageRepository
from app.chat.transfer.types import Fate, ItemError, ParsedMessage, PreparedConversation, Progress
from app.chat.types import MAX_MESSAGES_PER_CONVERSATION, TitleSource
from app.core.ids import new_id
from app.db.engine import Session
from app.db.query import Column

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ConversationImporter:
    """Takes one conversation in, a batch of its messages a transaction.

    It is whole when it has its `content_hash`, which comes with the last batch. Until then its owner sees what there is
    of it, always a tree; after a crash the next attempt adds what is missing.
    """

    def __init__(self, parts: ChatComponents, owner: Owner, prepared: PreparedConversation) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._owner = owner
        self._prepared = prepared
        self._batches = deque(prepared.batches)
        self._conversation_id: UUID | None = None
        self._added = 0

    async def take_in(self, session: Session) -> Progress:
        """Add what is new of the next batch, within the caller's transaction. To be called until the fate is known.

        Raises:
            ItemError: there is more than there may be, or the conversation was deleted since the batch before.
        """
        conversation = await self._hold(session)
        if conversation is None or conversation.content_hash == self._prepared.content_hash:
            return Progress(fate=Fate.SKIPPED)
        self._conversation_id = conversation.id
        batch = self._batches.popleft()
        added = await self._add(session, conversation, batch)
        self._added += added
        if self._batches:
            return Progress(added)
        await LateIndexing.ask(session, self._parts.jobs, conversation.id)
        grown = Fate.UPDATED if self._added else Fate.SKIPPED
        return Progress(added, Fate.CREATED if conversation.content_hash is None else grown)

    async def _hold(self, session: Session) -> Conversation | None:
        """The conversation, which nobody else changes before the transaction ends. None where it was exported here.

        The account is held when it begins, so that two files with the same one make it once.
        """
        conversations = ImportedConversationRepository(session, self._clock)
        mine = conversations.owned_by(self._owner)
        if self._conversation_id is not None:
            held = await mine.hold(self._conversation_id)
            if held is None:
                raise ItemError("It was deleted while it was imported.")
            return held
        parsed = self._prepared.parsed
        await conversations.hold_owner(self._owner)
        own_id = _uuid(parsed.source_id)
        if own_id is not None and await mine.get(own_id) is not None:
            return None
        source_id = _short(parsed.source_id)
        known = await conversations.hold_source(self._owner, parsed.source, source_id)
        if known is not None and known.expires_at is not None and known.expires_at <= self._clock.now():
            await conversations.grow(known.id, 0, {Conversation.source_id: None})
            known = None
        return known or await self._create(session, source_id)

    async def _create(self, session: Session, source_id: str) -> Conversation:
        parsed = self._prepared.parsed
        conversations = ImportedConversationRepository(session, self._clock)
        if await conversations.owned_by(self._owner).count() >= self._parts.settings.chat_max_conversations:
            raise ItemError("You have as many conversations as you may have.")
        now = self._clock.now()
        created_at = min(parsed.created_at or now, now)
        last = max((message.created_at for message in parsed.messages if message.created_at), default=created_at)
        row = Conversation(
            id=new_id(),
            user_id=self._owner.user_id,
            title=parsed.title,
            title_source=TitleSource.NONE if parsed.title is None else TitleSource.USER,
            default_model=parsed.default_model or self._parts.default_model,
            system_prompt=parsed.system_prompt,
            settings=dict(parsed.settings),
            workspace_path=parsed.workspace_path,
            is_pinned=parsed.is_pinned,
            is_archived=parsed.is_archived,
            archived_at=now if parsed.is_archived else None,
            message_count=0,
            last_message_at=min(max(last, created_at), now),
            source=parsed.source.value,
            source_id=source_id,
            created_at=created_at,
        )
        await conversations.add(row)
        await TagRepository(session, self._clock).replace(row.id, parsed.tags)
        return row

    async def _add(self, session: Session, conversation: Conversation, batch: Sequence[ParsedMessage]) -> int:
        """Add the messages of a batch that are not there, and with the last one what makes the conversation whole."""
        messages = ImportedMessageRepository(session, self._clock)
        ids = {message.id: message_id(conversation, message) for message in batch}
        known = await messages.known_ids(ids.values())
        new = [message for message in batch if ids[message.id] not in known]
        if conversation.message_count + len(new) > MAX_MESSAGES_PER_CONVERSATION:
            raise ItemError(f"It has more than {MAX_MESSAGES_PER_CONVERSATION} messages.")
        await messages.insert_many(
            [self._row(conversation, one, seq) for seq, one in enumerate(new, start=conversation.message_count + 1)]
        )
        values: dict[Column, Any] = {}
        if conversation.active_leaf_id is None:
            values[Conversation.active_leaf_id] = ids[batch[-1].id]
        if not self._batches:
            values[Conversation.content_hash] = self._prepared.content_hash
            if self._added or new:
                leaf_id = self._id_of(conversation, self._prepared.parsed.leaf_id)
                values[Conversation.active_leaf_id] = leaf_id or ids[batch[-1].id]
        if new or values:
            await ImportedConversationRepository(session, self._clock).grow(conversation.id, len(new), values)
        return len(new)

    def _row(self, conversation: Conversation, message: ParsedMessage, seq: int) -> dict[str, Any]:
        now = self._clock.now()
        return {
            "id": message_id(conversation, message),
            "conversation_id": conversation.id,
            "parent_id": self._id_of(conversation, message.parent_id),
            "seq": seq,
            "role": message.role,
            "content": message.content,
            "parts": None if message.parts is None else [dict(part) for part in message.parts],
            "model": message.model,
            "status": message.status,
            "edited_from_id": self._id_of(conversation, message.edited_from_id),
            "workspace_path": message.workspace_path,
            "extra_data": dict(message.extra_data),
            "created_at": min(message.created_at or conversation.created_at, now),
            "updated_at": now,
        }

    def _id_of(self, conversation: Conversation, file_id: str | None) -> UUID | None:
        """The id of a message by its id in the file; None where it is none of them."""
        message = None if file_id is None else self._prepared.messages.get(file_id)
        return None if message is None else message_id(conversation, message)


def message_id(conversation: Conversation, message: ParsedMessage) -> UUID:
    """A UUIDv7 (RFC 9562 section 5.7) of when the message was made, whose random part is a digest of its origin."""
    moment = max(message.created_at or conversation.created_at, _EPOCH)
    milliseconds = int(moment.timestamp() * 1000) & (2**48 - 1)
    digest = int.from_bytes(hashlib.sha256(conversation.id.bytes + message.id.encode()).digest()[:10])
    random_a, random_b = (digest >> 62) & 0xFFF, digest & (2**62 - 1)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (random_a << 64) | (2 << 62) | random_b)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _short(source_id: str) -> str:
    """An id that fits: long ones by their digest."""
    if len(source_id) <= MAX_SOURCE_ID_LENGTH:
        return source_id
    return f"sha256:{hashlib.sha256(source_id.encode()).hexdigest()}"
