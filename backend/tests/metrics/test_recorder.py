"""Recording: nothing is written while somebody waits, everything is written once, and memory has its bounds."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import event

from app.core.logging import request_id_var
from app.core.observations import Observation
from app.main import Services
from app.metrics.recorder import MAX_FAILURES_A_MINUTE, MAX_SERIES, MAX_SERIES_PER_OPERATION
from app.metrics.types import OTHER, Resolution
from tests.auth.stage import eventually
from tests.conftest import AppFactory, client_of
from tests.metrics.stage import Recorded, seen
from tests.support import ManualClock


async def test_an_observation_is_in_its_minute_and_in_the_sum_of_its_family(recorded: Recorded) -> None:
    process = recorded.process()
    for ms in (1.0, 2.0, 3.0):
        process.observe(seen("job.first", ms))
    process.observe(seen("job.second", 10.0, failed="TimeoutError"))
    await process.flush()
    (first,), (family,) = await recorded.rollups("job.first"), await recorded.rollups("job")
    assert (first.aggregate.count, first.aggregate.sum_ms, first.aggregate.errors) == (3, 6.0, 0)
    assert (first.aggregate.min_ms, first.aggregate.max_ms) == (1.0, 3.0)
    assert first.resolution is Resolution.MINUTE
    assert (family.aggregate.count, family.aggregate.errors, family.aggregate.max_ms) == (4, 1, 10.0)


async def test_the_order_of_dimensions_makes_no_other_series(recorded: Recorded) -> None:
    process = recorded.process()
    process.observe(seen(model="echo", provider="merit"))
    process.observe(seen(provider="merit", model="echo"))
    await process.flush()
    (found,) = await recorded.rollups("job.test")
    assert found.aggregate.count == 2


async def test_flushing_again_adds_nothing(recorded: Recorded) -> None:
    """A row holds all that its process has seen in a minute, so that writing it twice changes nothing."""
    process = recorded.process()
    for _ in range(3):
        process.observe(seen())
        await process.flush()
        await process.flush()
    (found,) = await recorded.rollups("job.test")
    assert found.aggregate.count == 3


async def test_a_flush_whose_answer_is_lost_counts_once(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Committed, but nobody was told: the next flush writes the same rows again."""
    process = recorded.process()
    process.observe(seen())
    monkeypatch.setattr(recorded.services.database.failpoints, "hit", lose_the_answer)
    with pytest.raises(ConnectionError):
        await process.flush()
    monkeypatch.undo()
    process.observe(seen())
    await process.flush()
    (found,) = await recorded.rollups("job.test")
    assert found.aggregate.count == 2


def lose_the_answer(name: str) -> None:
    """Fail right after a commit."""
    if name == "after_commit":
        raise ConnectionError


async def test_processes_do_not_overwrite_each_other(recorded: Recorded) -> None:
    processes = [recorded.process() for _ in range(3)]
    for process in processes:
        process.observe(seen())
    await asyncio.gather(*(process.flush() for process in processes))
    assert [found.aggregate.count for found in await recorded.rollups("job.test")] == [1, 1, 1]


async def test_a_clock_that_is_set_back_loses_nothing(recorded: Recorded, clock: ManualClock) -> None:
    process = recorded.process()
    process.observe(seen())
    clock.advance(minutes=2)
    process.observe(seen())
    await process.flush()
    clock.advance(minutes=-2)
    process.observe(seen())
    await process.flush()
    assert sum(found.aggregate.count for found in await recorded.rollups("job.test")) == 3


async def test_what_cannot_be_written_for_ten_minutes_is_dropped_and_counted(
    recorded: Recorded, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later it could not be told from what has been folded already."""
    process = recorded.process()
    for _ in range(5):
        process.observe(seen())
    clock.advance(minutes=1)
    process.observe(seen())
    clock.advance(minutes=9, microseconds=1)
    await process._flush_or_log()
    clock.advance(minutes=2)
    process.observe(seen())
    await process.flush()
    assert process.dropped == 5
    assert [found.aggregate.count for found in await recorded.rollups("job.test")] == [1, 1]


async def test_a_minute_in_which_nothing_happens_is_forgotten_when_written(
    recorded: Recorded, clock: ManualClock
) -> None:
    process = recorded.process()
    process.observe(seen())
    await process.flush()
    clock.advance(minutes=12)
    await process.flush()
    assert process.dropped == 0
    assert process._minutes == []


async def test_failures_and_the_slowest_are_kept_as_events(recorded: Recorded, clock: ManualClock) -> None:
    process = recorded.process()
    token = request_id_var.set("trace-1")
    for ms in (1.0, 9.0, 4.0):
        process.observe(seen(ms=ms, model="echo"))
    for _ in range(MAX_FAILURES_A_MINUTE + 5):
        process.observe(seen(ms=2.0, failed="TimeoutError"))
    request_id_var.reset(token)
    await process.flush()
    assert len(await recorded.events("job.test")) == MAX_FAILURES_A_MINUTE
    clock.advance(minutes=1)
    await process.flush()
    await process.flush()
    *failures, slowest = await recorded.events("job.test")
    assert {row["error_class"] for row in failures} == {"TimeoutError"}
    assert (slowest["duration_ms"], slowest["success"], slowest["trace_id"]) == (9.0, True, "trace-1")
    assert slowest["extra_data"] == {"model": "echo"}


async def test_amounts_are_counted_by_themselves(recorded: Recorded) -> None:
    process = recorded.process()
    amounts = {"tokens.prompt": 120.0, "tokens.completion": 30.0}
    process.observe(Observation("llm.chat", 900.0, dimensions={"model": "echo"}, amounts=amounts))
    await process.flush()
    (prompt,), (family,) = await recorded.rollups("tokens.prompt"), await recorded.rollups("llm")
    assert (prompt.aggregate.sum_ms, prompt.series.dimensions) == (120.0, (("model", "echo"),))
    assert (family.aggregate.count, family.aggregate.sum_ms) == (1, 900.0)


async def test_memory_has_bounds(recorded: Recorded) -> None:
    """Names and dimensions beyond them are counted together; nothing is lost from the sums."""
    process = recorded.process()
    for number in range(MAX_SERIES_PER_OPERATION + 10):
        process.observe(seen("job.wide", caller=str(number)))
    for number in range(MAX_SERIES):
        process.observe(seen(f"job.n{number}", failed="x"))
    await process.flush()
    wide = {found.series.dimensions: found.aggregate.count for found in await recorded.rollups("job.wide")}
    assert len(wide) == MAX_SERIES_PER_OPERATION + 1
    assert wide[(OTHER, OTHER),] == 10
    (rest,) = await recorded.rollups(OTHER)
    assert rest.aggregate.count > MAX_SERIES // 4
    minute = process._minutes[0]
    assert len(minute.aggregates) <= MAX_SERIES + 2
    assert len(minute.keys) <= MAX_SERIES


async def test_series_have_a_bound_too(recorded: Recorded) -> None:
    process = recorded.process()
    for number in range(MAX_SERIES):
        process.observe(seen(f"job.n{number % 100}", caller=str(number // 100), kind=str(number)))
    assert len(process._minutes[0].aggregates) <= MAX_SERIES + 101


@pytest.mark.parametrize(
    "observation",
    [
        seen("job." + "x" * 500),
        seen("job.\x00\ud800bad"),
        seen("", failed="\x00" + "y" * 500),
        Observation("job.dims", 1.0, dimensions={f"d{n}": "v" * 500 for n in range(20)}),
        *(seen(ms=ms) for ms in (float("nan"), float("inf"), -1.0, 1e300)),
    ],
    ids=["long", "unsafe", "empty", "dimensions", "nan", "inf", "negative", "huge"],
)
async def test_whatever_is_observed_can_be_written(recorded: Recorded, observation: Observation) -> None:
    process = recorded.process()
    process.observe(observation)
    await process.flush(is_last=True)
    assert process._events == []


async def test_an_outage_is_survived(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is raised at anybody, and what waited is written later, single events too."""
    process = recorded.process()
    process.observe(seen(failed="x"))

    def refuse() -> Any:
        raise OSError("away")

    monkeypatch.setattr(recorded.services.database, "session", refuse)
    await process._flush_or_log()
    monkeypatch.undo()
    await process.flush()
    assert [found.aggregate.count for found in await recorded.rollups("job.test")] == [1]
    assert len(await recorded.events("job.test")) == 1


async def test_it_writes_by_itself_and_at_the_end(recorded: Recorded) -> None:
    process = recorded.process(flush_seconds=0.01)
    await process.start()
    process.observe(seen())

    async def is_written() -> bool:
        return bool(await recorded.rollups("job.test"))

    await eventually(is_written)
    process.observe(seen())
    await process.close()
    (found,) = await recorded.rollups("job.test")
    assert found.aggregate.count == 2


async def test_with_no_interval_it_never_writes(recorded: Recorded) -> None:
    process = recorded.process()
    await process.start()
    process.observe(seen())
    await process.close()
    assert await recorded.rollups("job.test") == []


async def test_every_request_and_every_job_is_recorded(
    make_app: AppFactory, clock: ManualClock, recorded: Recorded
) -> None:
    """By the name of the operation and the class of the status; a path that is none has one name for all."""
    async with make_app() as app, client_of(app) as client:
        services: Services = app.state.merit
        clock.stop()
        await client.get("/health/live")
        await client.get("/api/v1/users/me")
        for path in ("/nonsense", "/api/v1/nothing/else"):
            await client.get(path)
        await services.jobs.run_due()
        await services.metrics.flush()
    live, me = await recorded.rollups("http.live"), await recorded.rollups("http.get_me")
    assert live[0].series.dimensions == (("status", "2xx"),)
    assert me[0].series.dimensions == (("status", "4xx"),)
    assert me[0].aggregate.errors == 0
    (unmatched,) = await recorded.rollups("http.unmatched")
    assert unmatched.aggregate.count == 2
    assert (await recorded.rollups("job.metrics.fold"))[0].aggregate.count == 1
    assert (await recorded.rollups("job.metrics.prune"))[0].aggregate.errors == 0


async def test_looking_for_jobs_is_no_job(recorded: Recorded, services: Services) -> None:
    """Workers ask every second; that must not become rows."""
    before = [minute.aggregates.keys() for minute in services.metrics._minutes]
    await services.jobs._runner.next_due()
    assert await services.jobs._runner.take(0) == []
    assert [minute.aggregates.keys() for minute in services.metrics._minutes] == before


async def test_a_request_waits_for_no_statement_of_metrics(services: Services, clock: ManualClock, app: Any) -> None:
    """Ten requests that need no database send no statement."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engines = {services.database.writer.sync_engine, services.database.reader.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        async with client_of(app) as client:
            for _ in range(10):
                assert (await client.get("/health/live")).status_code == 200
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
    assert statements == []
