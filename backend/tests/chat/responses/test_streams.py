"""Streams: their form, resuming them, hanging up, and what they hold meanwhile."""

import asyncio
from datetime import timedelta

import pytest

from tests.chat.responses.stage import Caller, LiveApp
from tests.support import ManualClock
from tools.streams import Heard, listen

SLOW = "s+words=40+gap=0.02"


async def test_the_events_of_a_reply(live_app: LiveApp, caller: Caller) -> None:
    async with caller.stream() as answer:
        heard = await listen(answer)
    assert heard.names == ["created", "output_text.delta", "usage", "completed"]
    assert [event.id for event in heard.events] == list(range(1, len(heard.events) + 1))
    assert all(event.data["sequence_number"] == event.id for event in heard.events)
    assert all(event.data["type"] == event.name for event in heard.events)
    assert heard.text == "You said: one two three"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert heard.last_id == (await live_app.response(heard.response_id)).last_event_seq


async def test_text_comes_while_it_is_made_in_few_events(caller: Caller) -> None:
    loop = asyncio.get_running_loop()
    async with caller.stream(model=f"test/{SLOW}") as answer:
        begun = loop.time()
        heard = await listen(answer, until_length=1)
        first = loop.time() - begun
    whole = await caller.follow(heard.response_id)
    assert first < 0.5
    deltas = [event for event in whole.events if event.name == "response.output_text.delta"]
    assert 3 <= len(deltas) <= 8, "40 chunks within 0.8 s"


async def test_resuming_gives_the_rest_to_the_byte(caller: Caller) -> None:
    """By the parameter, by the header of browsers, in the midst of it, and after it."""
    async with caller.stream(model=f"test/{SLOW}") as answer:
        heard = await listen(answer, until_length=60)
    response_id, position = heard.response_id, heard.last_id
    rest, by_header, whole = await asyncio.gather(
        caller.follow(response_id, position),
        caller.follow(response_id, headers={"Last-Event-ID": str(position)}),
        caller.follow(response_id),
    )
    expected = " ".join(f"word-{number}" for number in range(1, 41))
    assert heard.text + rest.text == whole.text == expected
    assert by_header.events == rest.events
    for after in range(whole.last_id + 1):
        again = await caller.follow(response_id, after)
        assert again.events == whole.events[after:]
    assert (await caller.http.get(f"/responses/{response_id}")).json()["text"] == expected


async def test_hanging_up_loses_nothing(live_app: LiveApp, caller: Caller) -> None:
    async with caller.stream(model=f"test/{SLOW}") as answer:
        heard = await listen(answer, until_length=1)
    row = await live_app.ended(heard.response_id)
    assert row.status == "complete"
    message = await live_app.message(row.message_id)
    assert (message.status, message.content) == ("complete", " ".join(f"word-{number}" for number in range(1, 41)))


async def test_any_worker_follows_and_tells_the_end(caller: Caller, other_worker: LiveApp) -> None:
    response_id = await caller.begin(SLOW)
    async with other_worker.client() as http:
        http.headers.update(caller.http.headers)
        there = Caller(http, caller.owner, caller.conversation_id)
        first, second = await asyncio.gather(there.follow(response_id), there.follow(response_id, 1))
        here = await caller.follow(response_id)
        assert first.events == here.events
        assert second.events == here.events[1:]
        assert first.names[-1] == "completed"


@pytest.mark.parametrize("position", ["-1", "x", "99999999999"])
async def test_a_position_that_is_none_is_refused(caller: Caller, position: str) -> None:
    response_id = (await caller.send()).json()["id"]
    params = {"stream": "true", "starting_after": position}
    assert (await caller.http.get(f"/responses/{response_id}", params=params)).status_code == 422
    headers = {"Last-Event-ID": position}
    refused = await caller.http.get(f"/responses/{response_id}", params={"stream": "true"}, headers=headers)
    assert refused.status_code == 422


async def test_a_position_behind_the_end_gives_nothing(caller: Caller) -> None:
    response_id = (await caller.send()).json()["id"]
    assert (await caller.follow(response_id, 1000)).events == []
    running = await caller.begin(SLOW)
    assert (await caller.follow(running, 1000)).events == []


async def test_a_silent_stream_has_a_heartbeat(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.chat.responses.hub.HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr("app.chat.responses.hub._LOOK_UP_SECONDS", 0.1)
    heard = await caller.hear(model="test/h+first=0.7")
    assert heard.comments >= 2
    assert heard.names[-1] == "completed"


async def test_no_connection_is_held_while_models_talk_and_clients_read(live_app: LiveApp, caller: Caller) -> None:
    """Between the moments in which text is stored nothing is checked out, however many follow."""
    response_id = await caller.begin("c+first=2")
    followers = [Heard() for _ in range(5)]
    following = [asyncio.create_task(caller.follow(response_id, heard=heard)) for heard in followers]
    while not all(heard.events for heard in followers):  # noqa: ASYNC110 - clients have no event to wait for
        await asyncio.sleep(0.01)
    counts = []
    for _ in range(30):
        counts.append(live_app.checked_out())
        await asyncio.sleep(0.01)
    assert counts.count(0) >= 10, counts
    for heard in await asyncio.gather(*following):
        assert heard.names[-1] == "completed"


async def test_deleted_events_are_made_again_from_the_message(
    live_app: LiveApp, caller: Caller, clock: ManualClock
) -> None:
    heard = await caller.hear(model="test/p+words=30+gap=0.01")
    failed = await caller.hear(model="test/p+status=500", parent=heard.events[0].data["message_id"])
    for hours, count in ((23, len(heard.events)), (2, 4)):
        clock.advance(hours=hours)
        await live_app.services.jobs.run_due()
        clock.offset, offset = timedelta(), clock.offset  # tokens would have expired
        assert len((await caller.follow(heard.response_id)).events) == count
        clock.offset = offset
    clock.reset()
    again = await caller.follow(heard.response_id)
    assert (again.text, again.names, again.last_id) == (heard.text, heard.names, heard.last_id)
    assert (again.events[0], again.events[-2:]) == (heard.events[0], heard.events[-2:])
    assert (await caller.follow(failed.response_id)).events == failed.events
    assert (await caller.follow(heard.response_id, heard.last_id)).events == []
    params = {"stream": "true", "starting_after": "2"}
    gone = await caller.http.get(f"/responses/{heard.response_id}", params=params)
    assert (gone.status_code, gone.json()["code"]) == (410, "events_gone")
