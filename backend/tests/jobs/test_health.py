"""How the jobs are doing, as operators ask."""

from datetime import timedelta

from app.jobs.types import JobHealth, JobStatus
from tests.jobs.stage import Stage


async def test_what_waits_and_what_died_is_counted(stage: Stage) -> None:
    """Due jobs and leases that have run out, whatever their kind; neither later ones nor those that run or are done."""
    stage.clock.stop()
    jobs = stage.process()
    assert await jobs.health() == JobHealth(due=0, oldest_due_seconds=0.0, dead=0)
    now = stage.clock.now()
    done, dead, running, lost = [await stage.enqueue(jobs) for _ in range(4)]
    await stage.enqueue(jobs, run_at=now + timedelta(hours=1))
    waiting = await stage.enqueue(jobs, run_at=now - timedelta(seconds=90))
    await stage.change(waiting.id, kind="test.of_another_release")
    await stage.change(done.id, status=JobStatus.DONE, due_at=None)
    await stage.change(dead.id, status=JobStatus.DEAD, due_at=None)
    await stage.change(running.id, status=JobStatus.RUNNING, due_at=now + timedelta(seconds=30))
    await stage.change(lost.id, status=JobStatus.RUNNING, due_at=now - timedelta(seconds=5))
    assert await jobs.health() == JobHealth(due=2, oldest_due_seconds=90.0, dead=1)


async def test_whoever_runs_what_is_due_is_told_of_each(stage: Stage) -> None:
    """After every attempt, the failed ones too."""
    told: list[int] = []
    jobs = stage.process()
    for _ in range(3):
        await stage.enqueue(jobs)
    count = await jobs.run_due(lambda: told.append(1))
    assert len(told) == count >= 3
