"""Promise 1: what was acknowledged is there after `kill -9`, and nothing is there by half."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import func, select

from app.auth.models import AuditEvent, AuthSession, User
from app.auth.types import AuditAction
from tools.drill.client import Answer, Client, RefusedError, UnknownOutcomeError
from tools.drill.report import Result, at_least
from tools.drill.site import API, Person, Site, login, new_address, register
from tools.server import LiveServer, free_port

PROMISE = "1 acknowledged writes survive kill -9"
WRITERS = 4
PATCHES_PER_PERSON = 3
_MODES = ("before_answer", "before_commit", "after_commit", "random")
_MINIMUM_WRITES_PER_KILL = 15
_DEATH_SECONDS = 10.0
_UNAVAILABLE = 503


@dataclass
class History:
    """What became of the writes about one account. `sessions` and `patches` are those acknowledged."""

    id: UUID | None = None
    sessions: set[UUID] = field(default_factory=set)
    patches: list[str] = field(default_factory=list)
    unknown_patch: str | None = None


@dataclass
class Ledger:
    """What the writers of one life of the server know. Their accounts' addresses begin with `prefix`."""

    prefix: str
    accounts: dict[str, History] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)

    def note(self, answer: Answer) -> bool:
        """Count an answer; whether the write is acknowledged."""
        if answer.is_success:
            self.outcomes["acknowledged"] += 1
        elif answer.status == _UNAVAILABLE:
            self.outcomes["refused"] += 1
        else:
            self.surprises.append(f"a write was answered {answer.status}: {answer.body[:200]!r}")
        return answer.is_success


async def _write_until_dead(port: int, ledger: Ledger) -> None:
    async with Client(port) as client:
        try:
            while not ledger.surprises:
                await _one_account(client, ledger)
        except RefusedError:
            ledger.outcomes["refused"] += 1
        except UnknownOutcomeError:
            ledger.outcomes["unknown"] += 1


async def _one_account(client: Client, ledger: Ledger) -> None:
    email = new_address(ledger.prefix)
    history = ledger.accounts[email] = History()
    answer = await register(client, email)
    if not ledger.note(answer):
        return
    history.id = UUID(answer.json()["id"])
    person = Person(history.id, email)
    answer = await login(client, email)
    if not ledger.note(answer):
        return
    history.sessions.add(person.keep(answer))
    for number in range(PATCHES_PER_PERSON):
        history.unknown_patch = f"Name {number}"
        body = {"full_name": history.unknown_patch}
        answer = await client.request("PATCH", f"{API}/users/me", token=person.access_token, json=body)
        if ledger.note(answer):
            history.patches.append(history.unknown_patch)
        history.unknown_patch = None


@dataclass
class Findings:
    """What the database says about the ledgers. `applied` are writes of unknown outcome that are there."""

    lost: list[str] = field(default_factory=list)
    halves: list[str] = field(default_factory=list)
    applied: int = 0


async def check(site: Site, ledger: Ledger, findings: Findings) -> None:
    """Compare one life's ledger with the database."""
    mine = User.email_normalized.startswith(ledger.prefix)
    users = {row.email: row for row in await site.fetch(select(User.id, User.email, User.full_name).where(mine))}
    events = Counter(
        (row.action, row.session_id if row.action is AuditAction.LOGIN else row.user_id)
        for row in await site.fetch(
            select(AuditEvent.action, AuditEvent.user_id, AuditEvent.session_id)
            .join(User, User.id == AuditEvent.user_id)
            .where(mine)
        )
    )
    sessions: dict[UUID, set[UUID]] = {}
    owned = select(AuthSession.id, AuthSession.user_id).join(User, User.id == AuthSession.user_id).where(mine)
    for row in await site.fetch(owned):
        sessions.setdefault(row.user_id, set()).add(row.id)
        if events[AuditAction.LOGIN, row.id] != 1:
            findings.halves.append(f"session {row.id} without its event")
    for email, history in ledger.accounts.items():
        user = users.get(email)
        if user is None:
            findings.lost += [f"account {email}"] if history.id is not None else []
            continue
        if events[AuditAction.REGISTERED, user.id] != 1:
            findings.halves.append(f"account {email} without its event")
        findings.applied += history.id is None
        present = sessions.get(user.id, set())
        findings.lost += [f"session {session}" for session in history.sessions - present]
        findings.applied += len(present - history.sessions)
        _check_profile(user.full_name, events[AuditAction.PROFILE_UPDATED, user.id], history, email, findings)
    await _check_orphans(site, findings)


def _check_profile(name: str | None, event_count: int, history: History, email: str, findings: Findings) -> None:
    acknowledged = len(history.patches)
    if name == (history.patches[-1] if history.patches else None) and event_count == acknowledged:
        return
    if name is not None and name == history.unknown_patch and event_count == acknowledged + 1:
        findings.applied += 1
        return
    is_half = event_count >= acknowledged
    (findings.halves if is_half else findings.lost).append(
        f"profile of {email}: {name!r} after {event_count} events, {acknowledged} acknowledged"
    )


async def _check_orphans(site: Site, findings: Findings) -> None:
    """Events of accounts and sessions that are not there."""
    of_users = select(func.count()).select_from(AuditEvent).outerjoin(User, User.id == AuditEvent.user_id)
    of_sessions = (
        select(func.count()).select_from(AuditEvent).outerjoin(AuthSession, AuthSession.id == AuditEvent.session_id)
    )
    for statement, action, missing in (
        (of_users, AuditAction.REGISTERED, User.id),
        (of_sessions, AuditAction.LOGIN, AuthSession.id),
    ):
        [[count]] = await site.fetch(statement.where(AuditEvent.action == action, missing.is_(None)))
        findings.halves += [f"{count} events '{action.value}' of nothing"] if count else []


async def _one_life(server: LiveServer, mode: str, chance: random.Random, ledger: Ledger) -> bool:
    """Write until the server is dead; whether it died by SIGKILL."""
    writers = [asyncio.create_task(_write_until_dead(server.port, ledger)) for _ in range(WRITERS)]
    if mode == "random":
        await asyncio.sleep(chance.uniform(0.3, 0.9))
        server.process.kill()
    await asyncio.wait(writers, timeout=_DEATH_SECONDS)
    is_killed = await asyncio.to_thread(_is_killed, server)
    server.kill()
    await asyncio.gather(*writers)
    return is_killed


def _is_killed(server: LiveServer) -> bool:
    return server.process.poll() is not None or server.process.wait(1) != 0


async def drill(site: Site, kills: int, seed: int) -> Result:
    """Kill the server again and again under writes: at random, around commits, and right before answers."""
    chance, port, findings = random.Random(seed), str(free_port()), Findings()  # noqa: S311 - to be repeatable
    outcomes: Counter[str] = Counter()
    surprises: list[str] = []
    applied_at_commit = done = 0
    ledger: Ledger | None = None
    for life in range(kills + 1):
        mode = _MODES[life % len(_MODES)]
        failpoint = "" if mode == "random" or life == kills else f"{mode}:kill:{chance.randint(20, 60)}"
        # Failpoints count what passes them: the commits of jobs would come between.
        server = site.start(PORT=port, FAILPOINTS=failpoint, JOB_WORKERS="0", METRICS_FLUSH_SECONDS="0")
        try:
            await asyncio.to_thread(server.wait_until_ready)
            if ledger is not None:
                before = findings.applied
                await check(site, ledger, findings)
                applied_at_commit += (findings.applied - before) * (_MODES[(life - 1) % len(_MODES)] == "before_answer")
            if life == kills:
                await asyncio.to_thread(server.stop)
                break
            ledger = Ledger(f"life{life}-")
            done += await _one_life(server, mode, chance, ledger)
            outcomes += ledger.outcomes
            surprises += ledger.surprises
        finally:
            server.kill()
    figure = (
        f"{len(findings.lost)} lost, {len(findings.halves)} half-applied of {outcomes['acknowledged']:,} acknowledged;"
        f" {outcomes['unknown']} unknown, {findings.applied} of them applied"
    )
    return Result(
        PROMISE,
        site.name,
        outcomes.total(),
        done,
        figure,
        violations=[*surprises, *findings.lost, *findings.halves],
        shortfalls=[
            *at_least(kills, done, "kills"),
            *at_least(kills * _MINIMUM_WRITES_PER_KILL, outcomes["acknowledged"], "acknowledged writes"),
            *at_least(kills, outcomes["unknown"], "writes cut off by a kill"),
            *at_least(1, applied_at_commit, "kills between commit and answer"),
        ],
    )
