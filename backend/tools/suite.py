"""Run the tests on every database at hand, and the checks. Run: `python -m tools.suite test|check` in `backend/`.

SQLite is always there; TEST_POSTGRES_URL and TEST_MYSQL_URL add the other databases. The tests find theirs in
TEST_DATABASE_URL. What was left out is said at the end.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.browser import find_chromium
from tools.databases import find_pgbouncer, find_postgres_programs

SERVERS = {"PostgreSQL": "TEST_POSTGRES_URL", "MySQL or MariaDB": "TEST_MYSQL_URL"}
OVERALL_COVERAGE = 95
FULLY_COVERED = ("app/auth", "app/db")
TEST_WORKERS = "2"
STEP_SECONDS = 2400
"""What hangs is ended, so that a run always says what it found."""


@dataclass(frozen=True)
class Step:
    """One command with what it adds to the environment; it succeeds with exit code 0."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self) -> bool:
        """Run the command, its output going where ours goes, and say whether it succeeded."""
        print(f"\n== {self.name}", flush=True)
        started = time.monotonic()
        program, *arguments = self.arguments
        command = [str(Path(sys.executable).with_name(program)), *arguments]
        # Tests start many processes, which need not compile the application again each time.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **self.environment}
        try:
            code = subprocess.run(command, env=environment, check=False, timeout=STEP_SECONDS).returncode
        except subprocess.TimeoutExpired:
            print(f"== {self.name}: not done after {STEP_SECONDS} s")
            code = 1
        print(f"== {self.name}: {'ok' if code == 0 else 'FAILED'}, {time.monotonic() - started:.0f} s", flush=True)
        return code == 0


def server_urls() -> dict[str, str]:
    """Return the databases besides SQLite that the environment names."""
    return {name: os.environ[variable] for name, variable in SERVERS.items() if os.environ.get(variable)}


def left_out() -> list[str]:
    """Say what the tests can not cover here, and what would add it."""
    missing = [f"{name}: set {variable}" for name, variable in SERVERS.items() if not os.environ.get(variable)]
    if not find_chromium():
        missing.append("browser tests: install Chromium, or set CHROMIUM to its path")
    if not shutil.which("npm"):
        missing.append("the generated TypeScript client: install Node.js with npm")
    if not find_pgbouncer():
        missing.append("the tests behind a pooler: install pgbouncer")
    if not find_postgres_programs():
        missing.append("the tests of TLS to the database: install PostgreSQL's server")
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        missing.append("what runs as another user: install setpriv (util-linux), or do not run as root")
    if not shutil.which("git"):
        missing.append("the make targets in a fresh copy: install git")
    return missing


def pytest_steps(**environment: str) -> Iterator[Step]:
    """Give the runs of pytest: everything on SQLite, and on each server what uses it."""
    pytest = ("pytest", "-n", TEST_WORKERS, "--dist", "loadfile")  # so that what a file shares is made once
    yield Step("tests on SQLite", (*pytest, "tests", "tools"), {"TEST_DATABASE_URL": "", **environment})
    for name, url in server_urls().items():
        on_server = (*pytest, "--on-server", "tests")
        yield Step(f"tests on {name}", on_server, {"TEST_DATABASE_URL": url, **environment})


def check_steps() -> Iterator[Step]:
    """Give everything that `make check` holds, the quick ones first."""
    yield Step("format", ("ruff", "format", "--check", "--quiet", "--diff", ".", "../scripts"))
    yield Step("lint", ("ruff", "check", "--quiet", ".", "../scripts"))
    yield Step("rules of the house", ("python", "-m", "tools.lint"))
    yield Step("import contracts", ("lint-imports", "--no-cache", "--no-logo"))
    yield Step("types", ("mypy",))
    yield Step("migrations on SQLite", ("python", "-m", "tools.drift"), {"TEST_DATABASE_URL": ""})
    for name, url in server_urls().items():
        yield Step(f"migrations on {name}", ("python", "-m", "tools.drift"), {"TEST_DATABASE_URL": url})
    coverage = ("python", "-m", "tools.coverage")
    yield Step("coverage: forget the last run", (*coverage, "--forget"))
    yield from pytest_steps(MEASURE_COVERAGE="1")
    yield Step(f"coverage of all, {OVERALL_COVERAGE} %", (*coverage, "--under", str(OVERALL_COVERAGE)))
    if len(server_urls()) == len(SERVERS):
        yield Step(f"coverage of {' and '.join(FULLY_COVERED)}, 100 %", (*coverage, "--under", "100", *FULLY_COVERED))


def main(what: str) -> int:
    """Run `test` or `check`; every step is run, and the exit code is 1 if one failed."""
    steps = list(check_steps() if what == "check" else pytest_steps())
    failed = [step.name for step in steps if not step.run()]
    missing = left_out()
    if what == "check" and len(server_urls()) < len(SERVERS):
        missing.append(f"the 100 % gate of {' and '.join(FULLY_COVERED)}: it needs every database")
    print()
    for line in missing:
        print(f"Left out: {line}")
    for name in failed:
        print(f"FAILED: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
