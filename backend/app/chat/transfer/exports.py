"""Writing conversations down, piece by piece: neither a session nor a conversation is held while the reader reads."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import orjson

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.errors import ConversationNotFoundError
from app.chat.models import Conversation, Message
from app.chat.repository import ConversationRepository, MessageRepository, TagRepository
from app.chat.transfer.native import conversation_line, header_line, message_line
from app.chat.transfer.types import ExportFormat
from app.chat.types import MAX_MESSAGES_PER_CONVERSATION, MessageRole
from app.db.engine import Session

_CONVERSATIONS_AT_ONCE = 50
_MESSAGES_AT_ONCE = 50
_NODES_AT_ONCE = 5_000
_ROOT = "client-created-root"

Pieces = AsyncIterator[bytes]


class Exporter:
    """Exports what one owner has. Each step reads in a short session of its own."""

    def __init__(self, parts: ChatComponents) -> None:
        self._parts = parts
        self._clock = parts.clock

    async def require(self, session: Session, owner: Owner, conversation_id: UUID) -> Conversation:
        """The conversation, before an answer begins.

        Raises:
            ConversationNotFoundError: none of the owner's.
        """
        found = await ConversationRepository(session, self._clock).owned_by(owner).get(conversation_id)
        if found is None:
            raise ConversationNotFoundError
        return found

    def write(self, conversation: Conversation, format_: ExportFormat) -> Pieces:
        """One conversation in a format."""
        writers: dict[ExportFormat, Callable[[Conversation], Pieces]] = {
            ExportFormat.NATIVE: self._native,
            ExportFormat.CHATGPT: self._chatgpt,
            ExportFormat.MARKDOWN: self._markdown,
        }
        return writers[format_](conversation)

    async def everything(self, owner: Owner) -> Pieces:
        """All conversations in the native format, the oldest first."""
        yield _line(header_line(self._clock.now()))
        after: list[Any] | None = None
        while True:
            async with self._parts.database.read_session() as session:
                conversations = ConversationRepository(session, self._clock).owned_by(owner)
                rows, after = await conversations.page(sort="created_at", limit=_CONVERSATIONS_AT_ONCE, after=after)
            for row in rows:
                async for piece in self._lines(row):
                    yield piece
            if after is None:
                return

    async def _native(self, conversation: Conversation) -> Pieces:
        yield _line(header_line(self._clock.now()))
        async for piece in self._lines(conversation):
            yield piece

    async def _lines(self, conversation: Conversation) -> Pieces:
        async with self._parts.database.read_session() as session:
            tags = await TagRepository(session, self._clock).by_conversation([conversation.id])
        yield _line(conversation_line(conversation, tags.get(conversation.id, ())))
        async for message in self._messages(conversation.id):
            yield _line(message_line(message))

    async def _chatgpt(self, conversation: Conversation) -> Pieces:
        """The shape of a `conversations.json` of ChatGPT, with one conversation."""
        children = await self._children(conversation.id)
        head = {
            "title": conversation.title,
            "create_time": conversation.created_at.timestamp(),
            "update_time": conversation.last_message_at.timestamp(),
            "conversation_id": str(conversation.id),
            "id": str(conversation.id),
            "current_node": None if conversation.active_leaf_id is None else str(conversation.active_leaf_id),
            "default_model_slug": conversation.default_model,
            "is_archived": conversation.is_archived,
        }
        root = {"id": _ROOT, "message": None, "parent": None, "children": children[None]}
        yield b"[" + orjson.dumps(head)[:-1] + b',"mapping":{"' + _ROOT.encode() + b'":' + orjson.dumps(root)
        async for message in self._messages(conversation.id):
            node = _node(message, children[message.id])
            yield b"," + orjson.dumps(str(message.id)) + b":" + orjson.dumps(node)
        yield b"}}]\n"

    async def _markdown(self, conversation: Conversation) -> Pieces:
        """The active branch, for people."""
        yield f"# {conversation.title or 'Conversation'}\n".encode()
        if conversation.active_leaf_id is None:
            return
        async with self._parts.database.read_session() as session:
            nodes = await MessageRepository(session, self._clock).path_nodes(
                conversation.id, conversation.active_leaf_id, MAX_MESSAGES_PER_CONVERSATION
            )
        for start in range(0, len(nodes), _MESSAGES_AT_ONCE):
            ids = [node.id for node in nodes[start : start + _MESSAGES_AT_ONCE]]
            async with self._parts.database.read_session() as session:
                rows = await MessageRepository(session, self._clock).list_by_ids(conversation.id, ids)
            found = {row.id: row for row in rows}
            for message in (found[id_] for id_ in ids if id_ in found):
                speaker = message.role.value.capitalize() + (f" ({message.model})" if message.model else "")
                yield f"\n## {speaker}\n\n{message.content.rstrip()}\n".encode()

    async def _messages(self, conversation_id: UUID) -> AsyncIterator[Message]:
        seq = 0
        while True:
            async with self._parts.database.read_session() as session:
                rows = await MessageRepository(session, self._clock).following(conversation_id, seq, _MESSAGES_AT_ONCE)
            for row in rows:
                yield row
            if len(rows) < _MESSAGES_AT_ONCE:
                return
            seq = rows[-1].seq

    async def _children(self, conversation_id: UUID) -> dict[UUID | None, list[str]]:
        children: dict[UUID | None, list[str]] = defaultdict(list)
        seq = 0
        while True:
            async with self._parts.database.read_session() as session:
                messages = MessageRepository(session, self._clock)
                nodes = await messages.tree(conversation_id, after_seq=seq, limit=_NODES_AT_ONCE)
            for node in nodes:
                children[node.parent_id].append(str(node.id))
            if len(nodes) < _NODES_AT_ONCE:
                return children
            seq = nodes[-1].seq


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _node(message: Message, children: list[str]) -> dict[str, Any]:
    role = MessageRole.SYSTEM if message.role is MessageRole.DEVELOPER else message.role
    return {
        "id": str(message.id),
        "message": {
            "id": str(message.id),
            "author": {"role": role.value, "name": None, "metadata": {}},
            "create_time": message.created_at.timestamp(),
            "update_time": None,
            "content": {"content_type": "text", "parts": [message.content]},
            "status": "finished_successfully",
            "metadata": {} if message.model is None else {"model_slug": message.model},
        },
        "parent": _ROOT if message.parent_id is None else str(message.parent_id),
        "children": children,
    }
