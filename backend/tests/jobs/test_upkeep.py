"""Periodic jobs, clocks that jump, and rows that go in time."""

from contextlib import nullcontext
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from app.jobs import upkeep
from app.jobs.models import Job
from app.jobs.queue import Jobs
from app.jobs.repository import JobRepository, periodic_key
from app.jobs.run import JobRun
from app.jobs.types import JobStatus
from app.jobs.upkeep import KEEP_DONE, TIDY
from tests.auth.scenarios import in_parallel
from tests.jobs.stage import KIND, LEASE, Gate, Stage, do_nothing

HOUR = timedelta(hours=1)


def periodic(stage: Stage, gate: Gate | None = None, interval: timedelta = HOUR) -> Jobs:
    """A process with a periodic kind, whose handler counts."""
    gate = gate or Gate()
    gate.is_open.set()
    jobs = stage.process(gate, max_attempts=2)
    jobs.every(KIND, interval)
    return jobs


async def the_row(stage: Stage) -> Job:
    """The one row of the periodic kind."""
    (row,) = await stage.rows(Job.kind == KIND)
    assert row.unique_key == periodic_key(KIND)
    return row


async def test_a_periodic_kind_runs_once_an_interval_over_all_processes(stage: Stage) -> None:
    """At once the first time, then not before its time, whoever asks; it leaves no rows behind."""
    stage.clock.stop()
    gate = Gate()
    processes = [periodic(stage, gate) for _ in range(3)]
    for hours, count in ((0, 1), (0, 1), (0.99, 1), (0.01, 2), (0.5, 2), (0.5, 3)):
        stage.clock.advance(hours=hours)
        await in_parallel(jobs.run_due() for jobs in processes)
        assert gate.begun == count
        row = await the_row(stage)
        assert (row.status, row.attempts, row.last_error) == (JobStatus.QUEUED, 0, None)
        assert row.finished_at is not None


async def test_missed_times_are_not_made_up_for(stage: Stage) -> None:
    stage.clock.stop()
    gate = Gate()
    jobs = periodic(stage, gate)
    await jobs.run_due()
    stage.clock.advance(days=3)
    await jobs.run_due()
    assert gate.begun == 2
    assert (await the_row(stage)).due_at == stage.clock.now() + HOUR


async def test_a_run_longer_than_the_interval_is_followed_by_the_next(stage: Stage) -> None:
    stage.clock.stop()

    async def dawdle(_run: JobRun) -> None:
        stage.clock.advance(hours=1.5)

    jobs = stage.process(dawdle)
    jobs.every(KIND, HOUR)
    await stage.process().run_due()
    await jobs._upkeep.keep_schedule()
    (job,) = await jobs._runner.take(1)
    await jobs._runner.run(job)
    assert (await the_row(stage)).due_at == stage.clock.now()


async def test_a_failing_periodic_kind_is_never_dead(stage: Stage) -> None:
    """Its attempts used up, or hopeless this time, it waits for its next time, with its last error to be seen."""
    stage.clock.stop()

    async def fail(_run: JobRun) -> None:
        raise ConnectionError("no answer")

    jobs = stage.process(fail, max_attempts=2)
    jobs.every(KIND, HOUR)
    await jobs.run_due()
    row = await the_row(stage)
    assert (row.status, row.attempts) == (JobStatus.QUEUED, 1)
    stage.clock.advance(seconds=2)
    await jobs.run_due()
    row = await the_row(stage)
    assert (row.status, row.attempts, row.last_error) == (JobStatus.QUEUED, 0, "ConnectionError: no answer")
    assert row.due_at == stage.clock.now() + HOUR


async def test_a_shorter_interval_holds_at_once(stage: Stage) -> None:
    """A new version asks for it more often: the time that the old one set is brought forward."""
    stage.clock.stop()
    await periodic(stage).run_due()
    await periodic(stage, interval=timedelta(minutes=5)).run_due()
    assert (await the_row(stage)).due_at == stage.clock.now() + timedelta(minutes=5)


async def test_a_kind_that_is_no_longer_periodic_runs_once_more(stage: Stage) -> None:
    await periodic(stage).run_due()
    stage.clock.advance(hours=2)
    await stage.process().run_due()
    assert (await the_row(stage)).status is JobStatus.DONE


async def test_jobs_of_a_periodic_kind_can_be_asked_for_too(stage: Stage) -> None:
    gate = Gate()
    jobs = periodic(stage, gate)
    await jobs.run_due()
    row = await stage.enqueue(jobs)
    await jobs.run_due()
    assert (gate.begun, (await stage.row(row.id)).status) == (2, JobStatus.DONE)


async def test_a_clock_that_was_ahead_leaves_nothing_stuck(stage: Stage) -> None:
    """A day ahead for a moment, and right again: periodic kinds and a dead worker's lease wait no day."""
    stage.clock.stop()
    jobs = periodic(stage)
    runner = stage.runner()
    stage.clock.advance(days=1)
    await jobs.run_due()
    await stage.enqueue(jobs)
    await stage.take(runner)
    stage.clock.advance(days=-1)
    await jobs.run_due()
    rows = {row.kind if row.unique_key else "one-off": row for row in await stage.rows()}
    assert rows[KIND].due_at == stage.clock.now() + HOUR
    assert rows["one-off"].due_at == stage.clock.now() + LEASE
    stage.clock.advance(seconds=LEASE.total_seconds())
    await jobs.run_due()
    assert JobStatus.RUNNING not in await stage.states()


async def test_a_clock_ahead_takes_jobs_early_but_not_twice(stage: Stage) -> None:
    """A host whose clock jumps takes a running job over; the overtaken worker's effects are undone."""
    await stage.enqueue(stage.process())
    slow, fast = stage.runner(stage.leave_effect), stage.runner(stage.leave_effect)
    first = await stage.take(slow)
    stage.clock.advance(minutes=10)
    second = await stage.take(fast)
    stage.clock.advance(minutes=-10)
    await slow.run(first)
    assert await stage.effects() == []
    await fast.run(second)
    assert len(await stage.effects()) == 1


async def test_all_is_well_means_reading_only(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = periodic(stage)
    await jobs.run_due()

    def refuse() -> None:
        raise AssertionError("a writing session was opened")

    monkeypatch.setattr(stage.database, "session", refuse)
    await jobs._upkeep.keep_schedule()


async def test_done_jobs_go_after_some_days_and_dead_ones_stay(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """In portions, so that no statement takes long; a job that was done late stays although it was made early."""
    monkeypatch.setattr(upkeep, "_DELETED_AT_ONCE", 2)
    jobs = stage.process()
    early = [await stage.enqueue(jobs, unique_key=f"{n}") for n in range(5)]
    dead = await stage.enqueue(jobs)
    late = await stage.enqueue(jobs, run_at=stage.clock.now() + KEEP_DONE)
    await stage.change(dead.id, status=JobStatus.DEAD, due_at=None, finished_at=stage.clock.now())
    await jobs.run_due()
    assert len(await stage.rows(Job.kind == KIND)) == 7
    stage.clock.advance(seconds=KEEP_DONE.total_seconds() + 1)
    await jobs.run_due()
    assert [row.id for row in await stage.rows(Job.kind == KIND)] == [dead.id, late.id]
    assert (await stage.row(late.id)).status is JobStatus.DONE
    await stage.enqueue(jobs, unique_key="0")
    assert len(early) == 5


async def test_kinds_that_nobody_knows_are_shown_and_periodic_ones_forgotten(stage: Stage) -> None:
    """The admin sees why a job waits; a periodic kind that a release dropped is gone after a month."""
    newer = stage.process()
    newer.register("test.newer", Gate())
    newer.every("test.newer", HOUR)
    newer.register("test.once", Gate())
    await newer._upkeep.keep_schedule()
    async with stage.database.session() as session:
        await newer.enqueue(session, "test.once", {})
        await session.commit()
    jobs = stage.process()
    with capture_logs() as lines:
        for minutes in (0, 11):
            stage.clock.advance(minutes=minutes)
            await jobs.run_due()
    assert [line["count"] for line in lines if line["event"] == "jobs of unknown kinds wait"] == [2]
    unknown = [row for row in await stage.rows() if row.kind in {"test.newer", "test.once"}]
    assert [(row.status, row.last_error) for row in unknown] == [
        (JobStatus.QUEUED, "no worker knows this kind of job")
    ] * 2
    stage.clock.advance(days=31)
    await jobs.run_due()
    assert {row.kind for row in await stage.rows()} == {"test.once", TIDY}


async def test_workers_that_start_together_add_each_periodic_row_once(stage: Stage) -> None:
    """Also where such rows were deleted just before, which InnoDB may call a deadlock."""
    processes = [periodic(stage) for _ in range(4)]
    for jobs in processes:
        for n in range(6):
            jobs.register(f"test.every.{n}", do_nothing)
            jobs.every(f"test.every.{n}", HOUR)
    kinds = {KIND, TIDY, *(f"test.every.{n}" for n in range(6))}
    for _ in range(10):
        await in_parallel(jobs._upkeep.keep_schedule() for jobs in processes)
        rows = await stage.rows()
        assert sorted(row.kind for row in rows) == sorted(kinds)
        async with stage.database.session() as session:
            await JobRepository(session, stage.clock).delete_where(Job.kind.in_(kinds))
            await session.commit()


async def test_another_worker_may_keep_the_schedule(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one whose transaction is undone as a deadlock leaves it at that; other failures are told."""
    jobs = periodic(stage)
    for code, is_told in ((1213, False), (1205, True)):
        failure = OperationalError("INSERT", {}, Exception(code))

        async def fail(_self: JobRepository, _job: Job, failure: OperationalError = failure) -> bool:
            raise failure

        monkeypatch.setattr(JobRepository, "add_unless_known", fail)
        with pytest.raises(OperationalError) if is_told else nullcontext():
            await jobs._upkeep.keep_schedule()
        assert await stage.rows() == []
