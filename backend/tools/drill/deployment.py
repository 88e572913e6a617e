"""Promise 7, first half: a new version takes over, and no request fails."""

import asyncio
import secrets
from collections import Counter
from dataclasses import dataclass, field

from tools.drill.client import Client, RefusedError, UnknownOutcomeError
from tools.drill.report import Result, at_least
from tools.drill.site import API, Person, Site, new_person
from tools.server import LiveServer, start_server

PROMISE = "7 a deployment fails no request"
CALLERS = 8
WORKERS = "2"
_PROBE_SECONDS = 0.2
_LOAD_SECONDS = 1.0
_MINIMUM_REQUESTS = 200


@dataclass
class Balancer:
    """What stands before the servers: sends callers to those that say they are ready, and asks them again and again."""

    servers: list[LiveServer]
    ready: list[LiveServer] = field(default_factory=list)

    async def watch(self) -> None:
        """Keep `ready` up to date until cancelled."""
        while True:
            self.ready = [server for server in self.servers if await self._is_ready(server)]
            await asyncio.sleep(_PROBE_SECONDS)

    @staticmethod
    async def _is_ready(server: LiveServer) -> bool:
        async with Client(server.port, timeout=1.0) as client:
            try:
                return (await client.request("GET", "/health/ready")).is_success
            except ConnectionError:
                return False


@dataclass
class Tally:
    """What the callers saw. `retried` are refused connections that another server took over: nothing was sent."""

    served: Counter[int] = field(default_factory=Counter)
    retried: int = 0
    failures: list[str] = field(default_factory=list)


async def _call(balancer: Balancer, person: Person, tally: Tally, stop: asyncio.Event) -> None:
    """Read and write on kept connections, on the first server that is ready."""
    clients: dict[int, Client] = {}
    while not stop.is_set():
        for server in balancer.ready:
            client = clients.setdefault(server.port, Client(server.port))
            try:
                await _one_request(client, person, tally)
                break
            except RefusedError:
                tally.retried += 1
        else:
            tally.failures.append("no server would take it")
            await asyncio.sleep(_PROBE_SECONDS)
    for client in clients.values():
        client.close()


async def _one_request(client: Client, person: Person, tally: Tally) -> None:
    is_write = bool(secrets.randbelow(2))
    method, body = ("PATCH", {"full_name": secrets.token_hex(4)}) if is_write else ("GET", None)
    try:
        answer = await client.request(method, f"{API}/users/me", token=person.access_token, json=body)
    except UnknownOutcomeError as error:
        tally.failures.append(str(error))
        return
    if answer.is_success:
        tally.served[client.port] += 1
    else:
        tally.failures.append(f"{method}: {answer.status} {answer.body[:200]!r}")


async def drill(site: Site) -> Result:
    """Under load, start the new server, wait until it is ready, end the old one by SIGTERM."""
    folder = site.folder / "next"
    folder.mkdir()
    shape = {"WORKERS": WORKERS, "DRAIN_SECONDS": "2"}
    async with site.running(**shape) as old:
        async with Client(old.port) as client:
            people = [await new_person(client) for _ in range(CALLERS)]
        tally, balancer, stop = Tally(), Balancer([old], [old]), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(balancer.watch())
            for person in people:
                group.create_task(_call(balancer, person, tally, stop))
            try:
                await asyncio.sleep(_LOAD_SECONDS)
                new = start_server(folder, **site.settings(**shape))
                try:
                    await _replace(old, new, balancer)
                finally:
                    stop.set()
                    await asyncio.sleep(_PROBE_SECONDS)
                    await asyncio.to_thread(new.stop)
            finally:
                stop.set()
                watch.cancel()
    return _result(site, tally, old, new)


async def _replace(old: LiveServer, new: LiveServer, balancer: Balancer) -> None:
    await asyncio.to_thread(new.wait_until_ready)
    balancer.servers = [old, new]
    await asyncio.sleep(_LOAD_SECONDS)
    await asyncio.to_thread(old.stop)
    await asyncio.sleep(_LOAD_SECONDS)


def _result(site: Site, tally: Tally, old: LiveServer, new: LiveServer) -> Result:
    before, after = tally.served[old.port], tally.served[new.port]
    figure = (
        f"{len(tally.failures)} failed; {before:,} served by the old, {after:,} by the new; {tally.retried} retried"
    )
    shortfalls = [
        *at_least(_MINIMUM_REQUESTS, before, "requests on the old server"),
        *at_least(_MINIMUM_REQUESTS, after, "requests on the new server"),
    ]
    return Result(PROMISE, site.name, tally.served.total(), 1, figure, tally.failures, shortfalls)
