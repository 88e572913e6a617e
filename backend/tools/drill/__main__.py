"""Command line: `python -m tools.drill [--quick] [--write] [--seed N] [--only 1,2,3,5,6,7]`.

SQLite is always there; TEST_POSTGRES_URL and TEST_MYSQL_URL name the other databases, by default those of this machine.
"""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from tools.drill import backups, deployment, disclosure, inputs, kills, outages, races
from tools.drill.report import PAGE, Result, Verdict, table, write
from tools.drill.site import Site, site

DEFAULT_URLS = {
    "TEST_POSTGRES_URL": "postgresql://postgres@127.0.0.1:5432/postgres",
    "TEST_MYSQL_URL": "mysql://root@127.0.0.1:3306/test",
}


@dataclass(frozen=True)
class Plan:
    """How much is done: `trials` of each kind on each database, everything else spread over them."""

    kills: int
    generated: int
    logouts: int
    trials: int


FULL = Plan(kills=25, generated=10_000, logouts=500, trials=150)
QUICK = Plan(kills=9, generated=1_200, logouts=120, trials=60)


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

    async def carry_out(self, promises: set[int]) -> None:
        """Drill these promises; those whose figures are times have the machine to themselves."""
        steps: dict[int, Callable[[], Awaitable[None]]] = {
            1: self._kills,
            2: self._outages,
            3: self._inputs,
            5: self._races,
            6: self._disclosure,
            7: self._deployment,
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.drill", description="Breaks what surrounds the service.")
    parser.add_argument("--quick", action="store_true", help="under a minute and a half, with fewer faults")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{PAGE.name}")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="repeat a run's random choices")
    parser.add_argument("--only", default="1,2,3,5,6,7", help="numbers of promises, such as 1,2")
    return parser.parse_args()


def main() -> int:
    """Drill, print the table and every violation, write the table on request; 1 unless everything passed."""
    arguments = _arguments()
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drill-")))
        try:
            sites = [stack.enter_context(site(url, folder)) for url in (None, *server_urls().values())]
        except SQLAlchemyError as error:
            print(f"drill: a database is away; set {' and '.join(DEFAULT_URLS)}: {error}", file=sys.stderr)
            return 2
        run = Run(sites, QUICK if arguments.quick else FULL, arguments.seed)
        asyncio.run(run.carry_out({int(number) for number in arguments.only.split(",")}))
    shown = table(run.results)
    print(shown)
    for result in run.results:
        for line in dict.fromkeys([*result.violations, *result.shortfalls]):
            print(f"{result.verdict}: {result.promise}, {result.database}: {line}")
    seconds = time.monotonic() - started
    print(f"seed {arguments.seed}, {seconds:.0f} s")
    if arguments.write:
        today = datetime.now(UTC).date()
        repeat = f"python -m tools.drill{' --quick' if arguments.quick else ''} --seed {arguments.seed}"
        write(f"Run of {today} in {seconds:.0f} s; repeat it in `backend/` with `{repeat}`.\n\n{shown}", PAGE)
    return 0 if run.results and all(result.verdict is Verdict.PASS for result in run.results) else 1


if __name__ == "__main__":
    sys.exit(main())
