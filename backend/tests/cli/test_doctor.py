"""`doctor`: what each examination finds where all is well, and where it is not."""

import dataclasses
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from app.auth.audit import AuditTrail
from app.auth.types import AuditAction, Client
from app.cli.doctor import Finding, Grade, examine, judge_clock, judge_hashing
from app.core.ids import new_id
from app.core.settings import Environment
from app.db.diagnosis import examine as examine_database
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.jobs.types import JobStatus
from app.mail.mailer import Mailer
from app.main import Services
from tests.mail.post_office import Act, open_post_office
from tests.support import ManualClock

Changed = Callable[..., Services]


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


@pytest.fixture
def changed(services: Services) -> Changed:
    """The running service's parts, as they would be with other settings."""

    def change(**settings: Any) -> Services:
        new = services.settings.model_copy(update=settings)
        return dataclasses.replace(services, settings=new, mailer=Mailer.create(new, services.clock))

    return change


async def finding(services: Services, check: str) -> Finding:
    """What one examination finds."""
    (found,) = [one for one in await examine(services) if one.check == check]
    return found


async def grade(services: Services, check: str) -> Grade:
    """How bad one finding is."""
    return (await finding(services, check)).grade


async def test_a_secret_is_judged_by_its_letters(services: Services, changed: Changed) -> None:
    """One that starts the service can still be poor; it is never shown."""
    assert await grade(services, "secret") is Grade.OK
    poor = "abcdefgh" * 4
    found = await finding(changed(secret_key=SecretStr(poor)), "secret")
    assert found.grade is Grade.WARNING
    assert "96 bits" in found.finding
    assert poor not in found.finding


async def test_a_database_tells_of_itself(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version and how far it is; what it warns of is a warning here."""
    facts = await examine_database(services.database, services.clock)
    assert facts.version[0].isdigit()
    assert 0 < facts.round_trip_seconds < 5
    monkeypatch.setattr(services.database, "warnings", list)
    found = await finding(services, "database")
    assert facts.version in found.finding
    assert found.grade is Grade.OK or "far away" in found.finding
    monkeypatch.setattr(services.database, "warnings", lambda: ["SQLite is old"])
    found = await finding(services, "database")
    assert found.grade is Grade.WARNING
    assert "SQLite is old" in found.finding
    monkeypatch.setattr("app.cli.doctor._SLOW_ROUND_TRIP_SECONDS", 0)
    assert "far away" in (await finding(services, "database")).finding


async def test_clocks_are_compared(services: Services, clock: ManualClock) -> None:
    """With the database server's, where there is one."""
    assert await grade(services, "schema") is await grade(services, "clock") is Grade.OK
    clock.advance(minutes=2)
    found = await finding(services, "clock")
    if services.database.url.backend == "sqlite":
        assert found.grade is Grade.OK
        return
    assert found.grade is Grade.FAILED
    assert "ahead of" in found.finding


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (None, Grade.OK), (0.0, Grade.OK), (-2.9, Grade.OK), (3.1, Grade.WARNING), (-29.0, Grade.WARNING),
        (31.0, Grade.FAILED), (-31.0, Grade.FAILED),
    ],
)  # fmt: skip
def test_a_clock_that_is_off(offset: float | None, expected: Grade) -> None:
    """Beyond the leeway of tokens it fails; a tenth of that is worth a word."""
    found, text = judge_clock(offset)
    assert found is expected
    assert offset is None or ("behind" in text) == (offset > 0)


@pytest.mark.parametrize(
    ("rounds", "seconds", "expected", "advice"),
    [
        (12, 0.25, Grade.OK, ""),
        (12, 0.05, Grade.WARNING, "; 14 would suit"),
        (4, 0.001, Grade.WARNING, "; 12 would suit"),
        (12, 0.001, Grade.WARNING, "; 16 would suit"),
        (14, 2.0, Grade.WARNING, "; 12 would suit"),
        (12, 2.0, Grade.WARNING, "too slow"),
    ],
)
def test_what_a_hash_costs(rounds: int, seconds: float, expected: Grade, advice: str) -> None:
    """A login costs an attacker enough, and its owner little; the advice stays within what production allows."""
    found, text = judge_hashing(rounds, seconds)
    assert found is expected
    assert advice in text


async def test_a_hash_is_timed(services: Services) -> None:
    """At the present cost, which is the cheapest in tests."""
    assert "BCRYPT_ROUNDS=4" in (await finding(services, "hashing")).finding


async def test_an_uncounted_proxy_is_suspected(services: Services, changed: Changed) -> None:
    """Many logins of several people, all from one address."""
    people = [new_id() for _ in range(3)]

    async def log_in(address: str, times: int) -> None:
        async with services.database.session() as session:
            trail = AuditTrail(session, services.auth)
            for number in range(times):
                await trail.record(AuditAction.LOGIN, Client(address=address), user_id=people[number % len(people)])
            await session.commit()

    assert await grade(services, "proxies") is Grade.OK
    await log_in("10.0.0.1", 19)
    assert await grade(services, "proxies") is Grade.OK
    await log_in("10.0.0.1", 1)
    found = await finding(services, "proxies")
    assert found.grade is Grade.WARNING
    assert "20 logins of 3 people all came from 10.0.0.1" in found.finding
    await log_in("203.0.113.7", 1)
    assert await grade(services, "proxies") is Grade.OK
    exposed = changed(environment=Environment.PRODUCTION, host="0.0.0.0")  # noqa: S104 - bound nowhere
    assert "right only where" in (await finding(exposed, "proxies")).finding


async def test_the_data_folder(services: Services, changed: Changed, tmp_path: Path, monkeypatch: Any) -> None:
    """For the service's own user alone, and with room left."""
    assert await grade(changed(data_dir=tmp_path), "data folder") is Grade.OK
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 5 << 20))
    found = await finding(changed(data_dir=tmp_path), "data folder")
    assert (found.grade, "5 MiB" in found.finding) == (Grade.WARNING, True)
    tmp_path.chmod(0o755)  # noqa: ASYNC240 - a test's own folder
    assert "chmod 700" in (await finding(changed(data_dir=tmp_path), "data folder")).finding
    monkeypatch.undo()
    gone = await finding(changed(data_dir=tmp_path / "gone"), "data folder")
    assert (gone.grade, gone.finding) == (Grade.FAILED, "could not be examined: FileNotFoundError")


async def test_the_mail_server_is_asked(changed: Changed) -> None:
    """Whether it answers and lets us in; without one mails reach nobody, which is for development."""
    assert await grade(changed(), "mail") is Grade.OK
    assert await grade(changed(environment=Environment.PRODUCTION), "mail") is Grade.WARNING
    async with open_post_office() as office:
        there = changed(smtp_host="127.0.0.1", smtp_port=office.port, smtp_tls="off", mail_from="merit@example.com")
        assert (await finding(there, "mail")).finding == f"127.0.0.1:{office.port} answers"
        office.plans["EHLO"] = [Act("421 4.3.2 closing for the night")] * 2
        refused = await finding(there, "mail")
        assert refused.grade is Grade.FAILED
        assert office.received == []
    assert await grade(there, "mail") is Grade.FAILED


async def test_jobs_that_wait_for_long_or_died(services: Services) -> None:
    """Dead ones are to be looked at; old ones show that nobody works."""
    assert (await finding(services, "jobs")).finding == "0 due, 0 dead"

    async def add(**members: Any) -> None:
        async with services.database.session() as session:
            job = Job(kind="test.unknown", payload={}, max_attempts=1, **members)
            await JobRepository(session, services.clock).add(job)
            await session.commit()

    now = services.clock.now()
    await add(due_at=now + timedelta(hours=1))
    await add(due_at=now - timedelta(seconds=10))
    assert (await finding(services, "jobs")) == Finding("jobs", Grade.OK, "1 due, 0 dead")
    await add(status=JobStatus.DEAD)
    found = await finding(services, "jobs")
    assert (found.grade, "jobs list --status dead" in found.finding) == (Grade.WARNING, True)
    await add(due_at=now - timedelta(minutes=10), status=JobStatus.RUNNING)
    found = await finding(services, "jobs")
    assert (found.grade, "is no worker running?" in found.finding) == (Grade.FAILED, True)
