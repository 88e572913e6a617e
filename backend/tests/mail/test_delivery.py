"""From the request to the mail server, through the queue: none lost, none twice, whatever the server does."""

import asyncio
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.core.settings import BACKEND_DIR
from app.jobs.models import Job
from app.jobs.types import JobStatus
from app.main import Services
from tests.auth.scenarios import in_parallel
from tests.conftest import AppFactory, client_of
from tests.mail.conftest import SENDER
from tests.mail.post_office import Act, PostOffice
from tests.mailbox import parse_mail
from tests.support import API, PASSWORD, ManualClock

ROUNDS = 40
Sending = Callable[[int], AbstractAsyncContextManager[FastAPI]]


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """A job is due again only when the test says so."""
    clock.stop()


@pytest.fixture
def sending(make_app: AppFactory) -> Sending:
    """Starts applications that send through a mail server on a port."""

    @asynccontextmanager
    async def start(port: int) -> AsyncIterator[FastAPI]:
        settings = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_tls": "off", "mail_from": SENDER}
        async with make_app(**settings) as application:
            yield application

    return start


async def order(app: FastAPI, count: int) -> list[str]:
    """Register so many people, each of whom is mailed once; the Message-IDs that these mails must have."""
    async with client_of(app) as client:
        bodies = [{"email": f"person{n}@example.com", "password": PASSWORD} for n in range(count)]
        answers = await in_parallel(client.post(f"{API}/auth/register", json=body) for body in bodies)
    assert {answer.status_code for answer in answers} == {httpx.codes.CREATED}
    jobs = await jobs_of(app.state.merit)
    assert len(jobs) == count
    return [f"<{job.id}@example.com>" for job in jobs]


async def jobs_of(services: Services) -> list[Job]:
    async with services.database.session() as session:
        return list(await session.scalars(select(Job).where(Job.kind == "auth.mail")))


async def is_all_done(services: Services) -> bool:
    return {job.status for job in await jobs_of(services)} == {JobStatus.DONE}


async def test_each_mail_arrives_once_though_the_server_is_moody(
    app: FastAPI, sending: Sending, office: PostOffice, clock: ManualClock
) -> None:
    """Delays, refusals for now, lost lines and restarts, at every step of the conversation."""
    moods = [Act("451 4.7.1 later"), Act("421 4.3.2 closing"), Act(hangs_up=True), Act(delay=0.02), Act()]
    dice = random.Random(7)  # noqa: S311 - the same moods at every run
    for command, plan in office.plans.items():
        plan.extend(dice.choices(moods, weights=(2, 1, 2, 2, 4), k=30 if command == "EHLO" else 20))
    async with sending(office.port) as application:
        services: Services = application.state.merit
        expected = await order(application, 20)
        for n in range(ROUNDS):
            if n % 4 == 1:
                await office.close()
            await asyncio.gather(*(services.auth.jobs.run_due() for _ in range(3)))
            if n % 4 == 1:
                await office.open()
            if await is_all_done(services):
                break
            clock.advance(hours=1)
        assert await is_all_done(services)
    assert office.message_ids() == Counter(expected)
    assert not any(len(plan) > 10 for plan in office.plans.values()), "the moods were met"


async def test_a_recipient_who_is_refused_for_good_keeps_nobody_waiting(
    app: FastAPI, sending: Sending, office: PostOffice
) -> None:
    """Such a job is dead at once, where administrators see it, and is not tried again; all others go on."""
    office.plans["RCPT"] = [Act(), Act("550 5.1.1 <person1@example.com> unknown"), Act()]
    async with sending(office.port) as application:
        services: Services = application.state.merit
        expected = await order(application, 3)
        await services.auth.jobs.run_due()
        jobs = await jobs_of(services)
        (dead,) = [job for job in jobs if job.status is JobStatus.DEAD]
        assert (dead.attempts, "@" in str(dead.last_error)) == (1, False)
        assert "550" in str(dead.last_error)
        assert set(office.message_ids()) == set(expected) - {f"<{dead.id}@example.com>"}
        assert not await services.auth.jobs.run_due()


async def test_an_outage_of_a_day_loses_nothing(
    app: FastAPI, sending: Sending, office: PostOffice, clock: ManualClock
) -> None:
    """RFC 5321 section 4.5.4.1: a queue goes on trying for long."""
    await office.close()
    async with sending(office.port) as application:
        services: Services = application.state.merit
        expected = await order(application, 2)
        for _ in range(24):
            await services.auth.jobs.run_due()
            clock.advance(hours=1)
        assert {job.status for job in await jobs_of(services)} == {JobStatus.QUEUED}
        await office.open()
        clock.advance(hours=1)
        await services.auth.jobs.run_due()
    assert office.message_ids() == Counter(expected)


class PostOfficeProcess:
    """A mail server of its own process, which can be killed; what it has accepted is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.mail.post_office", str(self.port), str(self._folder),
            stdout=asyncio.subprocess.PIPE, cwd=BACKEND_DIR,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def end(self, sign: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(sign)
            await self._process.wait()

    def message_ids(self) -> Counter[str]:
        """How often each Message-ID was accepted."""
        return Counter(str(parse_mail(file)["Message-ID"]) for file in self._folder.glob("*.eml"))


@pytest.fixture
async def office_process(tmp_path: Path) -> AsyncIterator[PostOfficeProcess]:
    """A mail server in a process of its own."""
    folder = tmp_path / "accepted"
    folder.mkdir()
    office = PostOfficeProcess(folder)
    await office.start()
    yield office
    await office.end(signal.SIGKILL)


async def test_no_mail_is_lost_when_the_server_is_killed(
    app: FastAPI, sending: Sending, office_process: PostOfficeProcess, clock: ManualClock
) -> None:
    """A server that is killed after it took a mail, and before it said so, gets that one again under the same id.

    Nothing in SMTP closes that window (RFC 1047): at most one mail for each conversation that was cut off.
    """
    kills, lines = 3, 3
    async with sending(office_process.port) as application:
        services: Services = application.state.merit
        expected = await order(application, 24)
        for n in range(ROUNDS):
            under_way = asyncio.gather(*(services.auth.jobs.run_due() for _ in range(lines)))
            if n < kills:
                taken = len(office_process.message_ids())
                async with asyncio.timeout(30):
                    while len(office_process.message_ids()) < min(taken + 3, len(expected)):  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
                await office_process.end(signal.SIGKILL)
            await under_way
            if n < kills:
                await office_process.start()
            if await is_all_done(services):
                break
            clock.advance(hours=1)
        assert await is_all_done(services)
    found = office_process.message_ids()
    assert set(found) == set(expected)
    assert found.total() - len(expected) <= kills * lines
    assert max(found.values()) <= 1 + kills
