"""What is counted of a reply whose model tells nothing, and what a model is shown of a long conversation."""

from uuid import UUID

import pytest
from sqlalchemy import update

from app.chat.models import Message
from app.chat.responses.repository import ReplyMessageRepository
from app.chat.responses.talk import Tally
from app.chat.responses.tapes import Tape
from app.chat.responses.writer import Draft
from app.chat.types import MessageStatus
from app.core.ids import new_id
from app.llm.types import AttemptFailed, AttemptStarted, Fault, ModelMessage, ModelRequest, ReasoningDelta
from app.main import Services
from tests.chat.stage import converse, writing
from tests.chat.test_tree import chain
from tests.support import Account, ManualClock


def test_thoughts_of_an_attempt_that_failed_are_not_paid_for(clock: ManualClock) -> None:
    id_ = new_id()
    tally = Tally(clock, ModelRequest("m", (ModelMessage("user", "Hi"),)), Draft(id_, id_, Tape(id_), lambda: None))
    tally.note(AttemptStarted(1, "one", "m"))
    tally.note(ReasoningDelta("thought " * 1_000))
    tally.note(AttemptFailed(1, "one", "m", next(iter(Fault)), "broken"))
    tally.note(AttemptStarted(2, "two", "m"))
    tally.note(ReasoningDelta("thought"))
    tokens = tally.ending(MessageStatus.CANCELLED).tokens
    assert tokens is not None
    assert 0 < tokens.completion < 10


@pytest.mark.parametrize(
    ("count", "length", "shown"), [(120, 1, 120), (520, 1, 500), (120, 10_000, 50), (120, 5_000, 100), (2, 1, 2)]
)
async def test_of_a_long_conversation_only_what_a_model_is_shown_is_read(
    services: Services, account: Account, count: int, length: int, shown: int
) -> None:
    conversation_id = (await converse(account))["id"]
    said = await chain(services, conversation_id, count)
    async with writing(services) as session:
        await session.execute(update(Message).values(content="x" * length))
        messages = ReplyMessageRepository(session, services.clock)
        path = await messages.prompt_path(UUID(conversation_id), said[-1])
        assert [message.id for message in path] == said[-shown:]
        assert await messages.prompt_path(UUID(conversation_id), new_id()) == []
