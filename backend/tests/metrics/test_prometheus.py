"""`GET /metrics`: who may scrape, and that every line is of the text format."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest

from app.core.errors import ConfigurationError
from app.core.settings import Settings
from app.metrics.exposition import Family, Sample, render
from app.metrics.types import Resolution, Rollup, Series, floor
from tests.auth.credentials import token_of
from tests.conftest import AppFactory, client_of
from tests.metrics.stage import Recorded, aggregate, seen
from tests.support import SECRET_KEY, Account, ManualClock

METRICS_TOKEN = "scrape-Zq3mV8kT1xW6sB9f"  # not a secret: lives for one test

# The grammar of prometheus.io/docs/instrumenting/exposition_formats, stricter than its readers.
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (NaN|[+-]?[0-9.]+(?:e[+-]?[0-9]+)?)")
COMMENT = re.compile(rf"# (HELP|TYPE) ({NAME}) (.+)")
SUFFIXES = {"summary": ("", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def parse(text: str) -> dict[tuple[str, str], float]:
    """The samples of a scrape by name and labels; a line that is none of the format fails the test."""
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    helped: list[str] = []
    found: dict[tuple[str, str], float] = {}
    current = ""
    for line in text.splitlines():
        if comment := COMMENT.fullmatch(line):
            what, current, rest = comment.groups()
            if what == "HELP":
                assert current not in helped, "a family twice"
                helped.append(current)
            else:
                kinds[current] = rest
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        name, labels, value = sample.groups()
        assert name in {current + suffix for suffix in SUFFIXES[kinds[current]]}, "samples of a family stand together"
        assert (name, labels or "") not in found, "a sample twice"
        found[name, labels or ""] = float(value)
    assert helped == list(kinds)
    return found


async def scrape(account: Account) -> dict[tuple[str, str], float]:
    """What Prometheus reads."""
    answer = await account.client.get("/metrics", headers=account.headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return parse(answer.text)


async def test_sums_are_those_of_all_processes_and_of_today(
    recorded: Recorded, admin: Account, clock: ManualClock
) -> None:
    """Also of what is folded already; yesterday is over, and quantiles are of the last minutes."""
    today = floor(clock.now(), Resolution.DAY)
    for day, count in ((today, 7), (today - timedelta(days=1), 100)):
        await recorded.write(Rollup(Series("job.test"), Resolution.DAY, day, aggregate(*[1000.0] * count, errors=2)))
    for _ in range(2):
        process = recorded.process()
        process.observe(seen(ms=500.0, failed="x"))
        process.observe(seen("tokens.prompt", 120.0))
        await process.flush()
    found = await scrape(admin)
    label = 'operation="job.test"'
    assert found["merit_operation_duration_seconds_count", label] == 9
    assert found["merit_operation_duration_seconds_sum", label] == 8.0
    assert found["merit_operation_errors_total", label] == 4
    assert found["merit_operation_duration_seconds", f'{label},quantile="0.99"'] == pytest.approx(0.5)
    assert found["merit_tokens_total", 'kind="prompt"'] == 240
    assert ("merit_operation_duration_seconds_count", 'operation="job"') not in found, "sums of families are for PromQL"


async def test_what_rests_has_no_quantile(recorded: Recorded, admin: Account, clock: ManualClock) -> None:
    today = floor(clock.now(), Resolution.DAY)
    await recorded.write(Rollup(Series("job.test"), Resolution.DAY, today, aggregate(1.0)))
    found = await scrape(admin)
    value = found["merit_operation_duration_seconds", 'operation="job.test",quantile="0.5"']
    assert value != value  # NaN  # noqa: PLR0124


async def test_the_worker_tells_of_its_connections_and_jobs(admin: Account) -> None:
    found = {name for name, _ in await scrape(admin)}
    assert found >= {
        "merit_worker_database_connections",
        "merit_worker_observations_dropped_total",
        "merit_jobs_due",
        "merit_jobs_dead",
    }


async def test_the_number_of_lines_does_not_grow_with_dimensions(recorded: Recorded, admin: Account) -> None:
    before = len(await scrape(admin))
    process = recorded.process()
    for number in range(40):
        process.observe(seen("job.wide", caller=str(number)))
    await process.flush()
    assert len(await scrape(admin)) == before + 6


async def test_nobody_scrapes_without_a_token(make_app: AppFactory, account: Account, admin: Account) -> None:
    """401 without the METRICS_TOKEN or a caller's own; the token opens nothing else."""
    wrong = ("", METRICS_TOKEN[:-1], METRICS_TOKEN + "x", "ü" * len(METRICS_TOKEN))
    async with make_app(metrics_token=METRICS_TOKEN) as app, client_of(app) as client:
        assert (await client.get("/metrics")).status_code == 401
        for text in wrong:
            headers = {b"Authorization": f"Bearer {text}".encode("latin-1")}
            assert (await client.get("/metrics", headers=headers)).status_code in {400, 401}, text
        assert (await client.get("/metrics", headers=account.headers)).status_code == 403
        assert (await client.get("/metrics", headers=admin.headers)).status_code == 200
        right = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        parse((await client.get("/metrics", headers=right)).text)
        for path in ("/api/v1/metrics", "/api/v1/admin/dashboard", "/api/v1/users/me"):
            assert (await client.get(path, headers=right)).status_code == 401
    narrow = await token_of(admin, "profile:read")
    assert (await admin.client.get("/metrics", headers=narrow.headers)).status_code == 403


async def test_without_a_metrics_token_an_empty_one_opens_nothing(admin: Account) -> None:
    for text in ("", " ", "None"):
        answer = await admin.client.get("/metrics", headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code in {400, 401}


@pytest.mark.parametrize("token", ["short", "x" * 15])
def test_a_metrics_token_that_can_be_guessed_stops_the_start(token: str) -> None:
    with pytest.raises(ConfigurationError, match="METRICS_TOKEN"):
        Settings.load(_env_file=None, secret_key=SECRET_KEY, metrics_token=token)


def test_labels_are_escaped() -> None:
    """Whatever a label holds, it ends where it ends."""
    nasty = 'a"} 1\nb\\'
    text = render([Family("x_total", "counter", "Line\nbreak \\", [Sample(1.5, {"operation": nasty})])])
    ((name, labels),) = parse(text)
    assert (name, labels) == ("x_total", 'operation="a\\"} 1\\nb\\\\"')
    assert render([Family("y", "gauge", "Nothing.", [])]) == ""


async def test_operations_of_no_process_are_there_too(recorded: Recorded, admin: Account, clock: ManualClock) -> None:
    """What was reported from outside is written by no process."""
    start = floor(clock.now(), Resolution.MINUTE)
    await recorded.write(Rollup(Series("editor.save"), Resolution.MINUTE, start, aggregate(3.0), uuid4()))
    assert (await scrape(admin))["merit_operation_duration_seconds_count", 'operation="editor.save"'] == 1
