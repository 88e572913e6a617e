"""A database of its own for the tests of the signing keys, since keys come and go here, and workers on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.settings import Settings
from app.db import migrations
from app.models import Base
from tests.auth.keys.workers import worker
from tests.support import make_settings
from tools.databases import fresh_database


@pytest.fixture(scope="module")
def bare_url(server_url: str | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of this module's own."""
    with fresh_database(server_url, is_durable=False) as url:
        migrations.upgrade(make_settings(url, tmp_path_factory.mktemp("migrations")))
        yield url


@pytest.fixture
async def keyless(bare_url: str, tmp_path: Path) -> Settings:
    """Settings of a worker whose database holds nothing yet, no key either."""
    settings = make_settings(bare_url, tmp_path)
    async with worker(settings) as services, services.database.writer.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            await connection.execute(table.delete())
    return settings
