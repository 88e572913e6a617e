"""Carrying jobs out: effects that happen once, retries, dead letters, and handlers of all sorts."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from app.core.errors import ServiceUnavailableError
from app.core.ids import new_id
from app.db.failpoints import Failpoints
from app.jobs import runner as module
from app.jobs.errors import MAX_ERROR_LENGTH, PermanentJobError, describe
from app.jobs.run import JobRun
from app.jobs.runner import pause_after
from app.jobs.types import JobStatus, TakenJob
from tests.jobs.stage import KIND, Gate, Stage

SHORT = timedelta(seconds=0.3)
SOME_ID = "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"


async def test_what_happens_in_finish_happens_with_the_end_of_the_job(stage: Stage) -> None:
    """The effect and the mark are one commit; a second `finish` of the same job undoes what it did."""

    async def twice(run: JobRun) -> None:
        await stage.leave_effect(run)
        await stage.leave_effect(run)

    row = await stage.enqueue(stage.process())
    runner = stage.runner(twice)
    await runner.run(await stage.take(runner))
    assert (await stage.states(), await stage.effects()) == ([JobStatus.DONE], [str(row.id)])


async def test_a_failure_within_finish_undoes_effect_and_end(stage: Stage) -> None:
    async def fail(run: JobRun) -> None:
        async with run.finish() as session:
            await stage.add_effect(session, str(run.id))
            raise ConnectionError("half way")

    row = await stage.enqueue(stage.process())
    runner = stage.runner(fail)
    await runner.run(await stage.take(runner))
    row = await stage.row(row.id)
    assert (row.status, row.last_error, await stage.effects()) == (JobStatus.QUEUED, "ConnectionError: half way", [])


async def test_a_failure_after_finish_changes_nothing_any_more(stage: Stage) -> None:
    async def fail(run: JobRun) -> None:
        await stage.leave_effect(run)
        raise ConnectionError("too late")

    row = await stage.enqueue(stage.process())
    runner = stage.runner(fail)
    await runner.run(await stage.take(runner))
    row = await stage.row(row.id)
    assert (row.status, row.last_error, await stage.effects()) == (JobStatus.DONE, None, [str(row.id)])


async def test_failures_are_retried_ever_later_and_then_given_up(stage: Stage) -> None:
    async def fail(run: JobRun) -> None:
        raise ConnectionError(f"attempt {run.attempt}")

    stage.clock.stop()
    row = await stage.enqueue(stage.process(max_attempts=3))
    runner = stage.runner(fail)
    for attempt, longest in ((1, 2), (2, 4)):
        await runner.run(await stage.take(runner))
        row = await stage.row(row.id)
        assert (row.status, row.attempts, row.lease_owner) == (JobStatus.QUEUED, attempt, None)
        assert row.last_error == f"ConnectionError: attempt {attempt}"
        assert row.due_at is not None
        assert longest / 2 <= (row.due_at - stage.clock.now()).total_seconds() <= longest
        assert await runner.take(1) == []
        stage.clock.advance(seconds=longest)
    await runner.run(await stage.take(runner))
    row = await stage.row(row.id)
    assert (row.status, row.attempts, row.due_at) == (JobStatus.DEAD, 3, None)
    assert (row.last_error, row.finished_at) == ("ConnectionError: attempt 3", stage.clock.now())
    stage.clock.advance(days=1)
    assert await runner.take(1) == []


async def test_what_can_never_succeed_is_given_up_at_once(stage: Stage) -> None:
    async def fail(_run: JobRun) -> None:
        raise PermanentJobError("no such mailbox")

    row = await stage.enqueue(stage.process())
    runner = stage.runner(fail)
    await runner.run(await stage.take(runner))
    row = await stage.row(row.id)
    assert (row.status, row.attempts) == (JobStatus.DEAD, 1)
    assert row.last_error == "PermanentJobError: no such mailbox"


def taken(attempt: int, interval: timedelta | None = None) -> TakenJob:
    """A job at this attempt."""
    return TakenJob(new_id(), KIND, {}, attempt, 99, "lease", datetime(2026, 1, 1, tzinfo=UTC), interval)


def test_pauses_double_up_to_an_hour_and_differ_by_chance() -> None:
    for attempt, longest in ((1, 2), (5, 32), (12, 3600), (90, 3600)):
        pauses = [pause_after(taken(attempt)).total_seconds() for _ in range(50)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
    assert pause_after(taken(9, timedelta(seconds=5))).total_seconds() <= 5, "a periodic kind has its next time"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError(), "ValueError"),
        (ValueError("a\nb\x00\ud800c"), "ValueError: a bc"),
        (OperationalError("INSERT", {"p": "x"}, ValueError("Key (email)=(a@b.c)")), "OperationalError (ValueError)"),
        (ValueError("https://u:p@example.com/x?token=abc no"), "ValueError: https://[...]example.com/x[...] no"),
        (ValueError(f"token {'aB3-' * 12}!"), "ValueError: token [...]!"),
        (ValueError(f"job {SOME_ID}"), f"ValueError: job {SOME_ID}"),
    ],
)  # fmt: skip
def test_a_failure_is_told_without_secrets(error: Exception, expected: str) -> None:
    assert describe(error) == expected


async def test_a_failure_of_any_length_can_be_noted(stage: Stage) -> None:
    async def fail(_run: JobRun) -> None:
        raise ValueError("é \U0001f600 " * 10_000)

    row = await stage.enqueue(stage.process())
    runner = stage.runner(fail)
    await runner.run(await stage.take(runner))
    assert len((await stage.row(row.id)).last_error or "") == MAX_ERROR_LENGTH


async def test_a_handler_that_takes_too_long_is_stopped_and_tried_again(stage: Stage) -> None:
    row = await stage.enqueue(stage.process())
    gate = Gate()
    runner = stage.runner(gate, lease=SHORT, timeout=timedelta(seconds=0.05))
    await runner.run(await stage.take(runner))
    row = await stage.row(row.id)
    assert (row.status, gate.cancelled) == (JobStatus.QUEUED, 1)
    assert row.last_error == "TimeoutError: took longer than 0.05 s"


async def test_a_handler_that_will_not_stop_is_left_behind(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.01)
    is_over = asyncio.Event()

    async def refuse(run: JobRun) -> None:
        while not is_over.is_set():
            try:
                await is_over.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError("nobody hears this")

    row = await stage.enqueue(stage.process())
    runner = stage.runner(refuse, lease=SHORT, timeout=timedelta(seconds=0.05))
    await runner.run(await stage.take(runner))
    assert (await stage.row(row.id)).status is JobStatus.QUEUED
    is_over.set()
    await asyncio.sleep(0)


async def test_a_handler_can_end_in_any_way(stage: Stage) -> None:
    """Cancelled by itself, or no coroutine at all: an attempt failed, and the worker goes on."""

    async def cancel(_run: JobRun) -> None:
        raise asyncio.CancelledError

    def plain(_run: JobRun) -> None:
        return None

    row = await stage.enqueue(stage.process())
    for handler, error in ((cancel, "RuntimeError: the handler cancelled itself"), (plain, "TypeError: ")):
        runner = stage.runner(handler)  # type: ignore[arg-type] # that is the mistake
        await runner.run(await stage.take(runner))
        row = await stage.row(row.id)
        assert row.status is JobStatus.QUEUED
        assert (row.last_error or "").startswith(error)
        stage.clock.advance(seconds=60)


@pytest.mark.parametrize("place", ["job_taken", "job_handled", "before_commit"])
async def test_a_failure_at_any_step_is_an_attempt(stage: Stage, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between taking and handling, between handling and noting, right before the commit: the next attempt succeeds."""
    row = await stage.enqueue(stage.process())
    runner = stage.runner(stage.leave_effect if place == "before_commit" else None)
    job = await stage.take(runner)
    monkeypatch.setattr(stage.database, "failpoints", Failpoints(f"{place}:error:1"))
    await runner.run(job)
    row = await stage.row(row.id)
    assert (row.status, row.last_error) == (JobStatus.QUEUED, f"ServiceUnavailableError: failpoint {place}")
    assert ServiceUnavailableError.status_code == 503
    stage.clock.advance(seconds=60)
    await runner.run(await stage.take(runner))
    assert await stage.states() == [JobStatus.DONE]
