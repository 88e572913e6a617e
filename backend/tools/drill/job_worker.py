"""A worker process for the drill of jobs: `python -m tools.drill.job_worker`, to be killed at any moment."""

import asyncio
import sys

from sqlalchemy import text

from app import models  # noqa: F401 - rows can be read only when all models are known
from app.core.clock import Clock
from app.core.logging import configure_logging
from app.core.settings import Settings
from app.db.engine import Database
from app.db.failpoints import Failpoints
from app.jobs.process import work_until_told
from app.jobs.queue import Jobs
from app.jobs.run import JobRun

QUICK, SLOW = "drill.quick", "drill.slow"
EFFECTS = "drill_effects"
MAX_ATTEMPTS = 100
_SLOTS = 3


async def quick(run: JobRun) -> None:
    """An effect and nothing else."""
    async with run.finish() as session:
        await session.execute(text(f"INSERT INTO {EFFECTS} (job) VALUES (:job)"), {"job": run.id.hex})  # noqa: S608


async def slow(run: JobRun) -> None:
    """Something outside that takes longer than the time between two renewals of the lease, and then an effect."""
    await asyncio.sleep(run.payload["seconds"])
    await quick(run)


def make_jobs(settings: Settings, database: Database) -> Jobs:
    """The jobs of a process of the drill."""
    jobs = Jobs.create(settings, database, Clock())
    for kind, handler in ((QUICK, quick), (SLOW, slow)):
        jobs.register(kind, handler, max_attempts=MAX_ATTEMPTS)
    return jobs


async def _work(settings: Settings) -> int:
    database = Database(settings, Failpoints(settings.failpoints))
    try:
        return await work_until_told(make_jobs(settings, database), _SLOTS)
    finally:
        await database.close()


def main() -> int:
    """Work until a signal, or a failpoint, ends it."""
    settings = Settings.load()
    configure_logging(settings, to_stderr=True)
    return asyncio.run(_work(settings))


if __name__ == "__main__":
    sys.exit(main())
