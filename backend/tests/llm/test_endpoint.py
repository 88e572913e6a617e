"""One provider, well and badly behaved, over real sockets."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from app.core.errors import ServiceUnavailableError
from app.llm.errors import AllProvidersFailedError, ModelNotFoundError, ModelRefusedError
from app.llm.types import (
    INTERRUPTED,
    AttemptFailed,
    Fault,
    Finish,
    ReasoningDelta,
    TextDelta,
    Usage,
    UsageSource,
)
from tests.llm.asking import KEY, Heard, a_request
from tests.llm.conftest import StageFactory
from tools.provider import Outcome, Provider

QUICK = {"first_token_seconds": 0.3, "idle_seconds": 0.3, "total_seconds": 0.6}


def limits(fault: Fault) -> dict[str, float]:
    """Little patience where it is to end; a slow machine must not end the rest."""
    return QUICK if fault is Fault.TIMEOUT else {}


async def test_a_reply_comes_word_by_word(make_stage: StageFactory, provider: Provider) -> None:
    stage = make_stage({})
    heard = await stage.ask(a_request("m+actual=m-2026", "hé 😀 wörld", temperature=0.5, max_tokens=9, stop=("x",)))
    assert heard.text == "You said: hé 😀 wörld"
    assert [event.text for event in heard.events if isinstance(event, TextDelta)][:2] == ["You", " said:"]
    assert heard.usage == Usage(3, 5, 8, cached=1, source=UsageSource.PROVIDER)
    assert heard.finish == Finish("stop", "p1", "m-2026")
    (asked,) = provider.requests
    assert asked.authorization == f"Bearer {KEY}"
    assert asked.body == {
        "model": "m+actual=m-2026",
        "messages": [{"role": "user", "content": "hé 😀 wörld"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["x"],
    }
    (seen,) = stage.seen
    assert (seen.operation, seen.is_success, seen.dimensions) == ("llm.chat", True, {"provider": "p1", "model": "*"})


async def test_a_connection_is_used_again(make_stage: StageFactory, provider: Provider) -> None:
    stage = make_stage({})
    for _ in range(3):
        await stage.ask()
    assert provider.outcomes == [Outcome.COMPLETE] * 3
    assert provider.opened == 1


@pytest.mark.parametrize(
    "faults", ["bytes=1", "bytes=3+pings", "reasoning=2+bytes=7", "nodone", "finish=length", "first=0.01+gap=0.001"]
)
async def test_unusual_streams_are_read(make_stage: StageFactory, faults: str) -> None:
    """Characters and lines split anywhere, comments, CRLF, no [DONE]."""
    heard = await make_stage({}).ask(a_request(f"m+{faults}", "żółć 😀 日本"))
    assert heard.text == "You said: żółć 😀 日本"
    assert heard.usage.source is UsageSource.PROVIDER
    assert heard.finish.reason == ("length" if "length" in faults else "stop")
    thoughts = [event.text for event in heard.events if isinstance(event, ReasoningDelta)]
    assert thoughts == (["thought-1 ", "thought-2 "] if "reasoning" in faults else [])


@pytest.mark.parametrize(
    ("faults", "fault"),
    [
        ("status=400", Fault.REFUSED),
        ("status=413", Fault.REFUSED),
        ("status=401", Fault.UNAUTHORIZED),
        ("status=403", Fault.UNAUTHORIZED),
        ("status=404", Fault.MODEL_UNKNOWN),
        ("status=408", Fault.TIMEOUT),
        ("status=429", Fault.RATE_LIMITED),
        ("status=500", Fault.SERVER_ERROR),
        ("status=503", Fault.SERVER_ERROR),
        ("redirect=http:%2F%2F127.0.0.1:1%2F", Fault.MALFORMED),
        ("hangup", Fault.CONNECTION),
        ("html", Fault.MALFORMED),
        ("garbage", Fault.MALFORMED),
        ("json", Fault.MALFORMED),
        ("cut=0", Fault.CONNECTION),
        ("end=0", Fault.MALFORMED),
        ("error=0", Fault.SERVER_ERROR),
        ("malformed=0", Fault.MALFORMED),
        ("headers=9", Fault.TIMEOUT),
        ("first=9", Fault.TIMEOUT),
        ("stall=0", Fault.TIMEOUT),
        ("line", Fault.TOO_LONG),
    ],
)
async def test_a_failure_before_the_first_text(
    make_stage: StageFactory, provider: Provider, faults: str, fault: Fault
) -> None:
    """Nothing is given out, and the attempt says why."""
    stage, heard = make_stage(limits(fault), llm_max_reply_bytes=1024), Heard()
    with pytest.raises((AllProvidersFailedError, ModelRefusedError, ModelNotFoundError)) as caught:
        await stage.ask(a_request(f"m+{faults}"), heard=heard)
    assert (heard.asked, heard.faults, heard.text) == (["p1"], [fault], "")
    assert isinstance(caught.value, ModelRefusedError) is (fault is Fault.REFUSED)
    assert isinstance(caught.value, ModelNotFoundError) is (fault is Fault.MODEL_UNKNOWN)
    assert [(one.is_success, one.error_class) for one in stage.seen] == [(False, fault.value)]
    assert await provider.is_quiet() or provider.connections == 1  # which waits to be used again


@pytest.mark.parametrize(
    ("faults", "fault", "text"),
    [
        ("cut=2", Fault.CONNECTION, "You said:"),
        ("end=2", Fault.CONNECTION, "You said:"),
        ("error=2", Fault.SERVER_ERROR, "You said:"),
        ("malformed=2", Fault.MALFORMED, "You said:"),
        ("stall=2", Fault.TIMEOUT, "You said:"),
        ("huge=5000", Fault.TOO_LONG, "x" * 1024),
        ("endless", Fault.TOO_LONG, None),
        ("endless+gap=0.05+pad=1", Fault.TIMEOUT, None),
    ],
)
async def test_a_failure_in_the_midst_keeps_what_came(
    make_stage: StageFactory, provider: Provider, faults: str, fault: Fault, text: str | None
) -> None:
    """No other provider goes on; the usage is estimated, and the connection is closed."""
    stage = make_stage(limits(fault), {}, llm_max_reply_bytes=1024)
    heard = await stage.ask(a_request(f"p1/m+{faults}"))
    assert heard.text == text if text else heard.text.startswith("word-1 word-2 ")
    assert len(heard.text.encode()) <= 1024
    assert (heard.asked, heard.faults) == (["p1"], [fault])
    assert heard.finish == Finish(INTERRUPTED, "p1", f"m+{faults}", fault)
    assert heard.usage.source is UsageSource.ESTIMATED
    assert heard.usage.completion == -(-len(heard.text.encode()) // 4)
    assert [one.error_class for one in stage.seen] == [fault.value]
    assert await provider.is_quiet()


async def test_a_finish_without_text_is_an_answer(make_stage: StageFactory) -> None:
    heard = await make_stage({}).ask(a_request("m+empty+finish=content_filter+usage=none"))
    assert (heard.text, heard.finish.reason) == ("", "content_filter")


@pytest.mark.parametrize("usage", ["none", "zero", "wild"])
async def test_tokens_that_nobody_counted_are_estimated(make_stage: StageFactory, usage: str) -> None:
    heard = await make_stage({}).ask(a_request(f"m+usage={usage}"))
    assert heard.usage == Usage(prompt=8, completion=6, total=14, source=UsageSource.ESTIMATED)


@pytest.mark.parametrize("faults", ["words=1000+gap=0.02", "stall=1", "endless"])
async def test_hanging_up_closes_the_connection_at_once(
    make_stage: StageFactory, provider: Provider, faults: str
) -> None:
    """By closing the generator, and by cancelling its task."""
    stage = make_stage({})
    async with aclosing(stage.models.stream(a_request(f"m+{faults}"))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert await provider.is_quiet()

    task = asyncio.create_task(stage.ask(a_request(f"m+{faults}")))
    assert await provider.until_sent(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await provider.is_quiet()
    assert provider.outcomes == [Outcome.CLIENT_GONE] * 2
    assert [one.is_success for one in stage.seen] == [True, True]
    assert (await stage.ask()).finish.reason == "stop"


async def test_a_slow_reader_is_no_fault_of_the_provider(make_stage: StageFactory) -> None:
    stage = make_stage({"first_token_seconds": 1, "idle_seconds": 0.2})
    heard = Heard()
    async with aclosing(stage.models.stream(a_request())) as events:
        async for event in events:
            heard.events.append(event)
            await asyncio.sleep(0.05 if len(heard.events) != 3 else 0.4)
    assert heard.finish.reason == "stop"


async def test_only_so_many_replies_at_once(make_stage: StageFactory, provider: Provider) -> None:
    stage = make_stage({"max_concurrency": 2, "connect_seconds": 0.1})
    running = [asyncio.create_task(stage.ask(a_request("m+stall=1"))) for _ in range(2)]
    await provider.until_sent(2)
    heard = Heard()
    with pytest.raises(AllProvidersFailedError) as caught:
        await stage.ask(heard=heard)
    assert heard.faults == [Fault.BUSY]
    assert (caught.value.status_code, caught.value.headers) == (503, {"Retry-After": "1"})
    waiting = asyncio.create_task(stage.ask())
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert (await waiting).finish.reason == "stop"


async def test_nobody_listens(make_stage: StageFactory) -> None:
    stage, heard = make_stage({"base_url": "http://127.0.0.1:1/v1"}), Heard()
    with pytest.raises(ServiceUnavailableError):
        await stage.ask(heard=heard)
    assert heard.faults == [Fault.CONNECTION]


async def test_secrets_and_prompts_are_nowhere(
    make_stage: StageFactory, provider: Provider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in logs nor in errors nor in representations; and nothing of the environment goes out."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-hunter2")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    stage = make_stage({"faults": "status=500"}, {"faults": "status=401"}, {"faults": "cut=3"})
    heard = await stage.ask(a_request(text="my hunter2"))
    failures = [event for event in heard.events if isinstance(event, AttemptFailed)]
    assert len(failures) == 3
    shown = [*map(repr, failures), repr(a_request(text="my hunter2")), *map(repr, stage.seen), *capsys.readouterr()]
    for text in shown:
        assert "hunter2" not in text
        assert KEY not in text
    for asked in provider.requests:
        assert "hunter2" not in json.dumps(asked.headers)
        assert not [name for name in asked.headers if name.startswith(("x-stainless", "openai-"))]


async def test_what_a_provider_refuses_is_told_without_secrets(make_stage: StageFactory) -> None:
    stage = make_stage({"faults": f"status=400+text=too%20long%20for%20{KEY}%20sk-abc***xyz"})
    with pytest.raises(ModelRefusedError) as caught:
        await stage.ask()
    assert caught.value.detail == "too long for [...] [...]"


@pytest.mark.parametrize(
    ("field", "sent"), [("max_tokens", {"max_tokens": 5}), ("max_completion_tokens", {"max_completion_tokens": 5})]
)
async def test_the_limit_has_the_name_that_the_provider_knows(
    make_stage: StageFactory, provider: Provider, field: str, sent: dict[str, Any]
) -> None:
    await make_stage({"max_tokens_field": field, "api_key": ""}).ask(a_request(max_tokens=5))
    body = provider.requests[0].body
    assert {name: value for name, value in body.items() if name.startswith("max")} == sent
    assert provider.requests[0].authorization == "Bearer none"


@pytest.mark.parametrize("faults", ["words=500", "reasoning=500", "huge=4000", "endless+pad=10"])
async def test_a_provider_that_does_not_heed_max_tokens_is_cut(
    make_stage: StageFactory, provider: Provider, faults: str
) -> None:
    heard = await make_stage({}).ask(a_request(f"m+{faults}+actual=m-2026", max_tokens=5))
    said = "".join(event.text for event in heard.events if isinstance(event, TextDelta | ReasoningDelta))
    assert len(said) == 5 * 16
    assert heard.finish == Finish("length", "p1", "m-2026")
    assert (heard.usage.completion, heard.usage.source) == (5, UsageSource.ESTIMATED)


async def test_a_provider_that_heeds_max_tokens_is_not_cut(make_stage: StageFactory) -> None:
    """Not even where its tokens are long."""
    heard = await make_stage({}).ask(a_request("m+words=5+pad=16+finish=length", max_tokens=5))
    assert (len(heard.text), heard.usage.completion) == (80, 5)
    assert heard.usage.source is UsageSource.PROVIDER
