"""Goals of accounts: reading, logging in and administering beside two peers, in one run on one machine."""

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tools.bench import database, measures, servers
from tools.bench.machine import CAN_PIN, LOAD_CORE, SERVER_CORE, on_core
from tools.bench.report import Report


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


def measure(report: Report, *, is_quick: bool, with_merit: bool) -> None:
    """Measure the peers, and this service beside them; medians over rounds."""
    _check()
    cores = os.sched_getaffinity(0)
    on_core(LOAD_CORE)
    try:
        _run(report, measures.QUICK if is_quick else measures.FULL, with_merit=with_merit)
    finally:
        os.sched_setaffinity(0, cores)


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
