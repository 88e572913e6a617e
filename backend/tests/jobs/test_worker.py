"""The loop within a server: quick to hear, never more at once than it may, patient at the end, and hard to stop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from app.jobs import worker as module
from app.jobs.queue import Jobs
from app.jobs.types import JobStatus
from tests.auth.stage import eventually
from tests.jobs.stage import KIND, Gate, Stage


@asynccontextmanager
async def working(jobs: Jobs, workers: int = 2) -> AsyncIterator[None]:
    """The workers of a process around the block."""
    await jobs.start(workers)
    try:
        yield
    finally:
        await jobs.close()


def are(stage: Stage, *states: JobStatus) -> Callable[[], Awaitable[bool]]:
    """The condition that the jobs have come so far."""

    async def hold() -> bool:
        return await stage.states() == list(states)

    return hold


async def test_it_hears_at_once_of_what_its_own_process_enqueues(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the commit and without waiting for a poll."""
    monkeypatch.setattr(module, "_POLL_SECONDS", 600.0)
    gate = Gate()
    gate.is_open.set()
    jobs = stage.process(gate)
    async with working(jobs):
        for _ in range(3):
            gate.entered.clear()
            await stage.enqueue(jobs)
            await asyncio.wait_for(gate.entered.wait(), 10)
        await eventually(are(stage, *[JobStatus.DONE] * 3))


async def test_it_finds_what_others_enqueue(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """By asking once in a while, and at the moment for which it knows a job."""
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.05)
    async with working(stage.process()):
        await stage.enqueue(stage.process())
        await stage.enqueue(stage.process(), run_at=stage.clock.now() + timedelta(seconds=0.12))
        await eventually(are(stage, JobStatus.DONE, JobStatus.DONE))


def test_it_asks_at_least_once_a_second() -> None:
    assert module._POLL_SECONDS <= 1


async def test_it_runs_no_more_at_once_than_it_may(stage: Stage) -> None:
    gate = Gate()
    jobs = stage.process(gate)
    for _ in range(5):
        await stage.enqueue(jobs)
    async with working(jobs, 2):
        await eventually(are(stage, *[JobStatus.RUNNING] * 2, *[JobStatus.QUEUED] * 3))
        await jobs._worker.wake()
        await asyncio.sleep(0.05)
        assert gate.begun == 2
        gate.is_open.set()
        await eventually(are(stage, *[JobStatus.DONE] * 5))
    assert gate.most == 2


async def test_no_workers_take_no_jobs(stage: Stage) -> None:
    """JOB_WORKERS=0: they are left to others; closing what was never started is no fault."""
    jobs = stage.process()
    await jobs.start()
    await stage.enqueue(jobs)
    await asyncio.sleep(0.05)
    await jobs.close()
    await jobs.close()
    assert await stage.states() == [JobStatus.QUEUED]


async def test_a_graceful_end_waits_for_what_runs(stage: Stage) -> None:
    gate = Gate()
    jobs = stage.process(gate)
    await stage.enqueue(jobs)
    await jobs.start(2)
    await gate.entered.wait()
    closing = asyncio.create_task(jobs.close())
    await asyncio.sleep(0.02)
    await stage.enqueue(jobs)
    assert not closing.done()
    gate.is_open.set()
    await closing
    assert await stage.states() == [JobStatus.DONE, JobStatus.QUEUED]


async def test_what_does_not_end_in_time_is_given_back(stage: Stage) -> None:
    """Another worker begins it at once, and no attempt is lost."""
    gate = Gate()
    jobs = stage.process(gate)
    row = await stage.enqueue(jobs)
    await jobs.start(2)
    await gate.entered.wait()
    await jobs.close(patience_seconds=0.01)
    row = await stage.row(row.id)
    assert (row.status, row.attempts, gate.cancelled) == (JobStatus.QUEUED, 0, 1)
    await stage.process().run_due()
    assert await stage.states() == [JobStatus.DONE]


async def test_it_survives_an_outage(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.02)
    jobs = stage.process()
    await stage.enqueue(jobs)
    with stage.outage():
        await jobs.start(2)
        await asyncio.sleep(0.1)
    await eventually(are(stage, JobStatus.DONE))
    await jobs.close()


async def test_an_idle_worker_only_reads(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read a look, and never a writing transaction: on SQLite that would hold up everyone's writes."""
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.02)
    jobs = stage.process()
    await jobs.run_due()
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    def refuse() -> None:
        raise AssertionError("a writing session was opened")

    monkeypatch.setattr(stage.database, "session", refuse)
    reader = stage.database.reader.sync_engine
    event.listen(reader, "before_cursor_execute", note)
    try:
        async with working(jobs):
            await asyncio.sleep(0.2)
    finally:
        event.remove(reader, "before_cursor_execute", note)
    assert len([one for one in statements if "due_at" in one]) >= 3
    assert {one.split()[0] for one in statements} == {"SELECT"}


async def test_one_that_comes_too_late_does_not_spin(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that another worker is just taking is due, and yet cannot be taken: it looks again after a moment."""
    jobs = stage.process()
    await jobs.run_due()
    await stage.enqueue(jobs)
    looks = 0

    async def take(_limit: int) -> list[Any]:
        nonlocal looks
        looks += 1
        return []

    monkeypatch.setattr(jobs._runner, "take", take)
    async with working(jobs):
        await asyncio.sleep(0.25)
    assert 1 <= looks <= 3


async def test_the_schedule_is_kept_while_it_works(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A periodic kind whose row someone deleted comes back by itself."""
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "_UPKEEP_SECONDS", 0.05)
    jobs = stage.process()
    jobs.every(KIND, timedelta(hours=1))

    async def has_run() -> bool:
        return [row.finished_at is not None for row in await stage.rows() if row.kind == KIND] == [True]

    async with working(jobs):
        await eventually(has_run)
        for row in await stage.rows():
            await stage.delete(row.id)
        await eventually(has_run)
