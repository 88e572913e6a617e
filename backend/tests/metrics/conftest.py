"""Fixtures of the tests of metrics."""

import pytest

from app.main import Services
from tests.metrics.stage import Recorded
from tests.support import ManualClock


@pytest.fixture
def recorded(services: Services, clock: ManualClock) -> Recorded:
    """Processes that record; the clock stands."""
    clock.stop()
    return Recorded(services)
