"""Promise 3: whatever is sent, nothing breaks."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from sqlalchemy import update

from app.auth.models import User
from app.auth.types import Role
from tools.drill.client import Client, UnknownOutcomeError
from tools.drill.report import Result, at_least
from tools.drill.requests import Attempt, Operation, nasty_attempts, random_attempt, read_operations
from tools.drill.site import API, Person, Site, login, new_person

PROMISE = "3 no input breaks it"
_CORPUS_CALLERS = 4
_GUEST_HEADER = "Guest-Token"
_UNAUTHORIZED = 401
_UNAVAILABLE = 503
_SERVER_ERROR = 500
_LEAST_SHARE_ADMITTED = 0.02


@dataclass
class Tally:
    """What was answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All requests."""
        return self.statuses.total()

    def count(self, low: int, high: int) -> int:
        """The answers with a status in a range."""
        return sum(count for status, count in self.statuses.items() if low <= status < high)


class Caller:
    """Someone with a role who sends one attempt after the other, and logs in anew when one of them ended the session.

    A guest, who has no role, becomes another one instead.
    """

    def __init__(self, site: Site, client: Client, tally: Tally, role: Role | None) -> None:
        self._site = site
        self._client = client
        self._tally = tally
        self._role = role
        self._guest_token = ""
        self.person: Person
        self.other: Person

    async def prepare(self) -> None:
        """Become somebody new, and know someone else."""
        self.person, self.other = await new_person(self._client), await new_person(self._client)
        if self._role is None:
            guest = await self._client.request("POST", f"{API}/guests")
            self._guest_token = guest.json()["token"]
            return
        promotion = update(User).where(User.id == self.person.id).values(role=self._role)
        await self._site.execute(promotion)
        self.person.keep(await login(self._client, self.person.email))

    def _credentials(self, attempt: Attempt) -> tuple[str | None, dict[str, str]]:
        """The access token and the headers of a request."""
        if not attempt.is_signed or self._role is not None:
            return self.person.access_token if attempt.is_signed else None, attempt.all_headers()
        return None, {_GUEST_HEADER: self._guest_token} | attempt.all_headers()

    async def send(self, attempt: Attempt) -> None:
        """Send one attempt and judge its answer."""
        token, headers = self._credentials(attempt)
        path, operation = attempt.path(), attempt.operation
        try:
            answer = await self._client.request(
                operation.method, path, token=token, body=attempt.content(), headers=headers
            )
        except UnknownOutcomeError as error:
            self._tally.statuses[0] += 1
            self._tally.violations.append(f"{operation.name}: no answer ({error})"[:300])
            return
        self._tally.statuses[answer.status] += 1
        if answer.status >= _SERVER_ERROR:
            content = (attempt.content() or b"")[:200]
            self._tally.violations.append(f"{operation.name}: {answer.status} for {path[:200]} {content!r}")
        if attempt.is_signed and answer.status == _UNAUTHORIZED:
            await self._return()

    async def _return(self) -> None:
        """Log in again, or become someone else where that is no longer possible."""
        if self._role is None:
            await self._return_as_guest()
            return
        mine = await self._client.request("GET", f"{API}/users/me", token=self.person.access_token)
        if mine.is_success:
            return
        answer = await login(self._client, self.person.email)
        if answer.is_success:
            self.person.keep(answer)
        else:
            await self.prepare()

    async def _return_as_guest(self) -> None:
        """Become another guest, if this one is gone."""
        mine = await self._client.request("GET", f"{API}/guests/me", headers={_GUEST_HEADER: self._guest_token})
        if not mine.is_success:
            await self.prepare()


async def _send_all(
    site: Site, port: int, operations: list[Operation], *, generated: int, stride: int, seed: int
) -> Tally:
    tally = Tally()

    roles = [*[Role.ADMIN] * _CORPUS_CALLERS, Role.USER, None]

    async def call(number: int, role: Role | None) -> None:
        chance = random.Random(f"{seed}.{number}")  # noqa: S311 - to be repeatable
        async with Client(port) as client:
            caller = Caller(site, client, tally, role)
            await caller.prepare()
            mine = operations[number::_CORPUS_CALLERS] if role is Role.ADMIN else []
            corpus = chain.from_iterable(_nasty(caller, operation) for operation in mine)
            for attempt in islice(corpus, 0, None, stride):
                await caller.send(attempt)
            for _ in range(-(-generated // len(roles))):
                operation = chance.choice(operations)
                await caller.send(random_attempt(operation, caller.person, caller.other, chance))

    async with asyncio.TaskGroup() as group:
        for number, role in enumerate(roles):
            group.create_task(call(number, role))
    return tally


def _nasty(caller: Caller, operation: Operation) -> Iterator[Attempt]:
    return nasty_attempts(operation, caller.person, caller.other)


def unhandled(log: Path, start: int) -> list[str]:
    """The faults that a server's log tells of, from a byte on."""
    found = []
    for line in log.read_bytes()[start:].decode().splitlines():
        if '"level":"error"' not in line:
            continue
        entry = json.loads(line)
        last = str(entry.get("exception", "")).strip().rpartition("\n")[2]
        found.append(f"log: {entry['event']} {last}"[:300])
    return found


def figure(tally: Tally, operations: Sequence[Operation]) -> str:
    """What came out, and over how many operations of the document and pages beside it."""
    unavailable = tally.statuses[_UNAVAILABLE]
    documented = sum(operation.is_documented for operation in operations)
    return (
        f"{tally.count(500, 600) - unavailable} faults, {unavailable} overloads; {tally.count(200, 300):,} admitted,"
        f" {tally.count(400, 500):,} refused, {documented} operations and {len(operations) - documented} beside them"
    )


async def drill(site: Site, *, generated: int, seed: int, stride: int = 1) -> Result:
    """Send the corpus in every field of every operation, then generated requests; look into the log at the end.

    With a `stride` of n, only every n-th request of the corpus.
    """
    log = site.folder / "server.log"
    log_start = log.stat().st_size if log.exists() else 0
    async with site.running(MAX_SESSIONS_PER_USER="1000") as server:
        async with Client(server.port) as client:
            operations = read_operations((await client.request("GET", "/openapi.json")).json())
        tally = await _send_all(site, server.port, operations, generated=generated, stride=stride, seed=seed)
    return Result(
        PROMISE,
        site.name,
        tally.total,
        0,
        figure(tally, operations),
        violations=[*tally.violations, *unhandled(log, log_start)],
        shortfalls=[
            *at_least(generated, tally.total, "requests"),
            *at_least(int(tally.total * _LEAST_SHARE_ADMITTED), tally.count(200, 300), "requests admitted"),
        ],
    )
