"""`jobs`: background jobs, without a worker."""

from app.auth.models import AuditEvent
from app.auth.repository import AuditRepository
from app.auth.types import AuditAction
from app.core.ids import new_id
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.jobs.types import JobStatus
from app.main import Services
from tests.cli.conftest import Shell
from tests.mailbox import Mailbox
from tests.support import Account


async def bury(services: Services, job_id: str, reason: str) -> None:
    """Give a job up."""
    async with services.database.session() as session:
        values = {Job.status: JobStatus.DEAD, Job.due_at: None, Job.attempts: 10, Job.last_error: reason}
        assert await JobRepository(session, services.clock).update_where(Job.kind == "auth.mail", values=values)
        await session.commit()


async def test_jobs_are_listed_shown_and_run(shell: Shell, account: Account, mailbox: Mailbox) -> None:
    """`run` does what workers would, and tells what is left."""
    (job,) = await shell.list("jobs", "list")
    assert (job["kind"], job["status"], "payload" in job) == ("auth.mail", "queued", False)
    shown = await shell.get("jobs", "show", job["id"])
    assert shown["payload"]["template"] == "verify_email"
    assert job["id"] in await shell.say("jobs", "list", "--status", "queued", "--kind", "auth.mail")
    assert await shell.list("jobs", "list", "--status", "dead") == []
    done = await shell.get("jobs", "run")
    assert (done["attempts"] > 1, done["due"], done["dead"], done["oldest_due_seconds"]) == (True, 0, 0, 0.0)
    assert await shell.say("jobs", "run") == "0 attempts; 0 are due, 0 dead."
    assert (await shell.get("jobs", "show", job["id"]))["status"] == "done"
    assert list(mailbox.folder.glob("*.eml"))
    assert (await shell.run("jobs", "list", "--limit", "1")).stderr == "There are more; see --limit.\n"


async def test_a_dead_job_is_queued_again(shell: Shell, services: Services, account: Account) -> None:
    """With all its attempts, and on record as nobody's, by an operator; a job that was done is not."""
    (job,) = await shell.list("jobs", "list")
    await bury(services, job["id"], "550 no such mailbox")
    (dead,) = await shell.list("jobs", "list", "--status", "dead")
    assert dead["last_error"] == "550 no such mailbox"
    assert await shell.say("jobs", "requeue", job["id"]) == f"auth.mail {job['id']} is queued."
    assert (await shell.get("jobs", "requeue", job["id"]))["attempts"] == 0
    async with services.database.read_session() as session:
        events: list[AuditEvent] = await AuditRepository(session, services.clock).list_latest(
            AuditAction.JOB_REQUEUED, 5
        )
    detail = {"job": job["id"], "kind": "auth.mail", "by": "operator"}
    assert [(event.actor_id, event.detail) for event in events] == [(None, detail)] * 2
    await shell.say("jobs", "run")
    assert (await shell.refuse("jobs", "requeue", job["id"])).startswith("The job is neither dead nor waiting.")


async def test_jobs_that_are_not_there(shell: Shell) -> None:
    assert await shell.refuse("jobs", "show", str(new_id())) == "Job not found."
    assert await shell.refuse("jobs", "requeue", str(new_id())) == "Job not found."
    assert (await shell.run("jobs", "show", "1")).exit_code == 2
    assert (await shell.run("jobs", "list", "--status", "lost")).exit_code == 2
