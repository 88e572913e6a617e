"""Taking jobs and holding them: dead, slow and overtaken workers, outages, and many workers at once."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from app.jobs import runner as module
from app.jobs.errors import LeaseLostError
from app.jobs.repository import JobRepository
from app.jobs.run import JobRun
from app.jobs.types import JobStatus
from tests.auth.scenarios import in_parallel
from tests.auth.stage import eventually
from tests.jobs.stage import KIND, LEASE, Gate, Stage

SHORT = timedelta(seconds=0.3)


async def test_a_dead_workers_job_is_taken_again_after_its_lease(stage: Stage) -> None:
    """Killed between taking and handling: nobody touches the job before the lease ends, and then the next one does."""
    stage.clock.stop()
    await stage.enqueue(stage.process())
    dead, runner = stage.runner(), stage.runner()
    await stage.take(dead)
    stage.clock.advance(seconds=LEASE.total_seconds() - 0.001)
    assert await runner.take(1) == []
    stage.clock.advance(seconds=0.001)
    job = await stage.take(runner)
    assert job.attempt == 2
    await runner.run(job)
    assert await stage.states() == [JobStatus.DONE]


async def test_a_job_that_kills_its_workers_is_given_up(stage: Stage) -> None:
    """Poison: each attempt counts when it begins, so that even a crash uses it up; the handler sees no fourth one."""
    row = await stage.enqueue(stage.process(max_attempts=3))
    gate = Gate()
    runner = stage.runner(gate)
    for _ in range(3):
        await stage.take(runner)
        stage.clock.advance(seconds=31)
    await runner.run(await stage.take(runner))
    row = await stage.row(row.id)
    assert (row.status, row.attempts, gate.begun) == (JobStatus.DEAD, 3, 0)
    assert row.last_error == "PermanentJobError: its workers died or lost their leases"


@pytest.mark.parametrize("is_done_by_other", [False, True])
async def test_an_overtaken_worker_can_do_nothing_about_the_job(stage: Stage, is_done_by_other: bool) -> None:
    """Its effects are rolled back; it can neither complete nor fail the job nor give it back, done or not."""
    await stage.enqueue(stage.process())
    raised: list[BaseException] = []

    async def stall(run: JobRun) -> None:
        stage.clock.advance(seconds=31)
        job = await stage.take(other)
        if is_done_by_other:
            await other.run(job)
        try:
            await stage.leave_effect(run)
        except LeaseLostError as error:
            raised.append(error)
            raise

    async def succeed(_run: JobRun) -> None:
        """Nothing more to do."""

    async def fail(_run: JobRun) -> None:
        raise ConnectionError("no answer")

    other = stage.runner(stage.leave_effect)
    slow = stage.runner(stall)
    job = await stage.take(slow)
    await slow.run(job)
    assert len(raised) == 1
    for handler in (succeed, fail):
        await stage.runner(handler).run(job)
    giving_back = asyncio.create_task(stage.runner(Gate()).run(job))
    await asyncio.sleep(0.01)
    giving_back.cancel()
    await asyncio.wait([giving_back])
    expected = JobStatus.DONE if is_done_by_other else JobStatus.RUNNING
    assert await stage.states() == [expected]
    assert len(await stage.effects()) == is_done_by_other


async def test_a_stalled_worker_cannot_pass_for_its_later_self(stage: Stage) -> None:
    """The same process takes the same job again: the name of the lease is another one."""
    await stage.enqueue(stage.process())
    runner = stage.runner(stage.leave_effect)
    first = await stage.take(runner)
    stage.clock.advance(seconds=31)
    second = await stage.take(runner)
    await stage.change(second.id, attempts=first.attempt)
    await runner.run(first)
    assert (await stage.states(), await stage.effects()) == ([JobStatus.RUNNING], [])
    await stage.change(second.id, attempts=second.attempt)
    await runner.run(second)
    assert (await stage.states(), len(await stage.effects())) == ([JobStatus.DONE], 1)


async def test_a_long_handler_keeps_its_lease(stage: Stage) -> None:
    stage.clock.stop()
    row = await stage.enqueue(stage.process())
    gate = Gate()
    runner = stage.runner(gate, lease=SHORT)
    running = asyncio.create_task(runner.run(await stage.take(runner)))

    async def is_renewed() -> bool:
        return (await stage.row(row.id)).due_at == stage.clock.now() + SHORT

    for _ in range(4):
        stage.clock.advance(seconds=SHORT.total_seconds() * 0.9)
        await eventually(is_renewed)
        assert await stage.runner().take(1) == []
    gate.is_open.set()
    await running
    assert await stage.states() == [JobStatus.DONE]


async def test_an_overtaken_handler_is_stopped(stage: Stage) -> None:
    row = await stage.enqueue(stage.process())
    gate = Gate()
    runner = stage.runner(gate, lease=SHORT)
    running = asyncio.create_task(runner.run(await stage.take(runner)))
    await gate.entered.wait()
    await stage.change(row.id, lease_owner="another")
    await running
    assert (gate.cancelled, await stage.states()) == (1, [JobStatus.RUNNING])


async def test_a_handler_in_finish_is_left_alone(stage: Stage) -> None:
    """The row is locked: a renewal would wait for the transaction that makes it pointless."""
    await stage.enqueue(stage.process())
    entered = asyncio.Event()

    async def linger(run: JobRun) -> None:
        async with run.finish() as session:
            await stage.add_effect(session, str(run.id))
            entered.set()
            await asyncio.sleep(SHORT.total_seconds())
        await asyncio.sleep(SHORT.total_seconds())

    runner = stage.runner(linger, lease=SHORT)
    await runner.run(await stage.take(runner))
    assert entered.is_set()
    assert (await stage.states(), len(await stage.effects())) == ([JobStatus.DONE], 1)


async def test_a_stopped_job_is_given_back_as_if_it_had_not_been_taken(stage: Stage) -> None:
    stage.clock.stop()
    row = await stage.enqueue(stage.process())
    gate = Gate()
    runner = stage.runner(gate)
    running = asyncio.create_task(runner.run(await stage.take(runner)))
    await gate.entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    row = await stage.row(row.id)
    assert (row.status, row.attempts, row.lease_owner, gate.cancelled) == (JobStatus.QUEUED, 0, None, 1)
    assert row.due_at == stage.clock.now()


async def test_a_job_stopped_after_finish_stays_done(stage: Stage) -> None:
    entered = asyncio.Event()

    async def linger(run: JobRun) -> None:
        await stage.leave_effect(run)
        entered.set()
        await asyncio.Event().wait()

    await stage.enqueue(stage.process())
    runner = stage.runner(linger)
    running = asyncio.create_task(runner.run(await stage.take(runner)))
    await entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await stage.states(), len(await stage.effects())) == ([JobStatus.DONE], 1)


@pytest.mark.parametrize("is_good", [True, False])
async def test_the_outcome_is_noted_after_a_short_outage(
    stage: Stage, is_good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has been done outside is not done twice because the database was away for a moment."""
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.02)

    async def handler(_run: JobRun) -> None:
        if not is_good:
            raise ConnectionError("no answer")

    row = await stage.enqueue(stage.process())
    runner = stage.runner(handler)
    job = await stage.take(runner)
    with stage.outage():
        running = asyncio.create_task(runner.run(job))
        await asyncio.sleep(0.1)
        assert not running.done()
    await running
    row = await stage.row(row.id)
    assert (row.status, row.attempts) == (JobStatus.DONE if is_good else JobStatus.QUEUED, 1)


async def test_an_outage_longer_than_the_lease_costs_an_attempt(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker survives it, and the job is taken again by whoever comes first."""
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.02)
    await stage.enqueue(stage.process())
    runner = stage.runner(lease=SHORT)
    job = await stage.take(runner)
    with stage.outage():
        await runner.run(job)
    assert await stage.states() == [JobStatus.RUNNING]
    stage.clock.advance(seconds=1)
    job = await stage.take(runner)
    assert job.attempt == 2
    await runner.run(job)
    assert await stage.states() == [JobStatus.DONE]


async def test_an_outage_in_mid_job_is_no_reason_to_stop_it(stage: Stage) -> None:
    """Renewals fail, the handler goes on; the fence decides in the end."""
    await stage.enqueue(stage.process())
    gate = Gate()
    runner = stage.runner(gate, lease=SHORT)
    job = await stage.take(runner)
    with stage.outage():
        running = asyncio.create_task(runner.run(job))
        await asyncio.sleep(SHORT.total_seconds())
    gate.is_open.set()
    await running
    assert (gate.cancelled, await stage.states()) == (0, [JobStatus.DONE])


async def test_many_workers_take_each_job_once(stage: Stage) -> None:
    count = 24
    for _ in range(count):
        await stage.enqueue(stage.process())
    runners = [stage.runner(stage.leave_effect) for _ in range(4)]

    async def work(number: int) -> int:
        done = idle = 0
        while idle < 8:
            jobs = await runners[number].take(3)
            for job in jobs:
                await runners[number].run(job)
            done, idle = done + len(jobs), 0 if jobs else idle + 1
            await asyncio.sleep(0 if jobs else 0.01)
        return done

    shares = await in_parallel(work(number) for number in range(4))
    assert sum(shares) == count
    assert await stage.states() == [JobStatus.DONE] * count
    assert len(set(await stage.effects())) == count == len(await stage.effects())


async def test_jobs_that_others_are_just_taking_are_passed_over(stage: Stage) -> None:
    """A worker neither waits for another one's rows nor misses what is left; on SQLite writers take turns."""
    if stage.database.url.backend == "sqlite":
        return
    rows = [await stage.enqueue(stage.process()) for _ in range(3)]
    async with stage.database.session() as session:
        taking = JobRepository(session, stage.clock)
        first = await taking.take({KIND: None}, "another", LEASE, limit=1)
        second = await stage.runner().take(1)
        third = await stage.runner().take(5)
        await session.rollback()
    assert [job.id for job in (*first, *second, *third)] == [row.id for row in rows]
    assert [job.id for job in await stage.runner().take(5)] == [rows[0].id]


async def test_the_longest_due_comes_first(stage: Stage) -> None:
    now = stage.clock.now()
    rows = [await stage.enqueue(stage.process(), run_at=now - timedelta(minutes=n)) for n in (1, 3, 2)]
    jobs = await stage.runner().take(2)
    assert {job.id for job in jobs} == {rows[1].id, rows[2].id}


async def test_what_a_dead_worker_left_comes_before_a_long_queue(stage: Stage) -> None:
    """Its lease has just run out, while others have been due for an hour: it has waited twice already."""
    row = await stage.enqueue(stage.process())
    await stage.take(stage.runner())
    early = stage.clock.now() - timedelta(hours=1)
    for _ in range(3):
        await stage.enqueue(stage.process(), run_at=early)
    stage.clock.advance(seconds=31)
    assert [job.id for job in await stage.runner().take(1)] == [row.id]


async def test_jobs_of_unknown_kinds_are_left_to_others(stage: Stage) -> None:
    """A newer version enqueued them: this one runs what it knows, and the next one finds them as they were."""
    newer = stage.process()
    newer.register("test.newer", stage.leave_effect)
    async with stage.database.session() as session:
        await newer.enqueue(session, "test.newer", {})
        await session.commit()
    await stage.enqueue(stage.process())
    assert [job.kind for job in await stage.runner().take(5)] == [KIND]
    due_at = await stage.runner().next_due()
    assert due_at is not None
    assert due_at > stage.clock.now(), "the taken one's lease"
    assert await stage.states("test.newer") == [JobStatus.QUEUED]
    await newer.run_due()
    assert await stage.states("test.newer") == [JobStatus.DONE]


async def test_takers_that_the_database_calls_deadlocked_try_again(stage: Stage) -> None:
    """Twice; a third failure in a row is no matter of chance any more."""
    await stage.enqueue(stage.process())
    with stage.outage(failures=2):
        assert len(await stage.runner().take(1)) == 1
    await stage.enqueue(stage.process())
    with stage.outage(failures=3), pytest.raises(OperationalError):
        await stage.runner().take(1)
