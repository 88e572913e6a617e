"""Several providers: who is asked, in which order, and who is left alone."""

import asyncio
from contextlib import aclosing

import pytest

from app.llm.errors import AllProvidersFailedError, ModelNotFoundError, ModelRefusedError
from app.llm.types import AttemptFailed, AttemptStarted, Fault, Finish, ReasoningDelta, TextDelta, Usage, UsageSource
from tests.llm.asking import Heard, a_request
from tests.llm.conftest import StageFactory, SteppedClock
from tools.provider import Outcome, Provider


async def test_the_next_one_answers(make_stage: StageFactory, provider: Provider) -> None:
    """Each attempt is told of, in order, and measured."""
    stage = make_stage({"faults": "status=500"}, {"faults": "hangup"}, {}, {})
    heard = await stage.ask()
    assert [event for event in heard.events if isinstance(event, AttemptStarted | AttemptFailed)] == [
        AttemptStarted(1, "p1", "m"),
        AttemptFailed(1, "p1", "m", Fault.SERVER_ERROR, "The provider answered 500."),
        AttemptStarted(2, "p2", "m"),
        AttemptFailed(2, "p2", "m", Fault.CONNECTION, "The connection failed."),
        AttemptStarted(3, "p3", "m"),
    ]
    assert (heard.text, heard.finish) == ("You said: one two three", Finish("stop", "p3", "m"))
    assert provider.outcomes == [Outcome.FAULT, Outcome.FAULT, Outcome.COMPLETE]
    assert [(one.dimensions["provider"], one.error_class) for one in stage.seen] == [
        ("p1", "server_error"),
        ("p2", "connection"),
        ("p3", None),
    ]


async def test_reasoning_alone_does_not_bind(make_stage: StageFactory) -> None:
    heard = await make_stage({"faults": "reasoning=2+cut=2"}, {}).ask()
    assert heard.asked == ["p1", "p2"]
    assert sum(isinstance(event, ReasoningDelta) for event in heard.events) == 2
    assert heard.finish.provider == "p2"


async def test_reasoning_is_counted_where_the_provider_tells_no_usage(make_stage: StageFactory) -> None:
    """Operators pay for it, and so do quotas: also of a reply that breaks off."""
    for faults in ("reasoning=100+usage=none", "reasoning=100+usage=none+cut=101"):
        stage = make_stage({"faults": faults})
        heard = await stage.ask()
        (usage,) = [event for event in heard.events if isinstance(event, Usage)]
        assert usage.completion > 200, faults
        assert stage.seen[-1].amounts["tokens.completion"] == usage.completion


async def test_a_refused_request_is_not_tried_elsewhere(make_stage: StageFactory, provider: Provider) -> None:
    with pytest.raises(ModelRefusedError) as caught:
        await make_stage({"faults": "status=422+text=no%20such%20role"}, {}).ask()
    assert (caught.value.status_code, caught.value.code) == (422, "model_refused")
    assert caught.value.detail == "no such role"
    assert len(provider.requests) == 1


async def test_a_model_that_nobody_knows_after_all(make_stage: StageFactory) -> None:
    stage = make_stage({"faults": "status=404"}, {"faults": "status=404"})
    for _ in range(4):  # callers choose names: that is no failure of the provider
        heard = Heard()
        with pytest.raises(ModelNotFoundError):
            await stage.ask(heard=heard)
        assert heard.asked == ["p1", "p2"]


async def test_three_failures_in_a_row_give_a_pause(
    make_stage: StageFactory, provider: Provider, llm_clock: SteppedClock
) -> None:
    """It is left alone for a second, then tried once; each failed trial doubles the pause."""
    stage = make_stage({"faults": "status=500+times=4"}, {})
    for _ in range(3):
        assert (await stage.ask()).asked == ["p1", "p2"]
    assert (await stage.ask()).asked == ["p2"]
    llm_clock.advance(1.01)
    assert (await stage.ask()).asked == ["p1", "p2"]
    llm_clock.advance(1.01)
    assert (await stage.ask()).asked == ["p2"]
    llm_clock.advance(1)
    assert (await stage.ask()).asked == ["p1"]
    assert (await stage.ask()).finish.provider == "p1"
    assert len(provider.requests) == 3 * 2 + 1 + 2 + 1 + 1 + 1


async def test_the_pause_is_one_model_s(make_stage: StageFactory) -> None:
    """Who asks for a broken model takes the others from nobody."""
    stage = make_stage({})
    for _ in range(4):
        with pytest.raises(AllProvidersFailedError):
            await stage.ask(a_request("broken+status=500"))
    assert (await stage.ask()).finish.provider == "p1"


async def test_one_caller_tries_for_all(make_stage: StageFactory, provider: Provider, llm_clock: SteppedClock) -> None:
    stage = make_stage({"faults": "status=500+times=3"}, {})
    for _ in range(3):
        await stage.ask()
    llm_clock.advance(2)
    async with aclosing(stage.models.stream(a_request())) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
        assert event == TextDelta("You")
        assert (await stage.ask()).asked == ["p2"], "the trial is not over"
    assert (await stage.ask()).asked == ["p1"], "a trial that was left is nobody's"


async def test_retry_after_is_obeyed_and_told(
    make_stage: StageFactory, provider: Provider, llm_clock: SteppedClock
) -> None:
    stage = make_stage({"faults": "status=429+retry_after=20+times=1"})
    with pytest.raises(AllProvidersFailedError) as caught:
        await stage.ask()
    assert caught.value.headers == {"Retry-After": "20"}
    heard = Heard()
    llm_clock.advance(19)
    with pytest.raises(AllProvidersFailedError) as caught:
        await stage.ask(heard=heard)
    assert (caught.value.headers, heard.asked, len(provider.requests)) == ({"Retry-After": "1"}, [], 1)
    llm_clock.advance(1.01)
    assert (await stage.ask()).finish.reason == "stop"


async def test_stand_ins_answer_last(make_stage: StageFactory) -> None:
    stage = make_stage(
        {"models": ["other"], "stand_in": "small"},
        {"models": ["m"], "faults": "status=503"},
        {"models": ["m*"], "faults": "hangup"},
    )
    heard = await stage.ask()
    assert heard.asked == ["p2", "p3", "p1"]
    assert heard.finish == Finish("stop", "p1", "small")
    assert [one.dimensions["model"] for one in stage.seen] == ["m", "m*", "small"]


async def test_many_at_once(make_stage: StageFactory, provider: Provider) -> None:
    """Twenty replies together are as many connections, none of them left in use."""
    stage = make_stage({"faults": "gap=0.02"})
    all_heard = await asyncio.gather(*(stage.ask(a_request(text=f"number {number}")) for number in range(20)))
    assert [heard.text for heard in all_heard] == [f"You said: number {number}" for number in range(20)]
    assert {heard.usage.source for heard in all_heard} == {UsageSource.PROVIDER}
    assert provider.opened <= 20


async def test_nothing_is_left_running(make_stage: StageFactory, provider: Provider) -> None:
    before = asyncio.all_tasks()
    stage = make_stage({"faults": "cut=2"}, {"faults": "stall=3"})
    await stage.ask()
    async with aclosing(stage.models.stream(a_request("p2/m"))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    await stage.models.close()
    assert await provider.is_quiet()
    for _ in range(50):
        await asyncio.sleep(0.01)
        if provider.connections == 0:
            break
    assert provider.connections == 0
    assert asyncio.all_tasks() <= before
