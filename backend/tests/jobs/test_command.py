"""`python -m app.cli worker`: a real process that works until it is told to stop."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.settings import Settings
from app.jobs.models import Job
from app.jobs.queue import Jobs
from app.jobs.types import JobStatus
from tests.auth.stage import eventually
from tests.jobs.stage import Stage
from tests.support import SECRET_KEY
from tools.programs import Program, run, start
from tools.server import service_environment

PATIENCE_SECONDS = 30


def environment_of(settings: Settings, folder: Path, **changes: str) -> dict[str, str]:
    """What a worker on the database of the tests is started with."""
    url = settings.database_url
    assert url is not None
    values = {"DATABASE_URL": url.get_secret_value(), "SECRET_KEY": SECRET_KEY, "DATA_DIR": str(folder)}
    return service_environment(**values | changes)


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[Program | subprocess.Popen[str]]:
    """The process, which does not outlive the block."""
    process = start(("-m", "app.cli", "worker", "--concurrency", "2"), env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)


async def test_it_works_until_it_is_told_to_stop(stage: Stage, settings: Settings, tmp_path: Path) -> None:
    """Jobs of the real application; SIGTERM ends it with 0."""
    jobs = Jobs.create(settings, stage.database, stage.clock)
    with worker(environment_of(settings, tmp_path)) as process:

        async def has_worked() -> bool:
            rows = await stage.rows(Job.kind == "auth.housekeeping")
            return [row.finished_at is not None for row in rows] == [True]

        await eventually(has_worked, seconds=PATIENCE_SECONDS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert JobStatus.RUNNING not in {row.status for row in await stage.rows()}
    assert await jobs.run_due() == 0, "it has left nothing that is due"


@pytest.mark.parametrize(
    ("arguments", "changes", "code", "says"),
    [
        (("--concurrency", "0"), {}, 2, "--concurrency"),
        ((), {"JOB_LEASE_SECONDS": "0"}, 78, "JOB_LEASE_SECONDS"),
        ((), {"SECRET_KEY": "too short"}, 78, "SECRET_KEY"),
    ],
)
def test_what_makes_no_sense_is_refused(
    settings: Settings, tmp_path: Path, arguments: tuple[str, ...], changes: dict[str, str], code: int, says: str
) -> None:
    """One line that names the setting, and the exit code of the server's refusals."""
    refused = run(("-m", "app.cli", "worker", *arguments), env=environment_of(settings, tmp_path, **changes))
    assert (refused.returncode, refused.stdout) == (code, "")
    assert says in refused.stderr
