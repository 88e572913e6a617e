"""Runs schemathesis, which makes requests from the OpenAPI document and holds every answer against it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from tools.programs import BACKEND

# A body can fit its schema and still break a rule that JSON Schema cannot say, such as that of passwords.
# Where an account or a guest may call, "ignored_auth" takes away one of the two credentials and calls the other's
# success a fault; `tests/api/test_callers.py` holds what every caller is told.
_LEFT_OUT_CHECKS = "positive_data_acceptance,ignored_auth"
_SECONDS = 1500
_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@dataclass(frozen=True)
class Caller:
    """Who sends the requests: `administrator` and `account` log in, a `guest` has a token, `anonymous` has none.

    `share` is the part of all requests. Only one caller needs to try every limit of every field (`is_thorough`): the
    others would be refused again and again for the same reason.
    """

    kind: str
    share: float
    email: str = ""
    password: str = ""
    is_thorough: bool = False

    @property
    def phases(self) -> str:
        """The phases of schemathesis that it goes through."""
        return "examples,coverage,fuzzing" if self.is_thorough else "examples,fuzzing"


@dataclass(frozen=True)
class Run:
    """What one run found. `accepted` and `called` are operations, such as `GET /api/v1/users/me`."""

    cases: int
    failures: int
    output: str
    accepted: frozenset[str] = frozenset()
    called: frozenset[str] = frozenset()


def run_generator(url: str, report: Path, caller: Caller, *, examples: int, seed: int) -> Run:
    """Send up to `examples` requests to each operation in each phase, as this caller."""
    tally = report.with_suffix(".tally")
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tools.fuzz.hooks",
        "FUZZ_URL": url,
        "FUZZ_CALLER": caller.kind,
        "FUZZ_EMAIL": caller.email,
        "FUZZ_PASSWORD": caller.password,
        "FUZZ_TALLY": str(tally),
        "PYTHONPATH": str(BACKEND),
    }
    arguments = (
        f"--config-file={_CONFIGURATION}", "run",
        f"{url}/openapi.json", f"--seed={seed}", f"--max-examples={examples}", "--continue-on-failure",
        f"--phases={caller.phases}", "--checks=all", f"--exclude-checks={_LEFT_OUT_CHECKS}", "--no-shrink",
        "--suppress-health-check=all", "--warnings=off", "--report=json", f"--report-json-path={report}",
    )  # fmt: skip
    done = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), *arguments],
        cwd=report.parent,  # where it leaves what it remembers
        env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    if not report.exists():
        return Run(0, 1, done.stdout + done.stderr)
    cases: Mapping[str, int] = orjson.loads(report.read_bytes())["test_cases"]
    failures = 0 if done.returncode == 0 else max(1, cases["unique_failures"])
    return Run(cases["generated"], failures, done.stdout, *_read(tally))


def _read(tally: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The operations that were answered 2xx at least once, and all that were called."""
    lines = tally.read_text(encoding="utf-8").splitlines() if tally.exists() else []
    answers = [line.split(" ", 1) for line in lines]
    accepted = frozenset(operation for status, operation in answers if status.startswith("2"))
    return accepted, frozenset(operation for _, operation in answers)
