"""`doctor`: looks for what goes wrong in deployments, and says what to do about it."""

import math
import shutil
import stat
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from app.cli.output import AsJson, show_records
from app.cli.running import operate, refusals
from app.core.addresses import is_local_host

if TYPE_CHECKING:
    from app.main import Services

commands = typer.Typer()

_LEEWAY_SECONDS = 30  # of access tokens; a tenth of it is worth a word
_SLOW_ROUND_TRIP_SECONDS = 0.02
# A login should cost an attacker a quarter of a second, and not keep its owner waiting for more than a second.
_QUICKEST_HASH_SECONDS, _SLOWEST_HASH_SECONDS = 0.1, 1.0
_AIMED_HASH_SECONDS = 0.25
_FEWEST_ROUNDS, _MOST_ROUNDS = 12, 16
_LEAST_FREE_BYTES = 1 << 30
_SECRET_BITS = 128
_OLDEST_JOB_SECONDS = 300
_LOGINS_LOOKED_AT, _LOGINS_NEEDED, _PEOPLE_NEEDED = 200, 20, 3


class Grade(StrEnum):
    """How bad it is; only `failed` makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one examination found."""

    check: str
    grade: Grade
    finding: str


@commands.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Examine settings, database, clock, hashing cost, proxies, mail and jobs. Exits with 1 where something failed."""
    with refusals():
        findings = operate(examine, starts=False)
        show_records([asdict(finding) for finding in findings], as_json=as_json)
        raise typer.Exit(int(any(finding.grade is Grade.FAILED for finding in findings)))


async def examine(services: "Services") -> list[Finding]:
    """All findings; an examination that breaks down is a finding too."""
    from app.core.logging import get_logger  # noqa: PLC0415

    findings = []
    for name, look in _EXAMINATIONS.items():
        try:
            grade, finding = await look(services)
        except Exception as error:  # whatever it is, the operator wants to see the others
            get_logger("cli.doctor").warning("examination failed", check=name, error=type(error).__name__)
            grade, finding = Grade.FAILED, f"could not be examined: {type(error).__name__}"
        findings.append(Finding(name, grade, finding))
    return findings


Verdict = tuple[Grade, str]


async def _secret(services: "Services") -> Verdict:
    secret = services.settings.secret_key.get_secret_value()
    counts = Counter(secret).values()
    bits = -sum(count * math.log2(count / len(secret)) for count in counts)
    if bits < _SECRET_BITS:
        return Grade.WARNING, f"SECRET_KEY looks like {bits:.0f} bits; make one with scripts/create_env.py"
    return Grade.OK, f"SECRET_KEY has {len(secret)} characters"


async def _database(services: "Services") -> Verdict:
    from app.db.diagnosis import examine as examine_database  # noqa: PLC0415

    facts = await examine_database(services.database, services.clock)
    text = f"{services.database.url.backend} {facts.version}, {facts.round_trip_seconds * 1000:.1f} ms a round trip"
    warnings = services.database.warnings()
    if facts.round_trip_seconds > _SLOW_ROUND_TRIP_SECONDS:
        warnings.append("the database is far away: each request pays several round trips")
    return (Grade.WARNING if warnings else Grade.OK), "; ".join([text, *warnings])


async def _schema(services: "Services") -> Verdict:
    if await services.migrations.is_current(services.settings.db_connect_timeout):
        return Grade.OK, "at the newest revision"
    return Grade.FAILED, "not at the newest revision; run: python -m app.cli db upgrade"


async def _clock(services: "Services") -> Verdict:
    from app.db.diagnosis import examine as examine_database  # noqa: PLC0415

    return judge_clock((await examine_database(services.database, services.clock)).clock_offset_seconds)


def judge_clock(offset: float | None) -> Verdict:
    """What it means that the database's clock is `offset` seconds ahead of ours; None where it has none."""
    if offset is None:
        return Grade.OK, "nothing to compare it with: the database is embedded"
    text = f"{abs(offset):.2f} s {'behind' if offset > 0 else 'ahead of'} the database's"
    if abs(offset) > _LEEWAY_SECONDS:
        return Grade.FAILED, f"{text}: other hosts would refuse our tokens; run an NTP client on both"
    return (Grade.WARNING if abs(offset) > _LEEWAY_SECONDS / 10 else Grade.OK), text


async def _hashing(services: "Services") -> Verdict:
    started = time.perf_counter()
    await services.auth.hasher.hash("a passphrase to time")
    return judge_hashing(services.settings.bcrypt_rounds, time.perf_counter() - started)


def judge_hashing(rounds: int, seconds: float) -> Verdict:
    """What it means that a hash takes so long."""
    best = rounds + round(math.log2(_AIMED_HASH_SECONDS / seconds))
    advice = min(max(best, _FEWEST_ROUNDS), _MOST_ROUNDS)
    text = f"{seconds * 1000:.0f} ms a password at BCRYPT_ROUNDS={rounds}"
    if _QUICKEST_HASH_SECONDS <= seconds <= _SLOWEST_HASH_SECONDS:
        return Grade.OK, text
    if advice == rounds:
        return Grade.WARNING, f"{text}: this machine is too slow, logins will wait"
    return Grade.WARNING, f"{text}; {advice} would suit this machine"


async def _proxies(services: "Services") -> Verdict:
    """Guess from the recent logins whether a proxy stands in front that nobody counted."""
    from app.auth.audit.service import AuditService  # noqa: PLC0415
    from app.auth.types import AuditAction  # noqa: PLC0415

    hops = services.settings.trusted_proxy_hops
    async with services.database.read_session() as session:
        events = AuditService(session, services.auth)
        logins = await events.list_latest(AuditAction.LOGIN, _LOGINS_LOOKED_AT)
    addresses, people = {login.address for login in logins}, {login.user_id for login in logins}
    text = f"TRUSTED_PROXY_HOPS={hops}"
    is_one_address = len(addresses) == 1 and len(logins) >= _LOGINS_NEEDED and len(people) >= _PEOPLE_NEEDED
    if is_one_address:
        return Grade.WARNING, (
            f"{text}, but the last {len(logins)} logins of {len(people)} people all came from {next(iter(addresses))}:"
            " a proxy seems to stand in front that is not counted, so that everyone shares one limit"
        )
    if hops == 0 and services.settings.is_production and not is_local_host(services.settings.host):
        return Grade.OK, f"{text}: right only where clients connect to this process directly"
    return Grade.OK, text


async def _data_folder(services: "Services") -> Verdict:
    folder = services.settings.data_dir
    free = shutil.disk_usage(folder).free
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        return Grade.WARNING, f"{folder} can be read by others (mode {mode:o}); chmod 700 it"
    if free < _LEAST_FREE_BYTES:
        return Grade.WARNING, f"{folder} has only {free >> 20} MiB left"
    return Grade.OK, f"{folder}, {free >> 30} GiB free"


async def _mail(services: "Services") -> Verdict:
    from app.mail.errors import MailError  # noqa: PLC0415

    settings = services.settings
    if settings.smtp_host is None:
        grade = Grade.WARNING if settings.is_production else Grade.OK
        return grade, "SMTP_HOST is not set: mails are only written into the outbox folder"
    server = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        await services.mailer.check()
    except MailError as error:
        return Grade.FAILED, f"{server} takes no mail: {error}"
    return Grade.OK, f"{server} answers"


async def _jobs(services: "Services") -> Verdict:
    health = await services.jobs.health()
    text = f"{health.due} due, {health.dead} dead"
    if health.oldest_due_seconds > _OLDEST_JOB_SECONDS:
        return Grade.FAILED, f"{text}; the oldest waits for {health.oldest_due_seconds:.0f} s: is no worker running?"
    return (Grade.WARNING if health.dead else Grade.OK), f"{text}{'; see: jobs list --status dead' * bool(health.dead)}"


_EXAMINATIONS: dict[str, Callable[["Services"], Awaitable[Verdict]]] = {
    "secret": _secret,
    "database": _database,
    "schema": _schema,
    "clock": _clock,
    "hashing": _hashing,
    "proxies": _proxies,
    "data folder": _data_folder,
    "mail": _mail,
    "jobs": _jobs,
}
