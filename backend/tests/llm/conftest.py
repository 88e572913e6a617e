"""Models without an application around them, and a real provider that fails as told."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.clock import Clock
from app.core.observations import Observation, Observations
from app.llm.fallback import Models
from tests.llm.asking import KEY, Stage
from tests.support import make_settings
from tools.provider import Provider

StageFactory = Callable[..., Stage]


class SteppedClock(Clock):
    """A clock whose seconds pass only by `advance`."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        """The seconds of the test."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider without faults but those of paths and of models' names."""
    async with Provider() as provider:
        yield provider


@pytest.fixture
def llm_clock() -> SteppedClock:
    """The clock of the pauses."""
    return SteppedClock()


@pytest.fixture
async def make_stage(provider: Provider, tmp_path: Path, llm_clock: SteppedClock) -> AsyncIterator[StageFactory]:
    """Makes models whose providers are all `provider`, each with the faults of a path and further settings."""
    made: list[Models] = []

    def make(*endpoints: dict[str, Any], **settings: Any) -> Stage:
        providers = [
            {"name": f"p{number}", "api_key": KEY, "base_url": provider.url(one.get("faults", ""))}
            | {name: value for name, value in one.items() if name != "faults"}
            for number, one in enumerate(endpoints, start=1)
        ]
        seen: list[Observation] = []
        observations = Observations()
        observations.subscribe(seen.append)
        models = Models.create(
            make_settings("", tmp_path, llm_providers=providers, **settings), llm_clock, observations
        )
        made.append(models)
        return Stage(models, seen)

    yield make
    for models in made:
        await models.close()
    assert await provider.is_quiet(), "a connection is left open"
