"""A small drill on real worker processes; `make drill` does the same at length (see `docs/reliability.md`)."""

from pathlib import Path

from tools.drill import jobs
from tools.drill.report import Verdict
from tools.drill.site import site


async def test_effects_happen_once_however_workers_die(server_url: str | None, tmp_path: Path) -> None:
    """Promise 8: one kill at each step."""
    with site(server_url, tmp_path) as place:
        result = await jobs.drill(place, kills=len(jobs.STEPS), seed=7)
    assert result.verdict is Verdict.PASS, (result, result.violations + result.shortfalls)
