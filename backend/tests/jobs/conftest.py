"""A table of jobs without an application around it."""

from collections.abc import AsyncIterator

import pytest

from app.core.settings import Settings
from app.db.engine import Database
from app.db.failpoints import Failpoints
from app.jobs.models import Job
from tests.jobs.stage import Stage
from tests.support import ManualClock


@pytest.fixture(scope="session")
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The connections of these tests."""
    database = Database(settings, Failpoints())
    yield database
    await database.close()


@pytest.fixture
async def stage(settings: Settings, database: Database, clock: ManualClock) -> AsyncIterator[Stage]:
    """A table without a row, before and after."""
    yield Stage(settings, database, clock)
    async with database.writer.begin() as connection:
        await connection.execute(Job.__table__.delete())
