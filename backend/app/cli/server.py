"""Running the service."""

import gc
from typing import Annotated

import typer

from app.cli.running import migrate_outside_production, refusals, with_services
from app.core.settings import Settings

commands = typer.Typer()


@commands.command()
def serve() -> None:
    """Serve the API on HOST:PORT. Outside production the database is brought to the newest revision first."""
    gc.disable()  # imports leave nothing to collect, and a start is a tenth shorter; the server that runs turns it on
    from app.api import server  # noqa: PLC0415

    with refusals():
        settings = Settings.load()
        migrate_outside_production(settings)
        server.serve(settings)


@commands.command()
def worker(
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Jobs to run at once.")] = 4,
) -> None:
    """Carry out background jobs until SIGTERM, beside servers with JOB_WORKERS=0 or in addition to theirs."""
    from app.jobs.process import work_until_told  # noqa: PLC0415

    with refusals():
        exit_code = with_services(Settings.load(), lambda services: work_until_told(services.jobs, concurrency))
    raise typer.Exit(exit_code)
