"""Asking for replies, and stopping them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.errors import ConversationNotFoundError, MessageNotFoundError, NotEditableError
from app.chat.messages import MessageWriter
from app.chat.models import Conversation, Message
from app.chat.repository import ConversationRepository
from app.chat.responses.components import ReplyComponents
from app.chat.responses.ending import Reply
from app.chat.responses.engine import Order
from app.chat.responses.errors import (
    NotAReplyError,
    NothingToAnswerError,
    NotIncompleteError,
    ReplyInProgressError,
)
from app.chat.responses.models import Response
from app.chat.responses.prompts import build_request
from app.chat.responses.repository import (
    EventRepository,
    ReplyMessageRepository,
    ResponseRepository,
)
from app.chat.responses.types import Event, EventKind, PromptMessage, Words
from app.chat.responses.views import ReplyReader, ReplyView, created_event
from app.chat.types import UNFINISHED, MessageRole, MessageStatus
from app.chat.usage.service import UsageService
from app.db.engine import Session
from app.llm.schemas import ModelParams
from app.llm.text import estimate_prompt, most_prompt_tokens
from app.llm.types import ModelRequest
from app.preferences.catalogue import CHAT_INSTRUCTIONS
from app.preferences.service import PreferenceService

_BROKEN_OFF = frozenset({MessageStatus.INCOMPLETE, MessageStatus.CANCELLED, MessageStatus.FAILED})


@dataclass(frozen=True, slots=True)
class Wish:
    """How a reply is wanted: under which id, from which model, with which parameters.

    `is_instructed` is whether the model is also told what the person wants every model to know.
    """

    response_id: UUID
    model: str | None = None
    params: ModelParams = field(default_factory=ModelParams)
    is_instructed: bool = True


class ReplyService:
    """The replies of one owner, within one transaction; a model is called once that is committed.

    Each method that asks for a reply holds the account, and the conversation: of two at once the second one sees the
    first one's.
    """

    def __init__(self, session: Session, replies: ReplyComponents, owner: Owner) -> None:
        parts = replies.parts
        self._session = session
        self._owner = owner
        self._clock = parts.clock
        self._engine = replies.engine
        self._models = replies.models
        self._conversations = ConversationRepository(session, parts.clock).owned_by(owner)
        self._messages = ReplyMessageRepository(session, parts.clock)
        self._responses = ResponseRepository(session, parts.clock)
        self._events = EventRepository(session)
        self._writer = MessageWriter(session, parts.clock)
        self._reader = ReplyReader(session, parts)
        self._usage = UsageService(session, parts)
        self._preferences = PreferenceService(session, parts.auth)

    async def send(self, conversation_id: UUID, words: Words, wish: Wish, *, parent_id: UUID | None = None) -> None:
        """Add a person's message behind `parent_id`, by default the active leaf, and ask for the reply.

        Raises:
            ConversationNotFoundError, MessageNotFoundError: none of the owner's.
            ReplyInProgressError: the message before is a reply that is still being written.
            MessageTooLargeError, ConversationFullError: more than there may be.
            ModelNotFoundError: nobody offers the model.
            QuotaExceededError, TooManyRepliesError, RepliesBusyError: there is no room for a reply now.
        """
        conversation = await self._hold(conversation_id)
        parent_id = parent_id or conversation.active_leaf_id
        path = await self._path(conversation_id, parent_id)
        message = await self._add_words(conversation, words, parent_id)
        await self._ask(conversation, [*path, message], wish)

    async def edit(self, message_id: UUID, words: Words, wish: Wish) -> None:
        """Put other words beside those of a person's message, and ask for the reply to them.

        Raises:
            NotEditableError: it is no message of a person.
            MessageNotFoundError: none of the owner's. Otherwise see `send`.
        """
        conversation, edited = await self._find(message_id)
        if edited.role is not MessageRole.USER:
            raise NotEditableError
        path = await self._path(conversation.id, edited.parent_id)
        message = await self._add_words(conversation, words, edited.parent_id, edited_from_id=edited.id)
        await self._ask(conversation, [*path, message], wish)

    async def regenerate(self, message_id: UUID, wish: Wish) -> None:
        """Ask for another reply beside this one.

        Raises:
            NotAReplyError, NothingToAnswerError: it is no reply, or none to a message.
            ReplyInProgressError: it is still being written. Otherwise see `send`.
        """
        conversation, reply = await self._find_reply(message_id)
        path = await self._path(conversation.id, reply.parent_id)
        if not path:
            raise NothingToAnswerError
        await self._ask(conversation, path, wish)

    async def continue_(self, message_id: UUID, wish: Wish) -> None:
        """Ask for the rest of a reply that was broken off: a reply beside it, which begins with its text.

        Raises:
            NotIncompleteError: it is complete. Otherwise see `regenerate`.
        """
        conversation, reply = await self._find_reply(message_id)
        if reply.status not in _BROKEN_OFF:
            raise NotIncompleteError
        path = await self._path(conversation.id, reply.id)
        if len(path) == 1:
            raise NothingToAnswerError
        await self._ask(conversation, path, wish, continued=reply)

    async def get(self, response_id: UUID) -> ReplyView:
        """A reply as it is now.

        Raises:
            ResponseNotFoundError: none of the owner's.
        """
        return await self._reader.view(self._owner, response_id)

    async def cancel(self, response_id: UUID) -> ReplyView:
        """Have a reply stopped, wherever it is generated; what is there of it is kept. It may be repeated.

        Raises:
            ResponseNotFoundError: none of the owner's.
        """
        view = await self.get(response_id)
        if not view.is_over and await self._responses.owned_by(self._owner).request_cancel(response_id):
            self._session.after_commit(partial(self._engine.cancel, response_id))
        return await self.get(response_id)

    async def _ask(
        self,
        conversation: Conversation,
        path: Sequence[PromptMessage | Message],
        wish: Wish,
        *,
        continued: Message | None = None,
    ) -> None:
        """Store the reply that is to come, and have it generated after the commit. What blocks others comes last."""
        model = wish.model or (continued.model if continued else None) or conversation.default_model
        candidates = self._models.candidates(model)
        given = continued.content if continued else ""
        is_continued = bool(given)
        prompts = (await self._instructions(wish), conversation.system_prompt)
        request = build_request(model, prompts, path, wish.params, is_continued=is_continued)
        reply = await self._add_reply(conversation, path, wish, request, continued)
        events = [created_event(reply.response_id, conversation.id, reply.message_id, model)]
        if given:
            events.append(Event(2, EventKind.DELTA, {"delta": given}))
        await self._events.add([(reply.response_id, event) for event in events], reply.created_at)
        self._engine.reserve(reply.response_id, self._owner)
        await self._usage.reserve(
            self._owner,
            reply.response_id,
            candidates,
            most_prompt=most_prompt_tokens(request),
            most_completion=request.params.max_tokens or 0,
        )
        self._session.after_commit(partial(self._engine.start, Order(reply, request, tuple(events))))

    async def _instructions(self, wish: Wish) -> str | None:
        """What every model is to be told about the person."""
        if not wish.is_instructed or self._owner.user_id is None:
            return None
        instructions: str | None = await self._preferences.value_of(self._owner.user_id, CHAT_INSTRUCTIONS)
        return instructions

    async def _add_reply(
        self,
        conversation: Conversation,
        path: Sequence[PromptMessage | Message],
        wish: Wish,
        request: ModelRequest,
        continued: Message | None,
    ) -> Reply:
        now = self._clock.now()
        message = await self._writer.append(
            self._owner,
            conversation.id,
            parent_id=continued.parent_id if continued else path[-1].id,
            role=MessageRole.ASSISTANT,
            content="",
            model=request.model,
            status=MessageStatus.QUEUED,
            edited_from_id=continued.id if continued else None,
        )
        response = Response(
            id=wish.response_id,
            message_id=message.id,
            conversation_id=conversation.id,
            user_id=self._owner.user_id,
            guest_id=self._owner.guest_id,
            model_requested=request.model,
            status=MessageStatus.QUEUED,
            tokens_prompt=estimate_prompt(request),
            created_at=now,
            started_at=now,
            lease_owner=self._engine.lease_owner,
            lease_expires_at=now + self._engine.lease,
            last_event_seq=2 if continued and continued.content else 1,
            params=wish.params.model_dump(mode="json", exclude_none=True),
        )
        await self._responses.add(response)
        return Reply.of(response)

    async def _add_words(
        self, conversation: Conversation, words: Words, parent_id: UUID | None, edited_from_id: UUID | None = None
    ) -> Message:
        return await self._writer.append(
            self._owner,
            conversation.id,
            parent_id=parent_id,
            role=MessageRole.USER,
            content=words.text,
            parts=words.parts,
            edited_from_id=edited_from_id,
        )

    async def _hold(self, conversation_id: UUID) -> Conversation:
        await self._conversations.hold_owner(self._owner)
        conversation = await self._conversations.hold(conversation_id)
        if conversation is None:
            raise ConversationNotFoundError
        return conversation

    async def _find(self, message_id: UUID) -> tuple[Conversation, Message]:
        """A message of the owner, with its conversation, which is held."""
        await self._conversations.hold_owner(self._owner)
        message = await self._messages.get_of(self._owner, message_id)
        if message is None or (conversation := await self._conversations.hold(message.conversation_id)) is None:
            raise MessageNotFoundError
        return conversation, message

    async def _find_reply(self, message_id: UUID) -> tuple[Conversation, Message]:
        conversation, message = await self._find(message_id)
        if message.role is not MessageRole.ASSISTANT:
            raise NotAReplyError
        if message.status in UNFINISHED:
            raise ReplyInProgressError
        return conversation, message

    async def _path(self, conversation_id: UUID, leaf_id: UUID | None) -> list[PromptMessage]:
        """The messages up to a leaf, which is whole; of a long way the last ones."""
        if leaf_id is None:
            return []
        path = await self._messages.prompt_path(conversation_id, leaf_id)
        if not path:
            raise MessageNotFoundError
        if path[-1].status in UNFINISHED:
            raise ReplyInProgressError
        return path
