"""The gateway, through the unmodified SDK: what it answers, what it keeps, and how it refuses."""

import asyncio
from typing import Any
from uuid import UUID

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from sqlalchemy import func, select

from app.chat.models import Conversation, Message
from app.chat.responses.models import Response
from app.chat.usage.models import UsageRecord
from app.chat.usage.types import LimitScope, Metric
from tests.chat.gateway.conftest import gateway_of
from tests.chat.responses.stage import Caller, LiveApp
from tests.chat.usage.support import limit, states
from tests.support import Account
from tools.provider import Outcome, Provider

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hé 😀"}]


async def rows(live_app: LiveApp, table: type[Any]) -> int:
    """How many rows there are."""
    async with live_app.services.database.read_session() as session:
        return int((await session.rows(select(func.count()).select_from(table)))[0][0])


async def records(live_app: LiveApp, count: int = 1) -> list[Any]:
    """What was used, once that many replies are settled."""
    columns: tuple[Any, ...] = (
        UsageRecord.model, UsageRecord.provider, UsageRecord.tokens_prompt, UsageRecord.tokens_completion,
        UsageRecord.conversation_id,
    )  # fmt: skip
    found: list[Any] = []
    for _ in range(200):
        async with live_app.services.database.read_session() as session:
            found = [tuple(row) for row in await session.rows(select(*columns))]
        if len(found) >= count:
            break
        await asyncio.sleep(0.02)
    return found


async def test_a_completion_and_what_is_kept_of_it(sdk: openai.AsyncOpenAI, live_app: LiveApp) -> None:
    before = await rows(live_app, Conversation)
    answer = await sdk.chat.completions.create(model="test/m", messages=HELLO, max_tokens=50, user="x")
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    (choice,) = answer.choices
    assert (choice.message.content, choice.message.role, choice.finish_reason) == (
        "You said: hé 😀",
        "assistant",
        "stop",
    )
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 4, 6)
    assert await records(live_app) == [("m", "test", 2, 4, None)]
    assert (await rows(live_app, Conversation), await rows(live_app, Message), await rows(live_app, Response)) == (
        before, 0, 0,
    )  # fmt: skip


async def test_a_stream_comes_chunk_by_chunk(sdk: openai.AsyncOpenAI, live_app: LiveApp) -> None:
    stream = await sdk.chat.completions.create(
        model="test/m+words=5", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert deltas == ["", "word-1", " word-2", " word-3", " word-4", " word-5", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 5)
    assert await records(live_app) == [("m+words=5", "test", 2, 5, None)]


async def test_the_sdk_s_own_stream_helper_understands_it(sdk: openai.AsyncOpenAI) -> None:
    async with sdk.chat.completions.stream(model="test/m+bytes=5", messages=HELLO) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "You said: hé 😀"
    assert {"content.delta", "content.done"} <= set(kinds)


async def test_a_stream_begins_before_it_ends(sdk: openai.AsyncOpenAI, provider: Provider) -> None:
    """Nothing waits for the whole reply; and whoever hangs up ends the call of the provider, and pays for it."""
    stream = await sdk.chat.completions.create(model="test/m+stall=2", messages=HELLO, stream=True)
    text = ""
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        if text == "You said:":
            break
    await stream.close()
    assert await provider.is_quiet()
    assert provider.requests[-1].outcome is Outcome.CLIENT_GONE


@pytest.mark.parametrize("store", [False, True])
async def test_the_gateway_adds_nothing_to_what_is_asked(
    sdk: openai.AsyncOpenAI, caller: Caller, provider: Provider, store: bool
) -> None:
    """What a person wants every model to know is for conversations here; a client says itself what it wants."""
    await caller.http.put("/preferences/chat.instructions", json={"value": "Answer in Latin."})
    await sdk.chat.completions.create(model="test/m", messages=HELLO, store=store)
    assert provider.requests[-1].body["messages"] == HELLO


@pytest.mark.parametrize("store", [False, True])
async def test_parts_of_the_prompt_are_told_apart(
    sdk: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch, store: bool
) -> None:
    details = {"cached_tokens": 5, "cache_write_tokens": 3}
    told = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": details}
    monkeypatch.setattr("tools.provider.wire.usage_of", lambda *_: told)
    answer = await sdk.chat.completions.create(model="test/m", messages=HELLO, store=store)
    assert answer.to_dict()["usage"]["prompt_tokens_details"] == details  # type: ignore[index] # a dict of its own


async def test_whoever_hangs_up_pays_for_what_came(
    sdk: openai.AsyncOpenAI, live_app: LiveApp, provider: Provider
) -> None:
    """Also without a stream, where nobody has seen a word of it."""
    asking = asyncio.create_task(sdk.chat.completions.create(model="test/m+stall=2", messages=HELLO))
    assert await provider.until_sent(2)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert await provider.is_quiet()
    (record,) = await records(live_app)
    assert record[:2] == ("m+stall=2", "test")
    assert record[3] >= 1


async def test_a_slow_reply_outlives_the_limit_of_requests(sdk: openai.AsyncOpenAI, live_app: LiveApp) -> None:
    """Requests have `REQUEST_TIMEOUT_SECONDS`; a reply has `REPLY_TIMEOUT_SECONDS`."""
    deadline = live_app.services.settings.request_timeout_seconds
    if deadline > 5:
        object.__setattr__(live_app.services.settings, "request_timeout_seconds", 0.5)
    try:
        answer = await sdk.chat.completions.create(model="test/m+headers=0.8", messages=HELLO)
    finally:
        object.__setattr__(live_app.services.settings, "request_timeout_seconds", deadline)
    assert answer.choices[0].message.content == "You said: hé 😀"


async def test_store_keeps_a_conversation(sdk: openai.AsyncOpenAI, caller: Caller, live_app: LiveApp) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": [{"type": "text", "text": "second"}]},
    ]
    answer = await sdk.chat.completions.create(model="test/m", messages=messages, store=True)
    assert answer.choices[0].message.content == "You said: second"
    kept: dict[str, str] = answer.to_dict()["metadata"]  # type: ignore[assignment] # a dict of its own
    path = f"/conversations/{kept['conversation_id']}"
    conversation = (await caller.http.get(path)).json()
    assert (conversation["system_prompt"], conversation["default_model"]) == ("Be brief.", "test/m")
    listed = (await caller.http.get(f"{path}/messages")).json()["items"]
    assert [(item["role"], item["content"]) for item in listed] == [
        ("user", "first"), ("assistant", "1"), ("user", "second"), ("assistant", "You said: second"),
    ]  # fmt: skip
    assert live_app.provider.requests[-1].body["messages"] == [
        *messages[:3], {"role": "user", "content": "second"},
    ]  # fmt: skip
    (record,) = await records(live_app)
    assert record[4] == UUID(kept["conversation_id"])

    stream = await sdk.chat.completions.create(
        model="test/m",
        messages=[{"role": "user", "content": "third"}],
        store=True,
        metadata={"conversation_id": kept["conversation_id"]},
        stream=True,
    )
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "You said: third"
    listed = (await caller.http.get(f"{path}/messages")).json()["items"]
    assert [item["content"] for item in listed][-2:] == ["third", "You said: third"]


async def test_a_stored_reply_goes_on_without_its_client(
    sdk: openai.AsyncOpenAI, caller: Caller, provider: Provider
) -> None:
    stream = await sdk.chat.completions.create(
        model="test/m+words=20+gap=0.02", messages=HELLO, store=True, stream=True
    )
    first = await anext(stream)
    await stream.close()
    response_id = (first.model_extra or {})["metadata"]["response_id"]
    reply = (await caller.follow(response_id)).text
    assert reply.endswith("word-20")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("merit/other", openai.NotFoundError, "model_not_found"),
        ("test/m+status=404", openai.NotFoundError, "model_not_found"),
        ("test/m+status=500", openai.InternalServerError, "all_providers_failed"),
        ("test/m+status=400+text=too%20long", openai.UnprocessableEntityError, "model_refused"),
    ],
)
async def test_failures_before_the_first_word_have_a_status(
    sdk: openai.AsyncOpenAI, model: str, error: type[openai.APIStatusError], code: str, store: bool, stream: bool
) -> None:
    with pytest.raises(error) as caught:
        await sdk.chat.completions.create(model=model, messages=HELLO, store=store, stream=stream)
    assert caught.value.code == ("reply_failed" if store and code == "all_providers_failed" else code)
    body: Any = caught.value.body
    assert set(body) == {"message", "type", "param", "code"}
    if code == "model_refused":
        assert body["message"] == "too long"


@pytest.mark.parametrize("store", [False, True])
async def test_a_reply_that_breaks_off_is_no_reply(sdk: openai.AsyncOpenAI, store: bool, live_app: LiveApp) -> None:
    """A stream ends with an error, which the SDK raises; otherwise it is 502. What came is paid for."""
    texts: list[str] = []
    model = f"test/m-{store}+cut=2"
    stream = await sdk.chat.completions.create(model=model, messages=HELLO, store=store, stream=True)

    async def read() -> None:
        async for chunk in stream:
            texts.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - kept when it raises

    with pytest.raises(openai.APIError, match="broke off"):
        await read()
    assert "".join(texts) == "You said:"
    with pytest.raises(openai.InternalServerError) as caught:
        await sdk.chat.completions.create(model=model, messages=HELLO, store=store)
    assert (caught.value.status_code, caught.value.code) == (502, "reply_interrupted")
    assert len(await records(live_app, 2)) == 2


async def test_the_models(sdk: openai.AsyncOpenAI) -> None:
    models = [model async for model in sdk.models.list()]
    assert ("merit/echo", "merit") in [(model.id, model.owned_by) for model in models]
    answer = await sdk.chat.completions.create(model="merit/echo", messages=HELLO)
    assert (answer.choices[0].message.content or "").endswith("hé 😀")


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "\0"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "x"}] * 501}, "messages"),
        ({"tools": []}, "tools"),
        ({"n": 2}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["x"] * 5}, "stop"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"stream_options": {"include_usage": True}}, ""),
        ({"metadata": {"conversation_id": "x"}, "store": True}, "metadata.conversation_id"),
        ({"metadata": {}}, ""),
        ({"model": "m" * 129}, "model"),
        ({"store": "yes"}, "store"),
    ],
)
async def test_what_is_not_understood_is_refused(
    live_app: LiveApp, caller: Caller, provider: Provider, members: dict[str, Any], place: str
) -> None:
    asked = len(provider.requests)
    body = {"model": "test/m", "messages": HELLO, **members}
    answer = await caller.http.post(f"{gateway_of(live_app)}/chat/completions", json=body)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert (problem["code"], problem["error"]["type"]) == ("validation_failed", "invalid_request_error")
    assert (problem["error"]["param"] or "").startswith(place)
    assert len(provider.requests) == asked


async def test_store_needs_a_question_and_one_s_own_conversation(sdk: openai.AsyncOpenAI, live_app: LiveApp) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await sdk.chat.completions.create(
            model="test/m", messages=[*HELLO, {"role": "assistant", "content": "I"}], store=True
        )
    assert caught.value.code == "last_message_not_of_user"
    unknown = "0199d3a0-0000-7000-8000-000000000000"
    with pytest.raises(openai.NotFoundError) as missing:
        await sdk.chat.completions.create(
            model="test/m", messages=HELLO, store=True, metadata={"conversation_id": unknown}
        )
    assert missing.value.code == "conversation_not_found"
    assert await rows(live_app, Message) == 0


async def test_quotas_hold_and_are_settled(sdk: openai.AsyncOpenAI, caller: Caller, live_app: LiveApp) -> None:
    services = live_app.services
    await limit(services, LimitScope.USER, Metric.MESSAGES, 2)
    for _ in range(2):
        raw = await sdk.chat.completions.with_raw_response.create(model="test/m", messages=HELLO, max_tokens=5)
        assert "r=" in raw.headers["ratelimit"]
    with pytest.raises(openai.RateLimitError) as caught:
        await sdk.chat.completions.create(model="test/m", messages=HELLO)
    assert caught.value.response.headers["retry-after"]
    state = (await states(services, caller.owner))[Metric.MESSAGES]
    assert (int(state.used), int(state.reserved)) == (2, 0)


async def test_what_never_came_costs_nothing(sdk: openai.AsyncOpenAI, caller: Caller, live_app: LiveApp) -> None:
    await limit(live_app.services, LimitScope.USER, Metric.TOKENS, 1_000_000)
    with pytest.raises(openai.InternalServerError):
        await sdk.chat.completions.create(model="test/m+status=503", messages=HELLO)
    state = (await states(live_app.services, caller.owner))[Metric.TOKENS]
    assert (int(state.used), int(state.reserved)) == (0, 0)


async def test_only_so_many_at_once(sdk: openai.AsyncOpenAI, live_app: LiveApp, provider: Provider) -> None:
    most = live_app.services.settings.max_replies_per_owner
    ask = sdk.chat.completions.create
    running = [asyncio.create_task(ask(model="test/m+stall=1", messages=HELLO)) for _ in range(most)]
    assert await provider.until_sent(most)
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(model="test/m", messages=HELLO)
    assert caught.value.code == "too_many_replies"
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert await provider.is_quiet()
    for _ in range(100):
        try:
            await ask(model="test/m", messages=HELLO)
            break
        except openai.RateLimitError:
            await asyncio.sleep(0.02)
    else:
        pytest.fail("the places are not given back")


async def test_who_may_call(live_app: LiveApp, account: Account, caller: Caller) -> None:
    """Nobody without a token, and a personal token only with its permission."""
    base = gateway_of(live_app)
    async with openai.AsyncOpenAI(base_url=base, api_key="nonsense", max_retries=0) as nobody:
        with pytest.raises(openai.AuthenticationError) as caught:
            await nobody.chat.completions.create(model="merit/echo", messages=HELLO)
        assert caught.value.response.headers["www-authenticate"].startswith("Bearer")
        assert (caught.value.body or {})["code"]  # type: ignore[index] # a dict
        with pytest.raises(openai.AuthenticationError):
            await nobody.models.list()
    keys = {}
    for scopes in (["chat:read"], ["chat:read", "chat:write"]):
        made = await account.request("POST", "/users/me/tokens", json={"name": "sdk", "scopes": scopes})
        keys[len(scopes)] = made.json()["text"]
    async with openai.AsyncOpenAI(base_url=base, api_key=keys[1], max_retries=0) as reader:
        assert [model async for model in reader.models.list()]
        with pytest.raises(openai.PermissionDeniedError):
            await reader.chat.completions.create(model="merit/echo", messages=HELLO)
    async with openai.AsyncOpenAI(base_url=base, api_key=keys[2], max_retries=0) as writer:
        assert (await writer.chat.completions.create(model="merit/echo", messages=HELLO)).choices
