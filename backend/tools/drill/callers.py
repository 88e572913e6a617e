"""Promise 4: every route treats every kind of caller as it should: runs the table of `tests/api/test_callers.py`."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from tools.drill.report import Result, at_least
from tools.drill.site import Site
from tools.programs import BACKEND

PROMISE = "4 every caller as it should"
TABLE = "tests/api/test_callers.py"
OPERATIONS = "operations"
"""The property by which the table tells how many operations it has tried."""
_LEAST_OPERATIONS = 100
_SECONDS = 900


def run_table(database: str | None, report: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of the table on a database beside this one, by default on SQLite; what came out is in `report`."""
    written = ("-o", "junit_family=xunit1", f"--junit-xml={report}")  # the family that has properties of a test
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *written, TABLE]
    environment = {**os.environ, "TEST_DATABASE_URL": database or ""}
    return subprocess.run(
        command, cwd=BACKEND, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )


def judge(name: str, report: Path) -> Result:
    """What a run of the table has found. A row is an operation with every kind of caller."""
    tree = ET.parse(report)  # noqa: S314 - our own pytest wrote it
    cases = list(tree.iter("testcase"))
    failed = [
        case.attrib["name"] for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    rows = sum(int(told.attrib["value"]) for told in tree.iter("property") if told.attrib["name"] == OPERATIONS)
    return Result(
        PROMISE,
        name,
        rows,
        0,
        f"{len(failed)} wrong of {rows} operations, each with every kind of caller",
        violations=failed,
        shortfalls=at_least(_LEAST_OPERATIONS, rows, "operations"),
    )


async def drill(site: Site) -> Result:
    """Run the table on a database of its own, of this kind."""
    report = site.folder / "callers.xml"
    done = await asyncio.to_thread(run_table, None if site.backend == "sqlite" else site.url, report)
    if not report.exists():
        return Result(PROMISE, site.name, 0, 0, "the table was not run", violations=[done.stdout + done.stderr])
    return judge(site.name, report)
