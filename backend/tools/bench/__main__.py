"""Command line: `python -m tools.bench [--part accounts|appending|search|all] [--quick] [--write] [--peers-only]`.

SQLite is always measured where databases differ; TEST_POSTGRES_URL and TEST_MYSQL_URL add the others.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.bench import accounts, appending, search
from tools.bench.report import PAGE, Report
from tools.databases import given_urls

_BUSY = 0.5


def _circumstances(report: Report) -> None:
    processor = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    report.note(f"{os.cpu_count()} cores ({processor}), Python {platform.python_version()}")
    busy = os.getloadavg()[0]
    report.note(f"load before the start {busy:.2f}" + (" (the machine was not quiet)" if busy > _BUSY else ""))


def _accounts(report: Report, arguments: argparse.Namespace) -> None:
    accounts.measure(report, is_quick=arguments.quick, with_merit=not arguments.peers_only)


def _appending(report: Report, arguments: argparse.Namespace) -> None:
    for url in given_urls():
        appending.measure(report, url, is_quick=arguments.quick)


def _search(report: Report, arguments: argparse.Namespace) -> None:
    for url in given_urls():
        search.measure(report, url, is_quick=arguments.quick)


PARTS: dict[str, Callable[[Report, argparse.Namespace], None]] = {
    "accounts": _accounts,
    "appending": _appending,
    "search": _search,
}
"""What is measured, in this order; each part has its table in `docs/performance.md`."""


def bench(part: str, arguments: argparse.Namespace) -> bool:
    """Measure one part, print its table, and write it on request; whether every goal was met."""
    report, started = Report(), time.monotonic()
    _circumstances(report)
    PARTS[part](report, arguments)
    report.note(f"{'quick' if arguments.quick else 'full'} run of {time.monotonic() - started:.0f} s")
    print(f"\n== {part}\n\n{report.table()}", flush=True)
    if arguments.write:
        report.write(part)
    return report.is_met


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench", description="Measures the service against its goals."
    )
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all", help="what to measure; all by default")
    parser.add_argument(
        "--quick", action="store_true", help="minutes less, with wider errors; what is too little is VOID"
    )
    parser.add_argument("--write", action="store_true", help=f"put the table of each part into docs/{PAGE.name}")
    parser.add_argument("--peers-only", action="store_true", help="of the accounts, measure the two peers alone")
    return parser.parse_args()


def main() -> int:
    """Measure what was chosen; 1 where a goal was missed, or too little was measured to say."""
    arguments = _arguments()
    chosen = list(PARTS) if arguments.part == "all" else [arguments.part]
    met = [bench(part, arguments) for part in chosen]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
