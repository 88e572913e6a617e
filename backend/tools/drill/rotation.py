"""Promise 7, third part: signing keys are replaced under load, without a restart, and no request fails."""

import asyncio
import random
import secrets
import time
from base64 import urlsafe_b64decode
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from sqlalchemy import func, select, update

from app.auth.models import SigningKeyRecord, User
from app.auth.types import KeyState, Role
from tools.drill.client import Answer, Client
from tools.drill.report import Result, at_least
from tools.drill.site import API, DrillError, Person, Site, login, new_person
from tools.server import LiveServer

PROMISE = "7 a key rotation fails no request"
CALLERS = 6
_MAX_AGE_SECONDS = 1
_TOKEN_SECONDS = 60
_PROBE_SECONDS = 0.25
_ROTATION_SECONDS = 30.0
_MINIMUM_REQUESTS = 200
# A key is removed this long after it retired: life with jitter, leeway, and what workers need to hear of it.
_REMOVAL_SECONDS = 63 + 30 + 5


@dataclass
class Tally:
    """What the callers saw: requests by the key of their token, by kind, and what failed."""

    by_key: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def note(self, kind: str, answer: Answer) -> bool:
        """Count an answer; whether it was a success."""
        self.by_kind[kind] += 1
        if not answer.is_success:
            self.failures.append(f"{kind}: {answer.status} {answer.body[:200]!r}")
        return answer.is_success


class Verifier:
    """Somebody else who verifies tokens: keeps the key set exactly as long as it may, and never asks before."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kids: set[str] = set()
        self._until = float("-inf")

    async def knows(self, token: str) -> bool:
        """Whether the token's key is in the set as it is kept at this moment."""
        now = time.monotonic()
        if now >= self._until:
            answer = await self._client.request("GET", "/.well-known/jwks.json")
            self._kids = {key["kid"] for key in answer.json()["keys"]}
            self._until = now + int(answer.headers["cache-control"].rpartition("=")[2])
        return kid_of(token) in self._kids


def kid_of(token: str) -> str:
    """The key that a token names."""
    head = token.partition(".")[0]
    kid: str = orjson.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return kid


class Caller:
    """A person with several access tokens, of which each is used until just before it expires."""

    def __init__(self, person: Person, client: Client, verifier: Verifier, tally: Tally, seed: int) -> None:
        self._person = person
        self._client = client
        self._verifier = verifier
        self._tally = tally
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._tokens: deque[tuple[str, float]] = deque([(person.access_token, time.monotonic() + _TOKEN_SECONDS / 2)])

    async def run(self, stop: asyncio.Event) -> None:
        """Read, write, refresh and log in, until told to stop."""
        while not stop.is_set():
            while len(self._tokens) > 1 and self._tokens[0][1] < time.monotonic():
                self._tokens.popleft()
            try:
                await self._one_request()
            except ConnectionError as error:
                self._tally.failures.append(str(error))

    async def _one_request(self) -> None:
        draw = self._chance.random()
        if draw < 0.02 or self._tokens[-1][1] < time.monotonic():
            self._keep("login", await login(self._client, self._person.email))
        elif draw < 0.08:
            renewal = {"refresh_token": self._person.refresh_token}
            self._keep("refresh", await self._client.request("POST", f"{API}/auth/refresh", json=renewal))
            if not await self._verifier.knows(self._person.access_token):
                self._tally.failures.append("a token came before its key")
        else:
            token, _ = self._chance.choice(self._tokens)
            is_write = draw < 0.4
            method, body = ("PATCH", {"full_name": secrets.token_hex(4)}) if is_write else ("GET", None)
            answer = await self._client.request(method, f"{API}/users/me", token=token, json=body)
            if self._tally.note(method, answer):
                self._tally.by_key[kid_of(token)] += 1

    def _keep(self, kind: str, answer: Answer) -> None:
        if self._tally.note(kind, answer):
            self._person.keep(answer)
            life = answer.json()["expires_in"] - 2
            self._tokens.append((self._person.access_token, time.monotonic() + life))


async def drill(site: Site, rotations: int, seed: int) -> Result:
    """Rotate again and again while callers use all the tokens that they have."""
    settings = {
        "WORKERS": "1" if site.backend == "sqlite" else "2",
        "JWKS_MAX_AGE_SECONDS": str(_MAX_AGE_SECONDS),
        "ACCESS_TOKEN_SECONDS": str(_TOKEN_SECONDS),
        "MAX_SESSIONS_PER_USER": "1000",
    }
    tally, stop, started = Tally(), asyncio.Event(), time.monotonic()
    async with site.running(**settings) as server:
        chief = await _chief(site, server)
        workers = _workers_of(server)
        clients = [Client(server.port) for _ in range(CALLERS)]
        people = [await new_person(client) for client in clients]
        async with asyncio.TaskGroup() as group:
            for number, (person, client) in enumerate(zip(people, clients, strict=True)):
                caller = Caller(person, client, Verifier(Client(server.port)), tally, seed + number)
                group.create_task(caller.run(stop))
            try:
                for _ in range(rotations):
                    await _rotate(server, chief)
            finally:
                stop.set()
        if _workers_of(server) != workers:
            tally.failures.append("a worker was restarted")
        seconds = time.monotonic() - started
    return await _result(site, tally, rotations, seconds)


async def _chief(site: Site, server: LiveServer) -> Person:
    """A new administrator."""
    async with Client(server.port) as client:
        chief = await new_person(client)
        await site.execute(update(User).where(User.id == chief.id).values(role=Role.ADMIN))
        return chief


async def _rotate(server: LiveServer, chief: Person) -> None:
    """Begin a rotation and wait until the new key signs.

    Raises:
        DrillError: it was refused, or takes too long.
    """
    async with Client(server.port) as client:
        chief.keep(await login(client, chief.email))
        begun = await client.request("POST", f"{API}/admin/keys/rotate", token=chief.access_token, json={})
        if not begun.is_success:
            raise DrillError(f"no rotation began: {begun.status} {begun.body[:200]!r}")
        kid = begun.json()["items"][-1]["kid"]
        deadline = time.monotonic() + _ROTATION_SECONDS
        while time.monotonic() < deadline:
            keys = (await client.request("GET", f"{API}/admin/keys", token=chief.access_token)).json()["items"]
            if any(key["kid"] == kid and key["state"] == KeyState.ACTIVE.value for key in keys):
                return
            await asyncio.sleep(_PROBE_SECONDS)
    raise DrillError("the new key did not come into use")


def _workers_of(server: LiveServer) -> str:
    """The processes that serve, as /proc tells."""
    process = server.process.pid
    return Path(f"/proc/{process}/task/{process}/children").read_text()


async def _result(site: Site, tally: Tally, rotations: int, seconds: float) -> Result:
    [[removed]] = await site.fetch(select(func.count()).where(SigningKeyRecord.state == KeyState.REMOVED))
    total = tally.by_kind.total()
    figure = (
        f"{len(tally.failures)} failed of {total:,}, with tokens of {len(tally.by_key)} keys, in {seconds:.0f} s; "
        f"{tally.by_kind['login']:,} logins, {tally.by_kind['refresh']:,} refreshes; {removed} keys removed"
    )
    shortfalls = [
        *at_least(_MINIMUM_REQUESTS, total, "requests"),
        *at_least(rotations, len(tally.by_key), "keys whose tokens were used"),
        *at_least(1, min(tally.by_kind["login"], tally.by_kind["refresh"]), "logins or refreshes"),
        *(at_least(1, removed, "keys removed") if seconds > _REMOVAL_SECONDS + _ROTATION_SECONDS / 2 else []),
    ]
    return Result(PROMISE, site.name, total, rotations, figure, tally.failures, shortfalls)
