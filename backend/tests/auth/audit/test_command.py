"""`audit verify`, and the link that the log is told of."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from app.auth.audit.types import MEANINGS, FaultKind, Link
from app.auth.audit.upkeep import AuditAnchor
from app.cli import app as commands
from app.core.settings import Settings
from app.main import Services
from tests.auth.audit.trails import execute, record, tamper, verify
from tests.support import SECRET_KEY


@pytest.fixture
def _environment(database_url: str, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a deployment on the database of these tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    values = {"SECRET_KEY": SECRET_KEY, "DATABASE_URL": database_url, "DATA_DIR": str(tmp_path), "ENVIRONMENT": "test"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@contextmanager
def own_logging() -> Iterator[None]:
    """A command sets up logging for its own process; here it goes back to where it went."""
    config, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        yield
    finally:
        structlog.configure(**config)
        root.handlers = handlers
        root.setLevel(level)


async def run(*arguments: str) -> Result:
    """The command, in a thread of its own: it brings its own event loop."""
    with own_logging():
        return await asyncio.to_thread(CliRunner().invoke, commands, ["audit", "verify", *arguments])


def shown(result: Result) -> dict[str, Any]:
    """What it printed for programs."""
    record: dict[str, Any] = json.loads(result.stdout)
    return record


@pytest.mark.usefixtures("_environment")
async def test_an_intact_trail_exits_with_0(services: Services) -> None:
    """A4: how many events were checked, and the link at which the next verification can begin."""
    await record(services, 3)
    result = await run("--json")
    assert result.exit_code == 0, result.output
    found = shown(result)
    end = (await verify(services)).end
    assert found == {
        "intact": True, "events": 3, "before_chain": 0, "end": str(end), "fault_count": 0, "first_broken": None,
        "faults": [],
    }  # fmt: skip
    await record(services, 2)
    assert shown(await run("--json", "--after", found["end"]))["events"] == 2
    plain = await run()
    assert plain.exit_code == 0
    assert "yes" in plain.stdout


@pytest.mark.usefixtures("_environment")
async def test_a_broken_one_exits_with_1_and_says_where_and_what(services: Services) -> None:
    """A4: the first broken event, and every fault in words."""
    await record(services, 9)
    await tamper(services, 4, address="203.0.113.9")
    await execute(services, "DELETE FROM audit_events WHERE sequence IN (6, 7)")
    await execute(services, "UPDATE audit_events SET sequence = NULL WHERE sequence = 9")
    result = await run("--json")
    assert result.exit_code == 1
    found = shown(result)
    assert (found["intact"], found["first_broken"], found["fault_count"]) == (False, 4, 4)
    assert [(fault["kind"], fault["sequence"], fault["last"]) for fault in found["faults"]] == [
        ("changed", 4, None), ("missing", 6, 7), ("cut_off", 9, 9), ("unchained", None, None),
    ]  # fmt: skip
    plain = await run()
    assert plain.exit_code == 1
    for line in (
        f"4: {MEANINGS[FaultKind.CHANGED]}", f"6-7: {MEANINGS[FaultKind.MISSING]}", f"9: {MEANINGS[FaultKind.CUT_OFF]}",
        f"-: {MEANINGS[FaultKind.UNCHAINED]}",
    ):  # fmt: skip
        assert line in plain.stderr


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("link", ["x", "1", "1:00", "-1:" + "00" * 32])
async def test_a_malformed_link_is_a_fault_of_usage(link: str) -> None:
    assert (await run(f"--after={link}")).exit_code == 2


def test_every_fault_has_a_meaning() -> None:
    assert set(MEANINGS) == set(FaultKind)


async def test_the_log_is_told_where_the_trail_ends(services: Services) -> None:
    """Once an hour a line of the log holds a link that must still be there later; nothing where there is none."""
    anchor = AuditAnchor(services.database, services.clock)
    with capture_logs() as lines:
        await record(services, 4)
        await anchor.tell(None)  # type: ignore[arg-type] # looks at nothing of it
    (told,) = [line for line in lines if line["event"] == "audit head"]
    link = Link.parse(told["link"])
    assert link == (await verify(services)).end
    await record(services)
    assert (await verify(services, link)).is_intact
    assert SECRET_KEY not in str(lines)
    await execute(services, "DELETE FROM audit_heads")
    with capture_logs() as lines:
        await anchor.tell(None)  # type: ignore[arg-type]
    assert lines == []
    assert timedelta(hours=1) >= anchor.INTERVAL


async def test_it_is_a_job_of_every_process(services: Services) -> None:
    """Registered with the others, so that whoever runs jobs does it."""
    with capture_logs() as lines:
        await record(services)
        await services.jobs.run_due()
    assert "audit head" in {line["event"] for line in lines}
