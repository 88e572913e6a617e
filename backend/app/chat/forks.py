"""Copying a conversation, or a part of it, into a new one."""

from collections.abc import Mapping
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.components import ChatComponents
from app.chat.errors import ConversationNotFoundError, ForkTooLargeError, MessageNotFoundError
from app.chat.indexing import LateIndexing
from app.chat.models import Message
from app.chat.repository import ConversationRepository, MessageRepository, TagRepository
from app.chat.service import ConversationService, NewConversation
from app.chat.types import MAX_FORKED_MESSAGES, UNFINISHED, ConversationView, ForkMode, MessageStatus, TreeNode
from app.core.ids import new_id
from app.db.engine import Session

_COPIED_AT_ONCE = 200
_LOOKED_AT_ONCE = 5_000


class Forker:
    """Makes conversations out of others, within one transaction."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._session = session
        self._jobs = parts.jobs
        self._conversations = ConversationRepository(session, parts.clock)
        self._messages = MessageRepository(session, parts.clock)
        self._tags = TagRepository(session, parts.clock)
        self._service = ConversationService(session, parts)

    async def fork(
        self, owner: Owner, conversation_id: UUID, *, from_message: UUID, mode: ForkMode
    ) -> ConversationView:
        """Copy messages into a new conversation with the same title, model, prompt, settings, folder and tags.

        Its active leaf is the copy of `from_message`, or of the newest message that follows it in mode `tail`. What is
        unfinished in the original is incomplete in the copy.

        Raises:
            ConversationNotFoundError: none of the owner's.
            MessageNotFoundError: the message is none of it.
            ForkTooLargeError, TooManyConversationsError: more than may be copied, or had.
        """
        source = await self._conversations.owned_by(owner).get(conversation_id)
        if source is None:
            raise ConversationNotFoundError
        start = await self._messages.get_in(conversation_id, from_message)
        if start is None:
            raise MessageNotFoundError
        chosen = await self._chosen(conversation_id, start, mode)
        tags = await self._tags.by_conversation([source.id])
        fork = await self._service.create(
            owner,
            NewConversation(
                title=source.title,
                title_source=source.title_source,
                default_model=source.default_model,
                system_prompt=source.system_prompt,
                settings=source.settings,
                folder_id=source.folder_id,
                tags=tags.get(source.id, ()),
                is_temporary=source.is_temporary,
                workspace_path=source.workspace_path,
            ),
        )
        ids = {node.id: new_id() for node in chosen}
        numbers = {node.id: seq for seq, node in enumerate(chosen, start=1)}
        for start_at in range(0, len(chosen), _COPIED_AT_ONCE):
            batch = chosen[start_at : start_at + _COPIED_AT_ONCE]
            originals = await self._messages.list_by_ids(conversation_id, [node.id for node in batch])
            await self._messages.add_all(_copy(one, fork.id, numbers[one.id], ids) for one in originals)
        if not source.is_temporary:
            await LateIndexing.ask(self._session, self._jobs, fork.id)
        leaf_id = ids[chosen[-1].id if mode is ForkMode.TAIL else start.id]
        await self._conversations.owned_by(owner).fill(fork.id, count=len(chosen), leaf_id=leaf_id)
        return await self._service.get(owner, fork.id)

    async def _chosen(self, conversation_id: UUID, start: Message, mode: ForkMode) -> list[TreeNode]:
        """The messages to copy, each behind its parent.

        Raises:
            ForkTooLargeError: there are too many.
        """
        most = MAX_FORKED_MESSAGES + 1
        match mode:
            case ForkMode.PATH:
                chosen = await self._messages.path_nodes(conversation_id, start.id, most)
            case ForkMode.TAIL:
                chosen = await self._below(conversation_id, start)
            case _:
                chosen = await self._messages.tree(conversation_id, after_seq=0, limit=most)
        if len(chosen) > MAX_FORKED_MESSAGES:
            raise ForkTooLargeError(f"At most {MAX_FORKED_MESSAGES} messages are copied at once.")
        return chosen

    async def _below(self, conversation_id: UUID, start: Message) -> list[TreeNode]:
        """A message and what follows it. Whatever follows a message was stored after it."""
        chosen: dict[UUID, TreeNode] = {}
        after = start.seq - 1
        while len(chosen) <= MAX_FORKED_MESSAGES:
            nodes = await self._messages.tree(conversation_id, after_seq=after, limit=_LOOKED_AT_ONCE)
            for node in nodes:
                if node.id == start.id or node.parent_id in chosen:
                    chosen[node.id] = node
            if len(nodes) < _LOOKED_AT_ONCE:
                break
            after = nodes[-1].seq
        return list(chosen.values())


def _copy(original: Message, fork_id: UUID, seq: int, ids: Mapping[UUID, UUID]) -> Message:
    is_unfinished = original.status in UNFINISHED
    return Message(
        id=ids[original.id],
        conversation_id=fork_id,
        parent_id=ids.get(original.parent_id) if original.parent_id else None,
        seq=seq,
        role=original.role,
        content=original.content,
        parts=original.parts,
        model=original.model,
        status=MessageStatus.INCOMPLETE if is_unfinished else original.status,
        edited_from_id=ids.get(original.edited_from_id) if original.edited_from_id else None,
        workspace_path=original.workspace_path,
        extra_data=original.extra_data,
        created_at=original.created_at,
    )
