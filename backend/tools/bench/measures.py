"""The measurements. Each takes running servers and adds its lines to the report."""

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy.engine import URL

from tools.bench import database, load, servers
from tools.bench.machine import raw_bcrypt_rate
from tools.bench.report import Report
from tools.bench.servers import Server

_CONNECTIONS = 16
_CLIENTS = 8
_READERS = 1  # with its pauses it takes a twentieth of the core, which the logins then do not have
_FLUSHED_S = 11  # idle backends of PostgreSQL flush their counters within ten seconds
_PAGE = 20
_PAGE_NUMBER = 1000
_MIN_REQUESTS = 300
_MIN_READS = 100
_MIN_LOGINS = 15
_READER, _ADMIN = 100, 1


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure, in seconds, and how often."""

    rounds: int
    seconds: float
    storm_seconds: float
    starts: int


FULL = Plan(rounds=5, seconds=4, storm_seconds=15, starts=3)
QUICK = Plan(rounds=2, seconds=1, storm_seconds=5, starts=1)


@dataclass(frozen=True, slots=True)
class Field:
    """The services measured side by side with a reader's and an administrator's token for each."""

    servers: Mapping[str, Server]
    readers: Mapping[str, str]
    admins: Mapping[str, str]

    def warm_up(self) -> None:
        """Opens the pools, so that their connections are there to be pinned."""
        for name, server in self.servers.items():
            load.wrk(server, load.ME, self.readers[name], connections=_CONNECTIONS, seconds=1)

    def rounds(
        self, plan: Plan, paths: Mapping[str, str], tokens: Mapping[str, str]
    ) -> dict[str, list[load.Throughput]]:
        """Alternating rounds of wrk, one path for each service."""
        results: dict[str, list[load.Throughput]] = {name: [] for name in paths}
        for _ in range(plan.rounds):
            for name, path in paths.items():
                run = load.wrk(self.servers[name], path, tokens[name], connections=_CONNECTIONS, seconds=plan.seconds)
                results[name].append(run)
        return results


def _ratio(results: Mapping[str, list[load.Throughput]], one: str, other: str) -> float:
    """Median over the rounds of one service's rate to another's in the same round."""
    pairs = zip(results[one], results[other], strict=True)
    return statistics.median(a.rate / b.rate if b.rate else 0.0 for a, b in pairs)


def _median(runs: list[load.Throughput], attribute: str) -> float:
    values: list[float] = [getattr(run, attribute) for run in runs]
    return statistics.median(values)


def _enough(*several: list[load.Throughput]) -> bool:
    return all(run.requests >= _MIN_REQUESTS and run.failed == 0 for runs in several for run in runs)


def _describe(runs: list[load.Throughput]) -> str:
    rate, p50, p99 = (_median(runs, name) for name in ("rate", "p50_ms", "p99_ms"))
    failed = sum(run.failed for run in runs)
    return f"{rate:,.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms" + (f", {failed} FAILED" if failed else "")


def field(stack: ExitStack, peers: URL, merit: URL | None, logs: Path) -> Field:
    """Starts the services and gets their tokens."""
    running = {name: stack.enter_context(servers.peer(name, peers, logs)) for name in ("limit", "plain")}
    readers = {name: servers.peer_token(name, _READER) for name in running}
    admins = {name: servers.peer_token(name, _ADMIN) for name in running}
    if merit is not None:
        server = stack.enter_context(servers.merit(merit, logs))
        running["merit"] = server
        readers["merit"] = load.log_in(server, database.email_of(_READER), database.PASSWORD)
        admins["merit"] = load.log_in(server, database.email_of(_ADMIN), database.PASSWORD)
    return Field(running, readers, admins)


def own_profile(report: Report, side: Field, plan: Plan) -> None:
    """GET /users/me: throughput, latency and transactions a request."""
    results = side.rounds(plan, dict.fromkeys(side.servers, load.ME), side.readers)
    for name, runs in results.items():
        report.inform(f"GET /users/me, {_CONNECTIONS} connections: {name}", _describe(runs))
    report.inform("plain / limit", f"{_ratio(results, 'plain', 'limit'):.2f}")
    if "merit" in results:
        enough = _enough(*results.values())
        report.at_least("merit / limit", _ratio(results, "merit", "limit"), 0.45, enough=enough)
        report.at_least("merit / plain", _ratio(results, "merit", "plain"), 2.7, enough=enough)
        report.at_most("merit p99", _median(results["merit"], "p99_ms"), 25, " ms", enough=enough)
        _statements(report, side)


def _statements(report: Report, side: Field) -> None:
    """Transactions the database counts for each read; our reads are in autocommit, so each statement is one."""
    server = side.servers["merit"]
    time.sleep(_FLUSHED_S)
    before = database.transactions(server.database)
    run = load.wrk(server, load.ME, side.readers["merit"], connections=_CONNECTIONS, seconds=3)
    time.sleep(_FLUSHED_S)
    a_request = (database.transactions(server.database) - before) / max(run.requests, 1)
    report.at_most("SQL statements a read", a_request, 1.1, enough=run.requests >= _MIN_REQUESTS)


def admin_page(report: Report, side: Field, plan: Plan) -> None:
    """A page of 20 among 100,000 users: the first, and the thousandth."""
    first, deep = {}, {}
    for name, server in side.servers.items():
        if name == "plain":
            first[name] = f"{load.USERS}?limit={_PAGE}"
            deep[name] = f"{first[name]}&skip={_PAGE * (_PAGE_NUMBER - 1)}"
        elif name == "merit":
            first[name] = f"{load.USERS}?limit={_PAGE}"
            deep[name] = f"{first[name]}&{urlencode({'cursor': _cursor(server, side.admins[name])})}"
    results = {"page 1": side.rounds(plan, first, side.admins)}
    results[f"page {_PAGE_NUMBER:,}"] = side.rounds(plan, deep, side.admins)
    for page, services in results.items():
        for name, runs in services.items():
            report.inform(f"admin {page} of {_PAGE} among {database.USERS:,}: {name}", _describe(runs))
    if "merit" not in side.servers:
        return
    (shallow_runs, deep_runs) = results.values()
    enough = _enough(shallow_runs["merit"], deep_runs["merit"])
    cost = _median(shallow_runs["merit"], "rate") / max(_median(deep_runs["merit"], "rate"), 0.001)
    report.at_most(f"merit: page {_PAGE_NUMBER:,} costs, in page 1s", cost, 1.1, enough=enough)
    for page, services in results.items():
        report.at_least(f"admin {page}: merit / plain", _ratio(services, "merit", "plain"), 3.0, enough=enough)


def _cursor(server: Server, token: str) -> str:
    """The cursor of the thousandth page, reached by walking there in large steps."""
    left, cursor = _PAGE * (_PAGE_NUMBER - 1), ""
    while left:
        step = min(left, 100)
        query = {"limit": str(step)} | ({"cursor": cursor} if cursor else {})
        page = load.call(server, "GET", f"{load.USERS}?{urlencode(query)}", token=token)
        left -= len(page["items"])
        cursor = page["next_cursor"]
    return cursor


def memory(report: Report, side: Field) -> None:
    """Memory of each worker after the load."""
    for name, server in side.servers.items():
        if name == "merit":
            report.at_most("merit: memory of the worker after the load", server.worker_mib(), 120, " MiB")
        else:
            report.inform(f"memory after the load: {name}", f"{server.worker_mib():.0f} MiB")


def start(report: Report, merit: URL, logs: Path, plan: Plan) -> None:
    """Time from the start of the process to its first 200."""
    times = []
    for _ in range(plan.starts):
        with servers.merit(merit, logs) as server:
            times.append(server.started_in_s)
    report.at_most("merit: start to first 200", statistics.median(times), 1.5, " s")
    with servers.made(logs):
        pass  # the first run makes what is missing: the database's tables, perhaps .env
    times = []
    for _ in range(plan.starts):
        with servers.made(logs) as server:
            times.append(server.started_in_s)
    report.at_most("merit: `make run` once more to first 200", statistics.median(times), 3, " s")


def login_storm(report: Report, peers: URL, merit: URL | None, logs: Path, plan: Plan) -> None:
    """Eight clients log in without pause; others read their profile at an easy pace."""
    with servers.peer("plain", peers, logs) as server:
        _storm_of(report, server, servers.peer_token("plain", _READER), plan)
    if merit is not None:
        with servers.merit(merit, logs, rate_limits=False) as server:
            token = load.log_in(server, database.email_of(_READER), database.PASSWORD)
            _storm_of(report, server, token, plan)


def _storm_of(report: Report, server: Server, token: str, plan: Plan) -> None:
    before = raw_bcrypt_rate(plan.storm_seconds / 3)
    load.wrk(server, load.ME, token, connections=_CONNECTIONS, seconds=1)
    database.pin_backends([server.database])
    emails = [database.email_of(number) for number in range(2, 2 + _CLIENTS)]
    quiet = load.paced_reads(server, token, readers=_READERS, seconds=plan.storm_seconds / 2)
    storm = load.storm(server, token, emails, database.PASSWORD, readers=_READERS, seconds=plan.storm_seconds)
    # On both sides of the storm: a core's speed changes from minute to minute.
    after = raw_bcrypt_rate(plan.storm_seconds / 3)
    raw = (before + after) / 2
    report.inform(f"raw bcrypt, cost 12, beside {server.name}", f"{before:.2f}/s before, {after:.2f}/s after the storm")
    what = f"{_CLIENTS} clients logging in: {server.name}"
    report.inform(
        what,
        f"p50 {quiet.p50_ms:.2f} → {storm.reads.p50_ms:.2f} ms, p99 {quiet.p99_ms:.1f} → {storm.reads.p99_ms:.1f} ms,"
        f" {storm.login_rate:.2f} logins/s",
    )
    if server.name != "merit":
        return
    enough = len(storm.reads.latencies_ms) >= _MIN_READS and len(quiet.latencies_ms) >= _MIN_READS
    report.at_most("merit: p50 in the storm / quiet p50", storm.reads.p50_ms / quiet.p50_ms, 1.5, enough=enough)
    report.at_most("merit: p99 in the storm", storm.reads.p99_ms, 25, " ms", enough=enough)
    rate = storm.login_rate / raw * 100
    report.at_least("merit: logins / raw bcrypt", rate, 90, " %", enough=storm.logins >= _MIN_LOGINS)
