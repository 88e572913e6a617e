"""Promise 5: however many do the same at once, it happens once."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from sqlalchemy import func, select

from app.auth.models import AuditEvent, AuthSession, User
from app.auth.types import AuditAction
from tools.drill.client import Answer, Client
from tools.drill.report import Result, at_least
from tools.drill.site import API, Person, Site, login, new_address, new_person, register
from tools.server import LiveServer

REGISTRATIONS = "5 parallel registrations make one account"
REFRESHES = "5 parallel refreshes make one successor"
LOGOUTS = "5 nothing works after a logout that races"
_CREATED, _CONFLICT = 201, 409
_PEOPLE = 8


async def drill(
    site: Site, registrations: int = 100, refreshes: int = 50, *, logouts: int = 40, seed: int = 0
) -> list[Result]:
    """Many connections at once, spread over two workers."""
    async with site.running(WORKERS="2", HASH_QUEUE_SIZE=str(registrations)) as server:
        return [
            await _register(site, server, registrations),
            await _refresh(site, server, refreshes),
            await _logout(site, server, logouts, seed),
        ]


async def _at_once(clients: list[Client], send: Callable[[int, Client], Awaitable[Answer]]) -> list[Answer]:
    answers = await asyncio.gather(*(send(number, client) for number, client in enumerate(clients)))
    for client in clients:
        client.close()
    return answers


async def _connected(server: LiveServer, count: int) -> list[Client]:
    """Clients whose connections stand already, so that what they send arrives together."""
    clients = [Client(server.port) for _ in range(count)]
    await asyncio.gather(*(client.request("GET", "/health/live") for client in clients))
    return clients


async def _register(site: Site, server: LiveServer, count: int) -> Result:
    email = new_address("Race-")
    spellings = (email, email.upper(), email.lower(), email.title())
    answers = await _at_once(
        await _connected(server, count),
        lambda number, client: register(client, spellings[number % len(spellings)]),
    )
    statuses = Counter(answer.status for answer in answers)
    [[accounts]] = await site.fetch(
        select(func.count()).select_from(User).where(User.email_normalized == email.lower())
    )
    violations = [
        f"{count} times {status}" for status, count in statuses.items() if status not in {_CREATED, _CONFLICT}
    ]
    if accounts != 1 or statuses[_CREATED] != 1:
        violations.append(f"{accounts} accounts, {statuses[_CREATED]} times 201")
    reasons = {answer.json()["code"] for answer in answers if answer.status == _CONFLICT}
    if reasons - {"email_taken"}:
        violations.append(f"409 for {reasons}")
    async with Client(server.port) as client:
        if not (await login(client, email.lower())).is_success:
            violations.append("the account does not work")
    figure = f"{accounts} account; {statuses[_CREATED]} times 201, {statuses[_CONFLICT]} times 409"
    return Result(REGISTRATIONS, site.name, count, 0, figure, violations, at_least(count, statuses.total(), "answers"))


async def _refresh(site: Site, server: LiveServer, count: int) -> Result:
    async with Client(server.port) as client:
        person = await new_person(client)
        answer = await login(client, person.email)
        session_id = person.keep(answer)
    body = {"refresh_token": person.refresh_token}
    answers = await _at_once(
        await _connected(server, count),
        lambda _, client: client.request("POST", f"{API}/auth/refresh", json=body),
    )
    successors = {answer.json()["refresh_token"] for answer in answers if answer.is_success}
    statuses = Counter(answer.status for answer in answers)
    [row] = await site.fetch(
        select(AuthSession.rt_generation, AuthSession.revoked_at).where(AuthSession.id == session_id)
    )
    [[reuses]] = await site.fetch(
        select(func.count()).where(AuditEvent.action == AuditAction.REFRESH_REUSED, AuditEvent.session_id == session_id)
    )
    violations = [f"{count} times {status}" for status, count in statuses.items() if status != 200]
    if len(successors) != 1 or row.rt_generation != 2 or row.revoked_at is not None or reuses:
        violations.append(f"{len(successors)} successors, generation {row.rt_generation}, {reuses} reuses")
    for successor in successors:
        violations += await _trouble_with(server, successor)
    figure = f"{len(successors)} successor; {statuses[200]} times 200, generation {row.rt_generation}"
    return Result(REFRESHES, site.name, count, 0, figure, violations, at_least(count, statuses.total(), "answers"))


async def _trouble_with(server: LiveServer, refresh_token: str) -> list[str]:
    """What does not work with a refresh token, and with the access token that it brings."""
    async with Client(server.port) as client:
        renewed = await client.request("POST", f"{API}/auth/refresh", json={"refresh_token": refresh_token})
        if not renewed.is_success:
            return [f"{renewed.status} for the successor"]
        me = await client.request("GET", f"{API}/users/me", token=renewed.json()["access_token"])
        return [] if me.is_success else [f"{me.status} for the successor's access token"]


async def _logout(site: Site, server: LiveServer, count: int, seed: int) -> Result:
    """Refresh and log out at once; once the logout has returned, no token of the session may work any more."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    seen: Counter[str] = Counter()

    async def one_after_the_other(rounds: int) -> None:
        async with Client(server.port) as here, Client(server.port) as there:
            person = await new_person(here)
            for _ in range(rounds):
                person.keep(await login(here, person.email))
                seen.update(await _logout_once(person, here, there, chance.uniform(-0.004, 0.004)))

    shares = [count // _PEOPLE + (number < count % _PEOPLE) for number in range(_PEOPLE)]
    await asyncio.gather(*(one_after_the_other(rounds) for rounds in shares))
    violations = [f"{number} times {what}" for what, number in seen.items() if what not in {"refreshed", "refused"}]
    done = seen["refreshed"] + seen["refused"]
    survivors = seen.total() - done
    figure = f"{survivors} tokens worked on; {seen['refreshed']} refreshed before, {seen['refused']} refused"
    return Result(LOGOUTS, site.name, count, 0, figure, violations, at_least(count, done, "rounds"))


async def _logout_once(person: Person, here: Client, there: Client, head_start: float) -> list[str]:
    """One race: how the refresh ended, and whatever works although the session has ended."""

    async def refresh() -> Answer:
        await asyncio.sleep(max(0.0, -head_start))
        return await here.request("POST", f"{API}/auth/refresh", json={"refresh_token": person.refresh_token})

    async def log_out() -> Answer:
        await asyncio.sleep(max(0.0, head_start))
        return await there.request("POST", f"{API}/auth/logout", token=person.access_token)

    refreshed, logged_out = await asyncio.gather(refresh(), log_out())
    access, renewable = [person.access_token], [person.refresh_token]
    if refreshed.is_success:
        access.append(refreshed.json()["access_token"])
        renewable.append(refreshed.json()["refresh_token"])
    found = ["refreshed" if refreshed.is_success else "refused"]
    if (refreshed.status, logged_out.status) not in {(200, 204), (400, 204)}:
        found.append(f"refresh {refreshed.status}, logout {logged_out.status}")
    for token in access:
        status = (await there.request("GET", f"{API}/users/me", token=token)).status
        if status != 401:
            found.append(f"{status} for an access token")
    for token in renewable:
        status = (await here.request("POST", f"{API}/auth/refresh", json={"refresh_token": token})).status
        if status != 400:
            found.append(f"{status} for a refresh token")
    return found
