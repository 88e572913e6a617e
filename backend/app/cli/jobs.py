"""Background jobs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli.output import AsJson, progress, say, show_record, show_records
from app.cli.running import collect, operate, refusals, transaction
from app.cli.users import Limit
from app.core.text import require_single_line
from app.jobs.types import JobStatus

if TYPE_CHECKING:
    from app.main import Services

commands = typer.Typer(no_args_is_help=True, help="Background jobs.")
JobId = Annotated[UUID, typer.Argument(metavar="JOB", help="Its id.")]

_COLUMNS = ("id", "kind", "status", "due_at", "attempts", "last_error")


@commands.command("list")
def list_jobs(
    *,
    status: Annotated[JobStatus | None, typer.Option(help="In this state only.")] = None,
    kind: Annotated[
        str | None,
        typer.Option(parser=require_single_line, metavar="KIND", help="Of this kind only, such as auth.mail."),
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first."""
    with refusals():
        records, has_more = operate(lambda services: _list(services, status, kind, limit))
        show_records(records, as_json=as_json, columns=_COLUMNS, has_more=has_more)


@commands.command()
def show(job: JobId, *, as_json: AsJson = False) -> None:
    """Show a job with what it was asked to do."""
    with refusals():
        show_record(operate(lambda services: _show(services, job)), as_json=as_json)


@commands.command()
def requeue(job: JobId, *, as_json: AsJson = False) -> None:
    """Let a job that was given up begin anew, or one that waits for a later time run now."""
    with refusals():
        record = operate(lambda services: _requeue(services, job))
        say(f"{record['kind']} {record['id']} is queued.", record, as_json=as_json)


@commands.command()
def run(*, as_json: AsJson = False) -> None:
    """Carry out what is due until nothing is, beside whatever workers are running."""
    with refusals():
        record = operate(_run)
        say("{attempts} attempts; {due} are due, {dead} dead.".format_map(record), record, as_json=as_json)


async def _list(
    services: "Services", status: JobStatus | None, kind: str | None, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    from app.jobs.schemas import JobRead  # noqa: PLC0415
    from app.jobs.service import JobAdminService  # noqa: PLC0415

    async with services.database.read_session() as session:
        jobs = JobAdminService(session, services.clock, services.jobs, services.auth.cursors)
        found, has_more = await collect(
            lambda size, cursor: jobs.list_(status=status, kind=kind, limit=size, cursor=cursor), limit
        )
    return [JobRead.model_validate(job).model_dump() for job in found], has_more


async def _show(services: "Services", job_id: UUID) -> dict[str, Any]:
    from app.jobs.schemas import JobDetailRead  # noqa: PLC0415
    from app.jobs.service import JobAdminService  # noqa: PLC0415

    async with services.database.read_session() as session:
        jobs = JobAdminService(session, services.clock, services.jobs, services.auth.cursors)
        return JobDetailRead.model_validate(await jobs.get(job_id)).model_dump()


async def _requeue(services: "Services", job_id: UUID) -> dict[str, Any]:
    from app.api.jobs_admin import AuditedJobs  # noqa: PLC0415
    from app.auth.types import COMMAND_LINE  # noqa: PLC0415
    from app.jobs.schemas import JobRead  # noqa: PLC0415

    async with transaction(services) as session:
        job = await AuditedJobs(session, services.auth).requeue(job_id, COMMAND_LINE, actor_id=None)
    return JobRead.model_validate(job).model_dump()


async def _run(services: "Services") -> dict[str, Any]:
    with progress("Working", (await services.jobs.health()).due) as advance:
        attempts = await services.jobs.run_due(advance)
    return {"attempts": attempts, **asdict(await services.jobs.health())}
