"""Promise 8: a job's effect is there exactly once, however its workers die, and none is stuck for long."""

import asyncio
import math
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text

from app.core.settings import Settings
from app.db.engine import Database
from app.db.failpoints import Failpoints
from app.jobs.models import Job
from app.jobs.types import JobStatus
from tools.drill.job_worker import EFFECTS, QUICK, SLOW, make_jobs
from tools.drill.report import Result, at_least
from tools.drill.site import DrillError, Site
from tools.programs import start
from tools.server import service_environment

PROMISE = "8 jobs happen exactly once"
LEASE_SECONDS = 2.0
STUCK_SECONDS = LEASE_SECONDS + 5
MORTAL_WORKERS = 2
STEPS = ("job_taken", "before_commit", "job_handled", "after_commit", "random")
_PAUSE_SECONDS = 0.05
_GLANCE_SECONDS = 0.02
_WATCH_SECONDS = 0.1
_LONGEST_LIFE_SECONDS = 10.0
_SETTLE_SECONDS = 60.0
_STOP_SECONDS = 20.0
_ROLLED_BACK_SHARE = 0.1
_SLOW_SHARE = 0.2


@dataclass
class Ledger:
    """What was asked for, which worker died when, and how long its jobs had to wait for another one."""

    committed: set[UUID] = field(default_factory=set)
    rolled_back: set[UUID] = field(default_factory=set)
    deaths: dict[int, float] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    longest_stuck: float = 0.0
    surprises: list[str] = field(default_factory=list)


class WorkerProcess:
    """One worker that is going to die at `step`; without one it lives on."""

    def __init__(self, site: Site, step: str | None, chance: random.Random) -> None:
        self.step = step
        failpoints = "" if step in {None, "random"} else f"{step}:kill:{chance.randint(1, 5)}"
        settings = site.settings(
            FAILPOINTS=failpoints, JOB_LEASE_SECONDS=str(LEASE_SECONDS), DATA_DIR=str(site.folder), LOG_FORMAT="json"
        )
        self._log = (site.folder / "workers.log").open("ab")
        environment = service_environment(**settings)
        self.process = start(("-m", "tools.drill.job_worker"), env=environment, stdout=self._log, stderr=self._log)
        # Long enough to have begun; a failpoint strikes by itself, and is helped if nothing passes it.
        life = chance.uniform(0.5, 2.0) if step == "random" else _LONGEST_LIFE_SECONDS
        self._dies_at = math.inf if step is None else time.monotonic() + life

    def is_dead(self) -> bool:
        """Whether it has died; its time come, it is killed."""
        if self.process.poll() is None and time.monotonic() < self._dies_at:
            return False
        self.end()
        return True

    def end(self) -> None:
        """Kill it, if it lives."""
        self.process.kill()
        self.process.wait()
        self._log.close()


class Fleet:
    """The workers of one drill: one that lives, so that there is always a successor, and those that die."""

    def __init__(self, site: Site, ledger: Ledger, chance: random.Random) -> None:
        self._site = site
        self._ledger = ledger
        self._chance = chance
        self._steps = cycle(STEPS)
        self._steady = self._start(None)
        self._mortal = [self._start(next(self._steps)) for _ in range(MORTAL_WORKERS)]

    async def kill(self, kills: int) -> None:
        """Let workers die at every step in turn, each replaced at once, until there were enough deaths."""
        while self._ledger.kills.total() < kills and self._steady.process.poll() is None:
            await asyncio.sleep(_GLANCE_SECONDS)
            for place, worker in enumerate(self._mortal):
                if worker.is_dead():
                    self._note_death(worker)
                    self._mortal[place] = self._start(next(self._steps))

    async def settle(self) -> None:
        """Let the steady worker do what is left, then tell it to stop."""
        for worker in self._mortal:
            worker.end()
            self._ledger.deaths[worker.process.pid] = time.monotonic()
        statement = (
            select(func.count()).select_from(Job).where(Job.kind.in_((QUICK, SLOW)), Job.status != JobStatus.DONE)
        )
        deadline = time.monotonic() + _SETTLE_SECONDS
        is_open = True
        while is_open and time.monotonic() < deadline:
            await asyncio.sleep(_WATCH_SECONDS)
            [[is_open]] = await self._site.fetch(statement)
        self._steady.process.terminate()
        exit_code = await asyncio.to_thread(self._steady.process.wait, _STOP_SECONDS)
        if exit_code != 0:
            self._ledger.surprises.append(f"the steady worker ended with {exit_code}")

    def end(self) -> None:
        """Leave no process behind."""
        for worker in (self._steady, *self._mortal):
            worker.end()

    def _start(self, step: str | None) -> WorkerProcess:
        worker = WorkerProcess(self._site, step, self._chance)
        self._ledger.deaths.pop(worker.process.pid, None)  # the number of a process that died some time ago
        return worker

    def _note_death(self, worker: WorkerProcess) -> None:
        self._ledger.deaths[worker.process.pid] = time.monotonic()
        if worker.process.returncode == -signal.SIGKILL:
            self._ledger.kills[str(worker.step)] += 1
        else:
            self._ledger.surprises.append(f"a worker ended by itself with {worker.process.returncode}")


async def _enqueue(site: Site, ledger: Ledger, chance: random.Random, is_over: asyncio.Event) -> None:
    """Ask for jobs until it is over; every tenth transaction is rolled back."""
    values: dict[str, Any] = {"secret_key": site.secret_key, "database_url": site.url, "data_dir": site.folder}
    settings = Settings(_env_file=None, db_command_timeout=_STOP_SECONDS, **values)
    database = Database(settings, Failpoints())
    jobs = make_jobs(settings, database)
    while not is_over.is_set():
        kind = SLOW if chance.random() < _SLOW_SHARE else QUICK
        async with database.session() as session:
            job_id = await jobs.enqueue(session, kind, {"seconds": chance.uniform(0.1, 0.6) * LEASE_SECONDS})
            if job_id is None:
                raise DrillError("a job without a key was refused")
            if chance.random() < _ROLLED_BACK_SHARE:
                await session.rollback()
                ledger.rolled_back.add(job_id)
            else:
                await session.commit()
                ledger.committed.add(job_id)
        await asyncio.sleep(_PAUSE_SECONDS)
    await database.close()


async def _watch(site: Site, ledger: Ledger, is_over: asyncio.Event) -> None:
    """Measure until it is over how long jobs stay with workers that are dead."""
    held = select(Job.lease_owner).where(Job.status == JobStatus.RUNNING)
    while not is_over.is_set():
        for (owner,) in await site.fetch(held):
            died_at = ledger.deaths.get(int(owner.split(":")[1]))
            if died_at is not None:
                ledger.longest_stuck = max(ledger.longest_stuck, time.monotonic() - died_at)
        await asyncio.sleep(_WATCH_SECONDS)


async def drill(site: Site, kills: int, seed: int) -> Result:
    """Kill workers at every step while jobs are asked for, then compare what was asked for with what happened."""
    chance, ledger = random.Random(seed), Ledger()  # noqa: S311 - to be repeatable
    await site.execute(text(f"CREATE TABLE {EFFECTS} (job CHAR(32) NOT NULL)"))
    is_asked, is_over = asyncio.Event(), asyncio.Event()
    tasks = [
        asyncio.create_task(_enqueue(site, ledger, chance, is_asked)),
        asyncio.create_task(_watch(site, ledger, is_over)),
    ]
    fleet = Fleet(site, ledger, random.Random(seed + 1))  # noqa: S311
    try:
        await fleet.kill(kills)
        is_asked.set()
        await asyncio.wait(tasks[:1])
        await fleet.settle()
    finally:
        fleet.end()
        is_asked.set()
        is_over.set()
        await asyncio.gather(*tasks)
    return await _judge(site, kills, ledger)


async def _judge(site: Site, kills: int, ledger: Ledger) -> Result:
    rows = await site.fetch(select(Job.id, Job.status, Job.attempts).where(Job.kind.in_((QUICK, SLOW))))
    effects = Counter(UUID(job) for (job,) in await site.fetch(text(f"SELECT job FROM {EFFECTS}")))  # noqa: S608
    states = {row.id: row.status for row in rows}
    interrupted = sum(row.attempts > 1 for row in rows)
    unfinished = [job for job in ledger.committed if states.get(job) is not JobStatus.DONE]
    lost = [job for job in ledger.committed if states.get(job) is JobStatus.DONE and not effects[job]]
    doubled = [job for job, count in effects.items() if count > 1]
    ghosts = (ledger.rolled_back & states.keys()) | (effects.keys() - ledger.committed)
    stuck = [f"a job was stuck for {ledger.longest_stuck:.1f} s"] if ledger.longest_stuck > STUCK_SECONDS else []
    figure = (
        f"{len(lost) + len(unfinished)} lost, {len(doubled)} doubled of {len(ledger.committed):,} effects;"
        f" {interrupted} jobs interrupted, stuck {ledger.longest_stuck:.1f} s at most (lease {LEASE_SECONDS:g} s)"
    )
    return Result(
        PROMISE,
        site.name,
        len(ledger.committed),
        ledger.kills.total(),
        figure,
        violations=[
            *ledger.surprises,
            *stuck,
            *(f"job {job} is {states.get(job, 'gone')} at the end" for job in unfinished),
            *(f"job {job} is done without its effect" for job in lost),
            *(f"job {job} has {effects[job]} effects" for job in doubled),
            *(f"job {job} was rolled back, and is there" for job in ghosts),
        ],
        shortfalls=[
            *at_least(kills, ledger.kills.total(), "kills"),
            *(
                line
                for step in STEPS
                for line in at_least(kills // (2 * len(STEPS)), ledger.kills[step], f"{step} kills")
            ),
            *at_least(kills // 4, interrupted, "jobs interrupted by a kill"),
            *at_least(2 * kills, len(ledger.committed), "jobs"),
        ],
    )
