"""What people try with the gateway: much for little, and what other ways refuse."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from sqlalchemy import event

from app.chat.models import Conversation
from app.chat.responses.hub import Hub
from app.chat.responses.types import Event, EventKind
from app.chat.schemas import MAX_SYSTEM_PROMPT_LENGTH
from tests.chat.gateway.test_completions import HELLO, records, rows
from tests.chat.responses.stage import Caller, LiveApp
from tools.provider import Provider


def said(turns: int) -> list[ChatCompletionMessageParam]:
    """Something said by turns, and what is to be answered."""
    both: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "First words. More"}, {"role": "assistant", "content": "b"},
    ]  # fmt: skip
    return [*both * turns, {"role": "user", "content": "end"}]


async def test_hundreds_of_stored_messages_cost_no_more_statements(
    sdk: openai.AsyncOpenAI, live_app: LiveApp, caller: Caller
) -> None:
    """Fifteen kilobytes from a guest must not hold the write lock of all for seconds."""
    counts: list[int] = []
    kept: dict[str, str] = {}

    def note(*_: Any) -> None:
        counts[-1] += 1

    engine = live_app.services.database.writer.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        for turns in (2, 200):
            counts.append(0)
            answer = await sdk.chat.completions.create(model="test/m", messages=said(turns), store=True)
            assert answer.choices[0].message.content == "You said: end"
            kept = answer.to_dict()["metadata"]  # type: ignore[assignment] # a dict of its own
    finally:
        event.remove(engine, "before_cursor_execute", note)
    few, many = counts
    assert many < few + 60, counts  # the events of replies come in batches of their own
    conversation_id = kept["conversation_id"]
    conversation = (await caller.http.get(f"/conversations/{conversation_id}")).json()
    assert (conversation["title"], conversation["message_count"]) == ("First words.", 402)
    page = (await caller.http.get(f"/conversations/{conversation_id}/messages", params={"limit": 100})).json()
    assert len(page["items"]) == 100
    assert page["items"][-1]["content"] == "You said: end"
    assert len(live_app.provider.requests[-1].body["messages"]) > 100


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_kept_instructions_are_no_longer_than_anywhere_else(
    caller: Caller, live_app: LiveApp, sdk: openai.AsyncOpenAI, role: str
) -> None:
    before = await rows(live_app, Conversation)
    texts: list[str] = []
    for size, status in ((MAX_SYSTEM_PROMPT_LENGTH, 200), (MAX_SYSTEM_PROMPT_LENGTH + 1, 422)):
        messages = [{"role": role, "content": "x" * size}, *HELLO]
        body = {"model": "test/m", "messages": messages, "store": True}
        answer = await caller.http.post(f"{sdk.base_url}chat/completions", json=body)
        assert answer.status_code == status, answer.text
        texts.append(answer.text)
    assert '"param":"messages"' in texts[-1]
    assert await rows(live_app, Conversation) == before + 1


async def test_thoughts_are_paid_for_by_whoever_hangs_up(
    sdk: openai.AsyncOpenAI, live_app: LiveApp, provider: Provider
) -> None:
    """Otherwise a model that thinks for long is free of charge to whoever leaves before its first word."""
    model = "test/m+reasoning=300+stall=200"
    asking = asyncio.create_task(sdk.chat.completions.create(model=model, messages=HELLO))
    assert await provider.until_sent(200)
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    (record,) = await records(live_app)
    assert record[3] > 100


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_database_that_goes_away_is_no_fault_of_ours(
    sdk: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch, has_begun: bool
) -> None:
    """503 with OpenAI's member, which tells clients to come again; in the midst of a stream, its event."""

    async def follow(*_: Any, **_options: Any) -> AsyncGenerator[Event | None, None]:
        if has_begun:
            yield Event(1, EventKind.DELTA, {"delta": "one"})
        raise OSError("the line is cut")

    monkeypatch.setattr(Hub, "follow", follow)
    with pytest.raises(openai.APIError) as caught:
        async for _ in await sdk.chat.completions.create(model="test/m", messages=HELLO, store=True, stream=True):
            pass
    assert caught.value.code == "service_unavailable"
    assert getattr(caught.value, "status_code", None) == (None if has_begun else 503)
