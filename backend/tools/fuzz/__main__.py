"""Command line: `python -m tools.fuzz [--requests N] [--seed N]`: requests that nobody thought of.

Two generators against a real server on each database: schemathesis, which makes requests from the OpenAPI document
and holds every answer against it, and the nasty corpus of the drills in every field of every operation. Both call as an
administrator, an ordinary account, a guest and nobody, who share the requests.

SQLite is always there; TEST_POSTGRES_URL and TEST_MYSQL_URL add the other databases.
"""

import argparse
import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tools.databases import given_urls
from tools.drill import inputs
from tools.drill.client import Client
from tools.drill.report import Result, Verdict, at_least, table
from tools.drill.site import PASSWORD, Site, new_person, site
from tools.fuzz.generator import Caller, Run, run_generator
from tools.programs import BACKEND

PROMISE = "3 every answer is as described"
ADMIN = {
    "FIRST_SUPERUSER_EMAIL": "chief@example.net",
    "FIRST_SUPERUSER_PASSWORD": secrets.token_urlsafe(24),
}
LEAST_SHARE_ACCEPTED = 0.6
"""Of the operations, how many must have been answered 2xx. The others, which are listed, need what nobody can generate:
the token of a mail, the id of something that exists, a file of another program's shape."""


@dataclass
class Tally:
    """What the runs of the generator found on one database."""

    sent: int = 0
    failures: int = 0
    violations: list[str] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)

    def add(self, caller: Caller, run: Run) -> None:
        """Take in one run."""
        self.sent += run.cases
        self.failures += run.failures
        self.violations += [f"as {caller.kind}: {run.output}"] if run.failures else []
        self.accepted |= run.accepted
        self.called |= run.called

    @property
    def refused(self) -> list[str]:
        """The operations that were never answered 2xx."""
        return sorted(self.called - self.accepted)


async def _callers(port: int) -> list[Caller]:
    async with Client(port) as client:
        await client.request("GET", "/openapi.json")  # is made once, which takes longer than schemathesis waits
        account = await new_person(client)
    chief = (ADMIN["FIRST_SUPERUSER_EMAIL"], ADMIN["FIRST_SUPERUSER_PASSWORD"])
    return [
        Caller("administrator", 0.5, *chief, is_thorough=True),
        Caller("account", 0.25, account.email, PASSWORD),
        Caller("guest", 0.15),
        Caller("anonymous", 0.1),
    ]


async def generate(place: Site, *, requests: int, seed: int) -> Result:
    """Runs of the generator by each kind of caller, each with another seed, until that many requests were sent."""
    await asyncio.to_thread(_make_admin, place)
    log = place.folder / "server.log"
    start = log.stat().st_size if log.exists() else 0
    tally = Tally()
    async with place.running(MAX_SESSIONS_PER_USER="1000") as server:
        for caller in await _callers(server.port):
            wanted = tally.sent + round(requests * caller.share)
            while tally.sent < wanted:
                report = place.folder / f"report-{seed}.json"
                examples = max(1, min(400, (wanted - tally.sent) // 200))
                run = await asyncio.to_thread(run_generator, server.url, report, caller, examples=examples, seed=seed)
                tally.add(caller, run)
                seed += 1
                if run.failures:
                    break
    print(f"never answered 2xx on {place.name}: {', '.join(tally.refused)}", flush=True)
    return _result(place.name, requests, tally, inputs.unhandled(log, start))


def _result(name: str, requests: int, tally: Tally, faults: list[str]) -> Result:
    accepted, called = len(tally.accepted), len(tally.called)
    return Result(
        PROMISE,
        name,
        tally.sent,
        0,
        f"{tally.failures} answers against the document; {accepted} of {called} operations accepted",
        violations=[*tally.violations, *faults],
        shortfalls=[
            *at_least(requests, tally.sent, "requests"),
            *at_least(round(LEAST_SHARE_ACCEPTED * called), accepted, "operations answered 2xx"),
        ],
    )


def _make_admin(place: Site) -> None:
    environment = {**os.environ, **place.settings(ENVIRONMENT="test", DATA_DIR=str(place.folder)), **ADMIN}
    command = [sys.executable, "-m", "app.cli", "create-admin"]
    subprocess.run(command, cwd=BACKEND, env=environment, check=True, capture_output=True)


async def fuzz(sites: list[Site], *, requests: int, seed: int) -> list[Result]:
    """Both generators on each database in turn, with `requests` spread over the databases."""
    share = -(-requests // len(sites))
    results = []
    for place in sites:
        results.append(await generate(place, requests=share, seed=seed))
        results.append(await inputs.drill(place, generated=share, seed=seed))
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description="Sends what nobody thought of.")
    parser.add_argument("--requests", type=int, default=10_000, help="of each generator, over all databases")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="repeat a run's random choices")
    return parser.parse_args()


def main() -> int:
    """Fuzz, print the table and every finding; 1 unless there is none."""
    arguments = _arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
        sites = [stack.enter_context(site(url, folder)) for url in given_urls()]
        results = asyncio.run(fuzz(sites, requests=arguments.requests, seed=arguments.seed))
    print(table(results))
    for result in results:
        for line in dict.fromkeys([*result.violations, *result.shortfalls]):
            print(f"{result.verdict}: {result.promise}, {result.database}: {line}")
    print(f"seed {arguments.seed}")
    return 0 if all(result.verdict is Verdict.PASS for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
