"""Promise 2: while the database is away there are honest refusals, and none any more once it is back."""

import asyncio
import time
from dataclasses import dataclass, field, replace

from sqlalchemy import make_url

from tools.drill.client import Client, UnknownOutcomeError
from tools.drill.proxy import Fault, Proxy, proxied
from tools.drill.report import Result, at_least
from tools.drill.site import API, Person, Site, login, new_person

PROMISE = "2 honest with the database"
LONGEST_SECONDS = 5.0
RECOVERY_SECONDS = 0.5
FORGOTTEN_RECOVERY_SECONDS = 5.0
"""Nothing tells that a silent connection is dead but the timeout of what waits on it."""

DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306}
FAULTS = {Fault.REFUSED: 2.0, Fault.CUT: 2.0, Fault.STALLED: 6.0, Fault.VANISHED: 6.0}
"""How many seconds each fault lasts; the silent ones longer than a request may."""

_ARRIVAL_SECONDS = 0.05
_SETTLING_SECONDS = 0.1
_AFTERMATH_SECONDS = 0.5
_KINDS = ("read", "write", "login")
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Event:
    """One request; times on the monotonic clock. Status 0: no answer came."""

    kind: str
    started: float
    ended: float
    status: int
    has_retry_after: bool = False

    @property
    def is_success(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def is_honest_refusal(self) -> bool:
        """Whether it says that, and when, to try again."""
        return self.status == _UNAVAILABLE and self.has_retry_after


@dataclass
class Arrivals:
    """People who come one after another, whether or not those before them have been served.

    `reader` uses one session; `guest` logs in again and again, which ends the oldest sessions of the account.
    """

    port: int
    reader: Person
    guest: Person
    events: list[Event] = field(default_factory=list)

    async def flow(self) -> None:
        """Let requests of each kind arrive until cancelled."""
        tasks: set[asyncio.Task[None]] = set()
        number = 0
        try:
            while True:
                for kind in ("live", _KINDS[number % len(_KINDS)]):
                    task = asyncio.create_task(self._request(kind))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                number += 1
                await asyncio.sleep(_ARRIVAL_SECONDS)
        finally:
            await asyncio.gather(*tasks, return_exceptions=True)

    def have_recovered(self, healed_at: float) -> bool:
        """Whether every kind of request has succeeded since."""
        return set(_KINDS) <= {event.kind for event in self.events if event.is_success and event.ended > healed_at}

    async def _request(self, kind: str) -> None:
        started = time.monotonic()
        token = self.reader.access_token
        async with Client(self.port) as client:
            try:
                match kind:
                    case "live":
                        answer = await client.request("GET", "/health/live")
                    case "read":
                        answer = await client.request("GET", f"{API}/users/me", token=token)
                    case "write":
                        answer = await client.request("PATCH", f"{API}/users/me", token=token, json={"full_name": "A"})
                    case _:
                        answer = await login(client, self.guest.email)
            except (UnknownOutcomeError, ConnectionError):
                self.events.append(Event(kind, started, time.monotonic(), 0))
                return
        has_retry_after = answer.headers.get("retry-after", "").isdigit()
        self.events.append(Event(kind, started, time.monotonic(), answer.status, has_retry_after))


@dataclass(frozen=True)
class Judgement:
    """What one fault did. `recovery` is when, after the healing, every kind had succeeded; None: one never did."""

    refusals: int
    requests: int
    longest: float
    recovery: float | None
    last_refusal: float
    violations: list[str]


def judge(events: list[Event], failed_at: float, healed_at: float, recovery_limit: float) -> Judgement:
    """Hold the requests of one fault and its aftermath against the promise."""
    live = [event for event in events if event.kind == "live"]
    others = [event for event in events if event.kind != "live"]
    during = [event for event in others if event.started >= failed_at + _SETTLING_SECONDS and event.ended < healed_at]
    violations = [f"/health/live answered {event.status}" for event in live if event.status != 200]
    violations += [
        f"{event.kind} answered {event.status}{'' if event.has_retry_after else ' without Retry-After'}"
        for event in others
        if not (event.is_success or event.is_honest_refusal)
    ]
    violations += [f"{event.kind} answered {event.status} meanwhile" for event in during if event.is_success]
    longest = max((event.ended - event.started for event in events), default=0.0)
    if longest > LONGEST_SECONDS:
        violations.append(f"a request took {longest:.2f} s")
    successes = {
        kind: min((event.ended - healed_at for event in others if _recovers(event, kind, healed_at)), default=None)
        for kind in _KINDS
    }
    for kind, after in successes.items():
        if after is None or after > recovery_limit:
            violations.append(f"first {kind} {'never' if after is None else f'{after:.2f} s'} after the healing")
    known = [after for after in successes.values() if after is not None]
    return Judgement(
        refusals=sum(event.is_honest_refusal for event in during),
        requests=len(others),
        longest=longest,
        recovery=max(known) if len(known) == len(_KINDS) else None,
        last_refusal=max((event.started - healed_at for event in others if not event.is_success), default=0.0),
        violations=violations,
    )


def _recovers(event: Event, kind: str, healed_at: float) -> bool:
    return event.kind == kind and event.is_success and event.ended > healed_at


async def _one_fault(
    proxy: Proxy, arrivals: Arrivals, fault: Fault, seconds: float, *, recovery_limit: float
) -> Judgement:
    flow = asyncio.create_task(arrivals.flow())
    await asyncio.sleep(0.5)
    failed_at = time.monotonic()
    await proxy.fail(fault)
    await asyncio.sleep(seconds)
    await proxy.heal()
    healed_at = time.monotonic()
    for _ in range(round(recovery_limit / _ARRIVAL_SECONDS)):
        if arrivals.have_recovered(healed_at):
            break
        await asyncio.sleep(_ARRIVAL_SECONDS)
    await asyncio.sleep(_AFTERMATH_SECONDS)
    flow.cancel()
    await asyncio.gather(flow, return_exceptions=True)
    return judge(arrivals.events, failed_at, healed_at, recovery_limit)


async def drill(site: Site, faults: dict[Fault, float], *, recovery_seconds: float = RECOVERY_SECONDS) -> list[Result]:
    """Take the database away from a running server in each way, and give it back; then it must serve in time."""
    url = make_url(site.url)
    results = []
    async with proxied(url.port or DEFAULT_PORTS[site.backend]) as proxy:
        through_proxy = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        async with replace(site, url=through_proxy).running() as server, Client(server.port) as client:
            reader, guest = await new_person(client), await new_person(client)
            for fault, seconds in faults.items():
                limit = FORGOTTEN_RECOVERY_SECONDS if fault is Fault.VANISHED else recovery_seconds
                arrivals = Arrivals(server.port, reader, guest)
                judged = await _one_fault(proxy, arrivals, fault, seconds, recovery_limit=limit)
                results.append(_result(site, fault, judged))
    return results


def _result(site: Site, fault: Fault, judged: Judgement) -> Result:
    recovery = "never" if judged.recovery is None else f"{judged.recovery:.2f} s"
    figure = (
        f"{judged.refusals} refusals, longest {judged.longest:.2f} s, works again after {recovery}"
        f" (last refusal {max(0.0, judged.last_refusal):.2f} s)"
    )
    shortfalls = at_least(10, judged.refusals, "requests refused")
    return Result(f"{PROMISE} {fault.value}", site.name, judged.requests, 1, figure, judged.violations, shortfalls)
