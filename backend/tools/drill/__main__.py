"""Command line: `python -m tools.drill [--part core|deployment|long|all] [--quick] [--write] [--seed N] [--only 1,2]`.

Each part has its table in `docs/reliability.md`; the core takes three minutes at most.

SQLite is always there; TEST_POSTGRES_URL and TEST_MYSQL_URL name the other databases, by default those of this machine.
"""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from tools.drill import (
    backups,
    callers,
    crowd,
    deployment,
    disclosure,
    inputs,
    jobs,
    kills,
    outages,
    races,
    rotation,
    streams,
)
from tools.drill.report import PAGE, Result, Verdict, promises_of, table, write
from tools.drill.site import Site, site

DEFAULT_URLS = {
    "TEST_POSTGRES_URL": "postgresql://postgres@127.0.0.1:5432/postgres",
    "TEST_MYSQL_URL": "mysql://root@127.0.0.1:3306/test",
}


PARTS = {"core": (1, 2, 4, 5, 6), "deployment": (7,), "long": (3, 8, 9, 10)}
"""The promises of each part."""


@dataclass(frozen=True)
class Plan:
    """How much is done: `trials` of each kind and `job_kills` on each database, everything else spread over them."""

    kills: int
    job_kills: int
    generated: int
    logouts: int
    trials: int
    rotations: int
    stream_kills: int


FULL = Plan(kills=25, job_kills=100, generated=10_000, logouts=500, trials=150, rotations=15, stream_kills=50)
QUICK = Plan(kills=9, job_kills=10, generated=1_200, logouts=120, trials=60, rotations=2, stream_kills=3)


def shares(total: int, parts: int) -> list[int]:
    """A number in almost equal parts, the larger first."""
    return [total // parts + (number < total % parts) for number in range(parts)]


def server_urls() -> dict[str, str]:
    """The databases besides SQLite."""
    return {name: os.environ.get(name) or default for name, default in DEFAULT_URLS.items()}


class Run:
    """The drills of one run, in the order of the promises."""

    def __init__(self, sites: list[Site], plan: Plan, seed: int) -> None:
        self._sites = sites
        self._servers = [one for one in sites if one.backend != "sqlite"]
        self._plan = plan
        self._seed = seed
        self.results: list[Result] = []

    async def carry_out(self, promises: Collection[int]) -> None:
        """Drill these promises; those whose figures are times have the machine to themselves."""
        steps: dict[int, Callable[[], Awaitable[None]]] = {
            1: self._kills,
            2: self._outages,
            3: self._inputs,
            4: self._callers,
            5: self._races,
            6: self._disclosure,
            7: self._deployment,
            8: self._jobs,
            9: self._streams,
            10: self._crowd,
        }
        for promise, step in steps.items():
            if promise in promises:
                started = time.monotonic()
                await step()
                print(f"promise {promise}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)

    async def _kills(self) -> None:
        counts = shares(self._plan.kills, len(self._sites))
        self.results += await asyncio.gather(
            *(kills.drill(one, count, self._seed) for one, count in zip(self._sites, counts, strict=True))
        )

    async def _outages(self) -> None:
        for found in await asyncio.gather(*(outages.drill(one, outages.FAULTS) for one in self._servers)):
            self.results += found

    async def _inputs(self) -> None:
        counts = shares(self._plan.generated, len(self._sites))
        self.results += await asyncio.gather(
            *(
                inputs.drill(one, generated=count, seed=self._seed)
                for one, count in zip(self._sites, counts, strict=True)
            )
        )

    async def _callers(self) -> None:
        for one in self._sites:
            self.results.append(await callers.drill(one))

    async def _races(self) -> None:
        counts = shares(self._plan.logouts, len(self._sites))
        for one, count in zip(self._sites, counts, strict=True):
            self.results += await races.drill(one, logouts=count, seed=self._seed)

    async def _disclosure(self) -> None:
        for one in self._sites:
            self.results += await disclosure.drill(one, self._plan.trials, self._seed)

    async def _deployment(self) -> None:
        drills = [backups.drill(one) if one.backend == "sqlite" else deployment.drill(one) for one in self._sites]
        self.results += await asyncio.gather(*drills)
        self.results += await asyncio.gather(
            *(rotation.drill(one, self._plan.rotations, self._seed) for one in self._sites)
        )

    async def _streams(self) -> None:
        counts = shares(self._plan.stream_kills, len(self._sites))
        for one, count in zip(self._sites, counts, strict=True):
            self.results.append(await streams.drill(one, count, self._seed))

    async def _crowd(self) -> None:
        for one in self._sites:
            self.results.append(await crowd.drill(one))

    async def _jobs(self) -> None:
        for one in self._sites:
            self.results.append(await jobs.drill(one, self._plan.job_kills, self._seed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.drill", description="Breaks what surrounds the service.")
    parser.add_argument("--part", choices=[*PARTS, "all"], default="core", help="what to drill; core by default")
    parser.add_argument("--quick", action="store_true", help="under a minute and a half, with fewer faults")
    parser.add_argument("--write", action="store_true", help=f"put the table of each part into docs/{PAGE.name}")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="repeat a run's random choices")
    parser.add_argument("--only", help="numbers of promises instead of a part, such as 1,2; not to be written")
    arguments = parser.parse_args()
    if arguments.only and arguments.write:
        parser.error("--write takes whole parts, not --only")
    return arguments


def _chosen(arguments: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    """The promises to drill by the part that they are written under."""
    if arguments.only:
        return {"chosen": tuple(int(number) for number in arguments.only.split(","))}
    return PARTS if arguments.part == "all" else {arguments.part: PARTS[arguments.part]}


def unanswered(results: Collection[Result], promises: Collection[int]) -> list[str]:
    """What to say of promises that no result tells of."""
    return [f"VOID: promise {number} has no row" for number in promises if number not in promises_of(results)]


def drill(sites: list[Site], part: str, promises: Collection[int], arguments: argparse.Namespace) -> bool:
    """Drill one part, print its table and every violation, write the table on request; whether everything passed."""
    started = time.monotonic()
    run = Run(sites, QUICK if arguments.quick else FULL, arguments.seed)
    asyncio.run(run.carry_out(promises))
    shown, missing = table(run.results), unanswered(run.results, promises)
    print(shown, *missing, sep="\n")
    for result in run.results:
        for line in dict.fromkeys([*result.violations, *result.shortfalls]):
            print(f"{result.verdict}: {result.promise}, {result.database}: {line}")
    seconds = time.monotonic() - started
    print(f"seed {arguments.seed}, {seconds:.0f} s")
    if arguments.write and not missing:
        today = datetime.now(UTC).date()
        repeat = f"python -m tools.drill --part {part}{' --quick' if arguments.quick else ''} --seed {arguments.seed}"
        write(part, f"Run of {today} in {seconds:.0f} s; repeat it in `backend/` with `{repeat}`.\n\n{shown}", PAGE)
    return not missing and all(result.verdict is Verdict.PASS for result in run.results)


def main() -> int:
    """Drill what was chosen; 1 unless everything passed."""
    arguments = _arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drill-")))
        try:
            sites = [stack.enter_context(site(url, folder)) for url in (None, *server_urls().values())]
        except SQLAlchemyError as error:
            print(f"drill: a database is away; set {' and '.join(DEFAULT_URLS)}: {error}", file=sys.stderr)
            return 2
        passed = [drill(sites, part, promises, arguments) for part, promises in _chosen(arguments).items()]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
