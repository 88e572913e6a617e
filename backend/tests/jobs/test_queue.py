"""Asking for jobs: in the caller's transaction, once a key, and only what every database can hold."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from app.jobs.models import MAX_KIND_LENGTH, MAX_UNIQUE_KEY_LENGTH
from app.jobs.queue import MAX_PAYLOAD_BYTES
from app.jobs.run import JobRun
from app.jobs.types import JobHealth, JobStatus
from tests.auth.scenarios import in_parallel
from tests.jobs.stage import KIND, Stage, do_nothing
from tests.statements import recorded_sql

NASTY = {"ё": "\U0001f600 \u2028", "deep": [{"none": None, "big": 2**53 + 1, "float": 0.1}], "empty": {}, "": ""}


async def test_a_job_gets_what_was_enqueued(stage: Stage) -> None:
    seen: list[tuple[int, str, dict[str, Any]]] = []

    async def handler(run: JobRun) -> None:
        seen.append((run.attempt, run.kind, dict(run.payload)))

    stage.clock.stop()
    jobs = stage.process(handler)
    row = await stage.enqueue(jobs, NASTY)
    assert (row.status, row.attempts, row.created_at) == (JobStatus.QUEUED, 0, row.due_at)
    await jobs.run_due()
    assert seen == [(1, KIND, NASTY)]
    row = await stage.row(row.id)
    assert (row.status, row.attempts, row.due_at, row.lease_owner) == (JobStatus.DONE, 1, None, None)
    assert row.finished_at is not None


async def test_a_job_stands_exactly_when_its_transaction_does(stage: Stage) -> None:
    """Enqueued and rolled back, it never was; before the commit nobody sees it."""
    jobs = stage.process()
    async with stage.database.session() as session:
        await jobs.enqueue(session, KIND, {})
        if stage.database.url.backend != "sqlite":  # its writing lane is taken by this very transaction
            assert await stage.process().run_due() == 1, "only the upkeep is due"
        await session.rollback()
    assert await stage.states() == []
    async with stage.database.session() as session:
        await jobs.enqueue(session, KIND, {})
        await session.commit()
    await stage.process().run_due()
    assert await stage.states() == [JobStatus.DONE]


async def test_a_read_session_cannot_enqueue(stage: Stage) -> None:
    async with stage.database.read_session() as session:
        with pytest.raises(RuntimeError, match="cannot write"):
            await stage.process().enqueue(session, KIND, {})
        with pytest.raises(RuntimeError, match="cannot write"):
            await stage.process().enqueue(session, KIND, {}, unique_key="a")


async def test_a_key_is_used_once(stage: Stage) -> None:
    """The second asker gets None and no job, also after the first one's was done; without a key there is no limit."""
    jobs = stage.process()
    await stage.enqueue(jobs, unique_key="a")
    for _ in range(2):
        async with stage.database.session() as session:
            assert await jobs.enqueue(session, KIND, {}, unique_key="a") is None
            await session.commit()
        await jobs.run_due()
    await stage.enqueue(jobs, unique_key="b")
    for _ in range(2):
        await stage.enqueue(jobs)
    await jobs.run_due()
    assert await stage.states() == [JobStatus.DONE] * 4


async def test_askers_of_one_key_at_once_make_one_job(stage: Stage) -> None:
    """Races end on the constraint, and nobody's transaction fails for it."""
    jobs = stage.process()

    async def ask() -> bool:
        async with stage.database.session() as session:
            job_id = await jobs.enqueue(session, KIND, {}, unique_key="a")
            await session.commit()
        return job_id is not None

    assert sum(await in_parallel(ask() for _ in range(8))) == 1
    assert len(await stage.states()) == 1


async def test_a_later_time_is_waited_for(stage: Stage) -> None:
    stage.clock.stop()
    jobs = stage.process()
    await stage.enqueue(jobs, run_at=stage.clock.now() + timedelta(hours=1))
    for seconds, state in ((0, JobStatus.QUEUED), (3599.9, JobStatus.QUEUED), (0.1, JobStatus.DONE)):
        stage.clock.advance(seconds=seconds)
        await jobs.run_due()
        assert await stage.states() == [state]


@pytest.mark.parametrize(
    "payload",
    [{"text": "a\x00b"}, {"text": "\ud800"}, {"a": "x" * MAX_PAYLOAD_BYTES}, {"a": {1, 2}}, {1: "a"}, {"a": 2**64}],
    ids=["NUL", "surrogate", "too long", "a set", "no text as key", "too large"],
)
async def test_a_payload_that_cannot_be_stored_is_refused(stage: Stage, payload: dict[str, Any]) -> None:
    """Before any statement, so that the caller's transaction goes on."""
    async with stage.database.session() as session:
        with pytest.raises(ValueError, match="payload"):
            await stage.process().enqueue(session, KIND, payload)
        await session.commit()


async def test_mistakes_of_code_are_told_at_once(stage: Stage) -> None:
    jobs = stage.process()
    async with stage.database.session() as session:
        with pytest.raises(ValueError, match="no handler"):
            await jobs.enqueue(session, "test.unknown", {})
        for key in ("x" * (MAX_UNIQUE_KEY_LENGTH + 1), "every:test.work"):
            with pytest.raises(ValueError, match="unique key"):
                await jobs.enqueue(session, KIND, {}, unique_key=key)
    for kind in (KIND, "", "x" * (MAX_KIND_LENGTH + 1)):
        with pytest.raises(ValueError, match="taken, empty or too long"):
            jobs.register(kind, do_nothing)
    with pytest.raises(KeyError):
        jobs.every("test.unknown", timedelta(hours=1))


async def test_each_step_costs_what_it_must(stage: Stage) -> None:
    """Enqueueing: one statement. Taking: three. Finishing: one more than the handler's own. Looking: one read."""
    jobs = stage.process(stage.leave_effect)
    await jobs.run_due()

    def changes(statements: Sequence[str]) -> list[str]:
        return [one.split()[0] for one in statements if not one.startswith(("BEGIN", "COMMIT", "ROLLBACK"))]

    for key, expected in ((None, ["INSERT"]), ("a", ["INSERT"])):
        with recorded_sql(stage.database) as statements:
            await stage.enqueue(jobs, unique_key=key)
        assert changes(statements) == [*expected, "SELECT"], "the last one is the test's own"
    runner = stage.runner(stage.leave_effect)
    with recorded_sql(stage.database) as statements:
        await runner.next_due()
    assert changes(statements) == ["SELECT"]
    assert not [one for one in statements if one.startswith("BEGIN")]
    with recorded_sql(stage.database) as statements:
        (job,) = await runner.take(1)
    assert changes(statements) == ["SELECT", "SELECT", "UPDATE"]
    with recorded_sql(stage.database) as statements:
        await runner.run(job)
    assert changes(statements) == ["UPDATE", "INSERT"]


async def test_it_can_be_told_how_the_jobs_are_doing(stage: Stage) -> None:
    """What could be taken now, for how long the first of it has waited, what died; and who runs them sees each end."""
    stage.clock.stop()
    jobs = stage.process()
    assert await jobs.health() == JobHealth(due=0, oldest_due_seconds=0.0, dead=0)
    now = stage.clock.now()
    for minutes in (-3, -1, 1):
        await stage.enqueue(jobs, run_at=now + timedelta(minutes=minutes))
    dead = await stage.enqueue(jobs)
    await stage.change(dead.id, status=JobStatus.DEAD, due_at=None)
    assert await jobs.health() == JobHealth(due=2, oldest_due_seconds=180.0, dead=1)
    ends: list[None] = []
    assert await jobs.run_due(lambda: ends.append(None)) == len(ends) == 3
