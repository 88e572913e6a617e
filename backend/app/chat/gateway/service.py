"""Asking for replies through the gateway."""

from collections.abc import Callable, Mapping
from functools import partial
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.errors import MessageTooLargeError
from app.chat.gateway.components import GatewayComponents
from app.chat.gateway.errors import LastMessageError, UnknownModelError
from app.chat.gateway.schemas import ChatCompletionRequest, ModelRead, ModelsRead
from app.chat.gateway.speeches import DirectSpeech, StoredSpeech
from app.chat.gateway.types import Speech
from app.chat.indexing import LateIndexing
from app.chat.models import Message
from app.chat.repository import ConversationRepository, MessageRepository
from app.chat.responses.prompts import DEFAULT_MAX_TOKENS
from app.chat.responses.service import ReplyService, Wish
from app.chat.responses.types import Words
from app.chat.responses.views import ReplyReader
from app.chat.schemas import MAX_SYSTEM_PROMPT_LENGTH
from app.chat.service import ConversationService, NewConversation
from app.chat.titles import title_from
from app.chat.types import MAX_MESSAGE_BYTES, MessageRole, MessageStatus, TitleSource
from app.chat.usage.service import UsageService, rate_limit_headers
from app.core.errors import InvalidInputError
from app.core.ids import new_id
from app.db.engine import Session
from app.idempotency.types import Named
from app.llm.errors import ModelNotFoundError
from app.llm.text import most_prompt_tokens
from app.llm.types import ModelMessage, ModelRequest

_INSTRUCTING = frozenset({MessageRole.SYSTEM.value, MessageRole.DEVELOPER.value})


def list_models(gateway: GatewayComponents) -> ModelsRead:
    """The models that the settings name."""
    models = [
        ModelRead(id=one.id, object="model", created=0, owned_by=one.provider)
        for one in gateway.replies.models.list_models()
    ]
    return ModelsRead(object="list", data=models)


class GatewayService:
    """The completions of one owner, within one transaction; models are called once that is committed."""

    def __init__(self, session: Session, gateway: GatewayComponents, owner: Owner) -> None:
        parts = gateway.replies.parts
        self._session = session
        self._jobs = parts.jobs
        self._gateway = gateway
        self._owner = owner
        self._clock = parts.clock
        self._conversations = ConversationService(session, parts)
        self._rows = ConversationRepository(session, parts.clock)
        self._messages = MessageRepository(session, parts.clock)
        self._replies = ReplyService(session, gateway.replies, owner)
        self._reader = ReplyReader(session, parts)
        self._usage = UsageService(session, parts)

    async def ask(self, asked: ChatCompletionRequest, named: Named, *, is_draining: Callable[[], bool]) -> Speech:
        """Reserve what a reply may need, and with `store` keep what it answers; or the kept one that is named already.

        Raises:
            UnknownModelError: nobody offers the model.
            QuotaExceededError: a limit leaves no room.
            LastMessageError, ConversationNotFoundError, MessageTooLargeError, InvalidInputError: it cannot be kept so.
                Otherwise see `ReplyService.send`.
        """
        try:
            self._gateway.replies.models.require(asked.model)
        except ModelNotFoundError:
            raise UnknownModelError(f"There is no model {asked.model}.") from None
        if not asked.store:
            return await self._reserve(named.id, asked)
        follow = partial(self._gateway.replies.hub.follow, named.id, 0, is_draining=is_draining)
        if named.is_new:
            return StoredSpeech(named.id, await self._keep(named.id, asked), asked.model, follow)
        view = await self._reader.view(self._owner, named.id)
        if view.is_over:
            follow = partial((await self._reader.replayable(view, 0)).events, self._gateway.replies.parts)
        return StoredSpeech(named.id, view.conversation_id, asked.model, follow)

    async def headers(self) -> Mapping[str, str]:
        """What the answer tells of limits."""
        return rate_limit_headers(await self._usage.quota(self._owner), self._clock.now())

    async def _reserve(self, response_id: UUID, asked: ChatCompletionRequest) -> DirectSpeech:
        params = asked.params.model_copy(update={"max_tokens": asked.params.max_tokens or DEFAULT_MAX_TOKENS})
        request = ModelRequest(asked.model, asked.prompt, params)
        await self._usage.reserve(
            self._owner,
            response_id,
            self._gateway.replies.models.candidates(asked.model),
            most_prompt=most_prompt_tokens(request),
            most_completion=params.max_tokens or 0,
        )
        return DirectSpeech(self._gateway, self._owner, response_id, request, self._clock.now())

    async def _keep(self, response_id: UUID, asked: ChatCompletionRequest) -> UUID:
        *before, last = asked.prompt
        if last.role != MessageRole.USER or not last.content:
            raise LastMessageError
        conversation_id = None if asked.metadata is None else asked.metadata.conversation_id
        parent_id: UUID | None = None
        if conversation_id is None:
            conversation_id, parent_id = await self._begin(asked.model, before)
        wish = Wish(response_id, asked.model, asked.params, is_instructed=False)
        await self._replies.send(conversation_id, Words(last.content), wish, parent_id=parent_id)
        return conversation_id

    async def _begin(self, model: str, before: list[ModelMessage]) -> tuple[UUID, UUID | None]:
        """A conversation of what was said before, and its last message; first instructions are its system prompt.

        Its statements are as many for hundreds of messages as for a few: the transaction holds SQLite's write lock.
        """
        first = next((n for n, message in enumerate(before) if message.role not in _INSTRUCTING), len(before))
        said = before[first:]
        titles = (title_from(message.content) for message in said if message.role == MessageRole.USER)
        new = NewConversation(
            title=next(filter(None, titles), None),
            title_source=TitleSource.HEURISTIC,
            default_model=model,
            system_prompt=_system_prompt(before[:first]),
        )
        conversation_id = (await self._conversations.create(self._owner, new)).id
        if not said:
            return conversation_id, None
        messages = _chain(conversation_id, said)
        await self._messages.add_all(messages)
        leaf_id = messages[-1].id
        await self._rows.owned_by(self._owner).fill(conversation_id, count=len(messages), leaf_id=leaf_id)
        await LateIndexing.ask(self._session, self._jobs, conversation_id)
        return conversation_id, leaf_id


def _system_prompt(instructions: list[ModelMessage]) -> str | None:
    prompt = "\n\n".join(message.content for message in instructions)
    if len(prompt) > MAX_SYSTEM_PROMPT_LENGTH:
        raise InvalidInputError.at(
            "body",
            "messages",
            type_="string_too_long",
            message=f"First instructions have at most {MAX_SYSTEM_PROMPT_LENGTH} characters with `store`",
        )
    return prompt or None


def _chain(conversation_id: UUID, said: list[ModelMessage]) -> list[Message]:
    """Messages of which each follows the one before."""
    if any(len(message.content.encode()) > MAX_MESSAGE_BYTES for message in said):
        raise MessageTooLargeError(f"A message has at most {MAX_MESSAGE_BYTES} bytes.")
    ids = [new_id() for _ in said]
    return [
        Message(
            id=id_,
            conversation_id=conversation_id,
            parent_id=parent_id,
            seq=seq,
            role=MessageRole(message.role),
            content=message.content,
            status=MessageStatus.COMPLETE,
            extra_data={},
        )
        for seq, (id_, parent_id, message) in enumerate(zip(ids, [None, *ids], said, strict=False), start=1)
    ]
