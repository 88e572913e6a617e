"""Requests that come again: the SDK repeats failures by itself, and people repeat what they got no answer to."""

from typing import Any

import openai
import pytest

from app.chat.models import Conversation, Message
from app.chat.responses.models import Response
from tests.chat.gateway.conftest import gateway_of
from tests.chat.gateway.test_completions import HELLO, rows
from tests.chat.responses.stage import Caller, LiveApp

KEY = {"Idempotency-Key": "one"}


async def kept(live_app: LiveApp) -> tuple[int, ...]:
    """How many conversations, messages and replies there are."""
    return tuple([await rows(live_app, table) for table in (Conversation, Message, Response)])


@pytest.mark.parametrize("model", ["test/m+status=500", "test/m+cut=2"])
async def test_what_was_kept_is_not_repeated_by_the_sdk(live_app: LiveApp, caller: Caller, model: str) -> None:
    """Its own retries are those of anybody who has not switched them off."""
    token = caller.http.headers["authorization"].removeprefix("Bearer ")
    conversations = await rows(live_app, Conversation)
    async with openai.AsyncOpenAI(base_url=gateway_of(live_app), api_key=token) as client:
        assert client.max_retries > 0
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model=model, messages=HELLO, store=True)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert await kept(live_app) == (conversations + 1, 2, 1)


async def test_what_is_not_kept_may_be_repeated(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await sdk.chat.completions.create(model="test/m+status=500", messages=HELLO)
    assert "x-should-retry" not in caught.value.response.headers


async def test_a_key_makes_one_conversation(sdk: openai.AsyncOpenAI, live_app: LiveApp) -> None:
    """A repetition gets the same reply, also as a stream, for which the key is another's."""
    conversations = await rows(live_app, Conversation)
    ask = sdk.chat.completions.with_raw_response.create
    answers = [await ask(model="test/m", messages=HELLO, store=True, extra_headers=KEY, max_tokens=9) for _ in range(2)]
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true"]
    first, second = [answer.parse().to_dict() for answer in answers]
    assert {**second, "created": first["created"]} == first
    assert await kept(live_app) == (conversations + 1, 2, 1)
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await ask(model="test/m", messages=HELLO, store=True, extra_headers=KEY)
    assert caught.value.code == "idempotency_key_reused"

    texts = []
    for _ in range(2):
        stream: Any = await sdk.chat.completions.create(
            model="test/m", messages=HELLO, store=True, stream=True, extra_headers={"Idempotency-Key": "two"}
        )
        texts.append("".join([chunk.choices[0].delta.content or "" async for chunk in stream]))
    assert texts == ["You said: hé 😀"] * 2
    assert await kept(live_app) == (conversations + 2, 4, 2)


async def test_a_repetition_hears_a_reply_that_still_grows(sdk: openai.AsyncOpenAI, live_app: LiveApp) -> None:
    ask: dict[str, Any] = {"model": "test/m+words=20+gap=0.02", "messages": HELLO, "store": True, "stream": True}
    first: Any = await sdk.chat.completions.create(**ask, extra_headers=KEY)
    begun = await anext(first)
    await first.close()
    again: Any = await sdk.chat.completions.create(**ask, extra_headers=KEY)
    chunks = [chunk async for chunk in again]
    assert chunks[0].id == begun.id
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).endswith("word-20")
    assert await rows(live_app, Response) == 1


async def test_a_failure_is_repeated_too(sdk: openai.AsyncOpenAI, live_app: LiveApp) -> None:
    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as caught:
            await sdk.chat.completions.create(model="test/m+status=500", messages=HELLO, store=True, extra_headers=KEY)
        assert caught.value.code == "reply_failed"
    assert await rows(live_app, Response) == 1
