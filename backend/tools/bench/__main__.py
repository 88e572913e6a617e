"""Command line: `python -m tools.bench [--quick] [--write] [--peers-only]`."""

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tools.bench import database, measures, servers
from tools.bench.machine import CAN_PIN, LOAD_CORE, SERVER_CORE, on_core
from tools.bench.report import Report

_BUSY = 0.5


def _check() -> None:
    """Stops with one clear line where this machine cannot run the bench."""
    if sys.platform != "linux":
        raise SystemExit("bench: needs Linux (it pins processes to cores and reads /proc)")
    if shutil.which("wrk") is None:
        raise SystemExit("bench: needs wrk, the load generator (Debian: apt-get install wrk)")
    try:
        with database.connect(database.server_url()):
            pass
    except psycopg.OperationalError as error:
        raise SystemExit(f"bench: needs PostgreSQL; set TEST_POSTGRES_URL ({str(error).splitlines()[0]})") from error


def _circumstances(report: Report) -> None:
    processor = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    report.note(f"{os.cpu_count()} cores ({processor}), Python {platform.python_version()}")
    busy = os.getloadavg()[0]
    report.note(f"load before the start {busy:.2f}" + (" (the machine was not quiet)" if busy > _BUSY else ""))


def _pinned(report: Report, side: measures.Field) -> None:
    if not CAN_PIN:
        report.note("nothing was pinned: fewer than two cores are available")
        return
    for server in side.servers.values():
        server.pin()
    done, all_ = database.pin_backends([server.database for server in side.servers.values()])
    report.note(
        f"pinned: each server to core {SERVER_CORE}; the load and {done} of {all_} PostgreSQL backends open"
        f" after the warm-up to core {LOAD_CORE} (not later ones, nor PostgreSQL's background processes)"
    )


def _run(report: Report, plan: measures.Plan, *, with_merit: bool) -> None:
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        peers = stack.enter_context(database.database("peers"))
        database.seed_plain(peers)
        merit = None
        if with_merit:
            merit = stack.enter_context(database.database("merit"))
            servers.migrate(merit)
            database.seed_merit(merit)
            measures.start(report, merit, logs, plan)
        with ExitStack() as running:
            side = measures.field(running, peers, merit, logs)
            side.warm_up()
            _pinned(report, side)
            measures.own_profile(report, side, plan)
            measures.admin_page(report, side, plan)
            measures.memory(report, side)
        measures.login_storm(report, peers, merit, logs, plan)


def main() -> None:
    """Measures, prints the table, and writes it on request."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measures the service beside two peers.")
    parser.add_argument("--quick", action="store_true", help="under a minute, with wider errors")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--peers-only", action="store_true", help="measure the two peers alone")
    arguments = parser.parse_args()
    _check()
    on_core(LOAD_CORE)
    report, started = Report(), time.monotonic()
    _circumstances(report)
    _run(report, measures.QUICK if arguments.quick else measures.FULL, with_merit=not arguments.peers_only)
    report.note(
        f"{'quick' if arguments.quick else 'full'} run of {time.monotonic() - started:.0f} s; medians over rounds"
    )
    print(report.table())
    if arguments.write:
        print(f"\nwritten to {report.write()}")


if __name__ == "__main__":
    main()
