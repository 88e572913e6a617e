"""Whatever a provider does, the reply ends with the right status, and what came of it is kept."""

import pytest

from tests.chat.responses.stage import Caller, LiveApp

WORDS = "words=9"


@pytest.mark.parametrize(
    ("faults", "status", "code", "words"),
    [
        ("first=0.2+gap=0.02", "complete", None, 9),
        ("bytes=3", "complete", None, 9),
        ("nodone+pings", "complete", None, 9),
        ("finish=length", "incomplete", None, 9),
        ("finish=content_filter", "incomplete", None, 9),
        ("cut=3", "incomplete", "connection", 3),
        ("end=3", "incomplete", "connection", 3),
        ("error=3", "incomplete", "server_error", 3),
        ("malformed=3", "incomplete", "malformed", 3),
        ("stall=3", "incomplete", "timeout", 3),
        ("cut=0", "failed", "all_providers_failed", 0),
        ("status=500", "failed", "all_providers_failed", 0),
        ("status=429+retry_after=1", "failed", "all_providers_failed", 0),
        ("status=400", "failed", "model_refused", 0),
        ("status=404", "failed", "model_not_found", 0),
        ("hangup", "failed", "all_providers_failed", 0),
        ("html", "failed", "all_providers_failed", 0),
        ("garbage", "failed", "all_providers_failed", 0),
    ],
)
async def test_every_fault_of_a_provider_ends_in_a_right_status_with_the_text_kept(
    live_app: LiveApp, caller: Caller, faults: str, status: str, code: str | None, words: int
) -> None:
    name = "hasty/hasty-f" if code == "timeout" else "test/f"
    heard = await caller.hear(model=f"{name}+{WORDS}+{faults}")
    expected = " ".join(f"word-{number}" for number in range(1, words + 1))
    assert heard.text == expected
    final = heard.events[-1]
    assert (final.data["status"], final.data["error_code"]) == (status, code)
    assert final.name == f"response.{'completed' if status == 'complete' else status}"
    row = await live_app.response(heard.response_id)
    message = await live_app.message(row.message_id)
    assert (row.status, row.error_code, message.status, message.content) == (status, code, status, expected)
    assert (row.lease_owner, row.lease_expires_at) == (None, None)
    assert row.completed_at is not None
    reread = await caller.http.get(f"/responses/{heard.response_id}")
    assert reread.json()["text"] == expected
    attempts = reread.json()["attempts"]
    assert [attempt["status"] for attempt in attempts] == [
        "complete" if code is None else "failed",
    ]


async def test_an_endless_reply_is_cut(live_app: LiveApp, caller: Caller) -> None:
    heard = await caller.hear(model="test/e+endless+pad=2000", params={"max_tokens": 1_000_000})
    final = heard.events[-1].data
    assert (final["status"], final["error_code"]) == ("incomplete", "too_long")
    bound = live_app.services.settings.llm_max_reply_bytes
    assert bound - 2100 < len(heard.text) <= bound
    row = await live_app.response(heard.response_id)
    assert (await live_app.message(row.message_id)).content == heard.text


async def test_a_reply_without_text_is_complete_and_empty(caller: Caller) -> None:
    heard = await caller.hear(model="test/e+empty")
    assert (heard.text, heard.events[-1].data["status"]) == ("", "complete")


async def test_text_that_no_database_stores_is_made_storable(live_app: LiveApp, caller: Caller) -> None:
    heard = await caller.hear(model="test/t+text=a%00b%1Fc%F0%9F%98%80d")
    assert heard.text == "abc\N{GRINNING FACE}d"
    row = await live_app.response(heard.response_id)
    assert (await live_app.message(row.message_id)).content == heard.text


async def test_tokens_are_told_apart_as_the_provider_does(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    monkeypatch.setattr("tools.provider.wire.usage_of", lambda *_: told)
    heard = await caller.hear(model="test/u")
    (usage,) = (event.data for event in heard.events if event.name == "response.usage")
    read = (await caller.http.get(f"/responses/{heard.response_id}")).json()["usage"]
    for seen in (usage, read):
        assert [seen[f"tokens_{kind}"] for kind in ("prompt", "cached", "cache_write")] == [9, 5, 3]
        assert [seen[f"tokens_{kind}"] for kind in ("completion", "reasoning", "total")] == [4, 2, 13]


async def test_usage_is_estimated_where_the_provider_tells_none(caller: Caller) -> None:
    told = await caller.hear(model="test/u+words=10")
    (usage,) = (event.data for event in told.events if event.name == "response.usage")
    assert (usage["usage_source"], usage["tokens_completion"]) == ("provider", 10)
    untold = await caller.hear(model="test/u+words=10+usage=none")
    (usage,) = (event.data for event in untold.events if event.name == "response.usage")
    assert usage["usage_source"] == "estimated"
    assert usage["tokens_completion"] == -(-len(untold.text) // 4)
    failed = await caller.hear(model="test/u+status=500")
    assert "usage" not in failed.names
