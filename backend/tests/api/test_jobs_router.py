"""`/admin/jobs`: what administrators see of jobs, and what they can do about them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.types import AuditAction
from app.core.ids import new_id
from app.jobs.errors import PermanentJobError
from app.jobs.models import Job
from app.jobs.queue import Jobs
from app.jobs.repository import JobRepository
from app.jobs.run import JobRun
from app.jobs.types import JobStatus
from app.main import Services
from tests.auth.scenarios import events_of
from tests.auth.stage import code_of
from tests.support import Account, ManualClock

PATH = "/admin/jobs"
MEMBERS = {
    "id", "kind", "status", "due_at", "attempts", "max_attempts", "lease_owner", "last_error", "unique_key",
    "created_at", "finished_at",
}  # fmt: skip


class Desk:
    """Jobs of two kinds, one of which always fails."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._clock = services.clock
        self.jobs = Jobs.create(services.settings, services.database, services.clock)
        self.jobs.register("test.good", self._succeed)
        self.jobs.register("test.bad", self._fail)

    async def enqueue(self, kind: str, **options: Any) -> str:
        """Ask for a job; returns its id."""
        async with self._database.session() as session:
            job_id = await self.jobs.enqueue(session, kind, {"to": "ada@example.com"}, **options)
            await session.commit()
        return str(job_id)

    async def dead(self) -> str:
        """A job that was given up."""
        job_id = await self.enqueue("test.bad")
        await self.jobs.run_due()
        return job_id

    async def set_status(self, job_id: str, status: JobStatus) -> None:
        """Put a job into a state."""
        async with self._database.session() as session:
            await JobRepository(session, self._clock).update_where(Job.id == UUID(job_id), values={Job.status: status})
            await session.commit()

    async def _succeed(self, run: JobRun) -> None:
        """Nothing to do."""

    async def _fail(self, run: JobRun) -> None:
        raise PermanentJobError("no such mailbox")


@pytest.fixture
def desk(services: Services) -> Desk:
    return Desk(services)


async def listed(admin: Account, **query: Any) -> list[dict[str, Any]]:
    """One page of jobs, without those that the application itself needs."""
    answer = await admin.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return [item for item in items if item["kind"].startswith("test.")]


async def test_jobs_are_listed_newest_first_and_by_filters(admin: Account, desk: Desk) -> None:
    """Without their payloads, which may be personal data."""
    bad = await desk.dead()
    good = [await desk.enqueue("test.good") for _ in range(2)]
    items = await listed(admin)
    assert [item["id"] for item in items] == [*reversed(good), bad]
    assert all(item.keys() == MEMBERS for item in items)
    assert [item["id"] for item in await listed(admin, status="dead")] == [bad]
    assert [item["id"] for item in await listed(admin, kind="test.good")] == [*reversed(good)]
    assert await listed(admin, kind="test.good", status="dead") == []
    assert items[2]["last_error"] == "PermanentJobError: no such mailbox"
    assert (items[2]["status"], items[2]["attempts"], items[2]["due_at"]) == ("dead", 1, None)


async def test_pages_follow_each_other(admin: Account, desk: Desk) -> None:
    ids = [await desk.enqueue("test.good") for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2, "kind": "test.good"}
    while True:
        page = (await admin.get(PATH, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "query",
    [{"status": "lost"}, {"kind": ""}, {"kind": "x" * 65}, {"kind": "a\x00"}, {"limit": 0}, {"limit": 101},
     {"cursor": "AAAA"}, {"cursor": "é"}],
)  # fmt: skip
async def test_a_query_that_makes_no_sense_is_refused(admin: Account, query: dict[str, Any]) -> None:
    assert (await admin.get(PATH, params=query)).status_code == 422


async def test_a_cursor_of_another_list_is_refused(admin: Account, services: Services) -> None:
    cursor = services.auth.cursors.encode("-created_at", ["2026-01-01T00:00:00+00:00", new_id().hex])
    assert code_of(await admin.get(PATH, params={"cursor": cursor})) == (422, "invalid_cursor")


async def test_one_job_is_shown_with_its_payload(admin: Account, desk: Desk) -> None:
    job_id = await desk.enqueue("test.good", unique_key="a key")
    answer = await admin.get(f"{PATH}/{job_id}")
    assert answer.status_code == 200
    assert answer.json().keys() == MEMBERS | {"payload"}
    assert (answer.json()["payload"], answer.json()["unique_key"]) == ({"to": "ada@example.com"}, "a key")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_not_there_is_not_found(admin: Account, method: str) -> None:
    path = f"{PATH}/{new_id()}" + ("/requeue" if method == "POST" else "")
    assert code_of(await admin.request(method, path)) == (404, "job_not_found")
    assert (await admin.request(method, path.replace("-", "x"))).status_code == 422


async def test_a_dead_job_begins_anew(
    app: FastAPI, admin: Account, desk: Desk, services: Services, clock: ManualClock
) -> None:
    """With all its attempts, at once, and recorded with who did it in the same transaction."""
    clock.stop()
    job_id = await desk.dead()
    clock.advance(minutes=5)
    answer = await admin.request("POST", f"{PATH}/{job_id}/requeue")
    assert answer.status_code == 200
    assert answer.json().keys() == MEMBERS
    assert (answer.json()["status"], answer.json()["attempts"]) == ("queued", 0)
    assert answer.json()["due_at"] == clock.now().isoformat().replace("+00:00", "Z")
    (event,) = [one for one in await events_of(app) if one.action is AuditAction.JOB_REQUEUED]
    assert (str(event.actor_id), event.user_id) == (admin.id, None)
    assert event.detail == {"job": job_id, "kind": "test.bad"}
    await desk.jobs.run_due()
    assert (await admin.get(f"{PATH}/{job_id}")).json()["status"] == "dead"


async def test_a_job_that_waits_can_be_run_now(admin: Account, desk: Desk, clock: ManualClock) -> None:
    job_id = await desk.enqueue("test.good", run_at=clock.now() + timedelta(days=1))
    assert (await admin.request("POST", f"{PATH}/{job_id}/requeue")).status_code == 200
    await desk.jobs.run_due()
    assert (await admin.get(f"{PATH}/{job_id}")).json()["status"] == "done"


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.DONE])
async def test_what_runs_or_is_done_cannot_be_run_again(
    app: FastAPI, admin: Account, desk: Desk, status: JobStatus
) -> None:
    """A second run would be a second effect; nothing is changed or recorded."""
    job_id = await desk.enqueue("test.good")
    await desk.set_status(job_id, status)
    assert code_of(await admin.request("POST", f"{PATH}/{job_id}/requeue")) == (409, "job_not_waiting")
    assert (await admin.get(f"{PATH}/{job_id}")).json()["status"] == status
    assert AuditAction.JOB_REQUEUED not in {one.action for one in await events_of(app)}


async def test_jobs_are_for_those_with_the_permission(client: httpx.AsyncClient, account: Account, desk: Desk) -> None:
    """An ordinary account sees and does nothing; an administrator's token that may only read cannot requeue."""
    job_id = await desk.dead()
    for method, path in (("GET", PATH), ("GET", f"{PATH}/{job_id}"), ("POST", f"{PATH}/{job_id}/requeue")):
        assert (await account.request(method, path)).status_code == 403
    assert (await desk.jobs.run_due()) == 0


async def test_reading_is_not_writing(admin: Account, desk: Desk) -> None:
    job_id = await desk.dead()
    await admin.login(scope="jobs:read")
    assert (await admin.get(f"{PATH}/{job_id}")).status_code == 200
    assert (await admin.request("POST", f"{PATH}/{job_id}/requeue")).status_code == 403
