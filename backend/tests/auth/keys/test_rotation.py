"""Keys take over from each other, and no token ever comes before the key that proves it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI

from app.auth import revocation
from app.auth.errors import RotationUnderWayError
from app.auth.keys.repository import SigningKeyRepository
from app.auth.keys.service import KeyService
from app.auth.keys.store import new_record
from app.auth.keys.types import KeySchedule
from app.auth.models import SigningKeyRecord, User
from app.auth.repository import UserRepository
from app.auth.types import AuditAction, KeyState, Role
from app.core.ids import new_id
from app.core.settings import Settings
from app.main import Services
from tests.auth.keys.workers import keys_of
from tests.auth.scenarios import events_of, is_alive, refresh
from tests.auth.stage import SteerableClock, at, code_of, eventually, running
from tests.conftest import client_of
from tests.support import API, Account, make_settings, register

MAX_AGE = timedelta(seconds=300)
Hosts = tuple[FastAPI, FastAPI]


@pytest.fixture
def time() -> SteerableClock:
    """One clock for all workers of a test, which passes only when the test says so."""
    clock = SteerableClock()
    clock.stop()
    return clock


@pytest.fixture
async def workers(keyless: Settings, time: SteerableClock) -> AsyncIterator[Hosts]:
    """Two workers of one host."""
    url, folder = keyless.database_url.get_secret_value(), keyless.data_dir  # type: ignore[union-attr]
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(running(url, folder, time)),
            await stack.enter_async_context(running(url, folder, time)),
        )


@pytest.fixture
async def chief(workers: Hosts) -> AsyncIterator[Account]:
    """An administrator at the first worker."""
    async with client_of(workers[0]) as client:
        yield await promoted(workers[0], await register(client))


async def promoted(application: FastAPI, account: Account) -> Account:
    """An account made an administrator, past the service."""
    services: Services = application.state.merit
    async with services.database.session() as session:
        users = UserRepository(session, services.clock)
        await users.update_where(User.email_normalized == account.email, values={User.role: Role.ADMIN})
        await session.commit()
    assert (await account.login()).is_success
    return account


async def states_of(application: FastAPI) -> list[str]:
    """The state of each key, the oldest first."""
    return [key.state.value for key in await keys_of(application.state.merit)]


async def published(application: FastAPI) -> set[str]:
    """The kids of the key set."""
    async with client_of(application) as client:
        return {key["kid"] for key in (await client.get("/.well-known/jwks.json")).json()["keys"]}


async def run_jobs(application: FastAPI) -> None:
    """Carry out the periodic jobs that are due at a worker."""
    await application.state.merit.jobs.run_due()


def kid_of(application: FastAPI, account: Account) -> str | None:
    """The key that signed an account's token, as a worker verifies it from what it knows."""
    kid: str | None = application.state.merit.auth.access_tokens.verify(account.access_token).kid
    return kid


async def test_a_key_goes_through_its_states(workers: Hosts, chief: Account, time: SteerableClock) -> None:
    """T6: next, active, retiring, removed, each at its time; a token of a retiring key is good until it expires."""
    here, there = workers
    old = kid_of(here, chief)
    answer = await chief.request("POST", "/admin/keys/rotate")
    assert answer.status_code == 200, answer.text
    first, new = answer.json()["items"]
    assert (first["kid"], first["state"], new["state"]) == (old, "active", "next")
    assert await published(here) == {old, new["kid"]}
    await at(there, chief).get("/users/me")
    assert await published(there) == {old, new["kid"]}
    time.advance(seconds=600)
    await run_jobs(there)
    assert await states_of(here) == ["active", "next"]
    await chief.login()
    assert kid_of(there, chief) == old

    time.advance(minutes=1)
    await run_jobs(there)
    assert await states_of(here) == ["retiring", "active"]
    aged = chief.access_token
    await chief.login()
    assert kid_of(there, chief) == new["kid"]
    for worker_ in workers:
        for token in (aged, chief.access_token):
            async with client_of(worker_) as client:
                assert await is_alive(client, token)
    assert await published(here) == {old, new["kid"]}

    lifetime = here.state.merit.auth.access_tokens.longest_life_seconds
    time.advance(seconds=lifetime)
    await run_jobs(here)
    assert await states_of(here) == ["retiring", "active"]
    assert not await is_alive(chief.client, aged)
    time.advance(minutes=1)
    await run_jobs(here)
    assert await states_of(here) == ["removed", "active"]
    assert [key.private_key == b"" for key in await keys_of(here.state.merit)] == [True, False]
    await chief.login()
    for worker_ in workers:
        await at(worker_, chief).get("/users/me")
        assert await published(worker_) == {new["kid"]}
    assert [key["kid"] for key in (await chief.get("/admin/keys")).json()["items"]] == [new["kid"]]


async def test_no_token_comes_before_its_key(workers: Hosts, chief: Account, time: SteerableClock) -> None:
    """T6: through several rotations, whoever signs, the key is known to every worker and to every verifier that keeps
    the key set as long as it may, without asking again."""
    cached, fetched_at, seen = await published(workers[0]), time.now(), Counter[str]()
    for step in range(60):
        time.advance(seconds=55)
        here, there = workers[step % 2], workers[(step + 1) % 2]
        if time.now() - fetched_at >= MAX_AGE:
            cached, fetched_at = await published(there), time.now()
        await run_jobs(there)
        signer = at(here, chief)
        assert (await signer.login()).is_success
        for application in workers:
            await at(application, signer).get("/users/me")
            kid = kid_of(application, signer)
            assert kid in cached
            seen[str(kid)] += 1
        if "next" not in await states_of(here):
            assert (await signer.request("POST", "/admin/keys/rotate")).is_success
    assert len(seen) >= 4
    assert min(seen.values()) > 5


async def test_workers_that_advance_at_once_do_it_once(workers: Hosts, chief: Account, time: SteerableClock) -> None:
    """T6: a transition happens once, however many see that its time has come; there is always one active key."""
    services = [application.state.merit for application in workers]
    assert (await chief.request("POST", "/admin/keys/rotate")).is_success
    for seconds, states in ((606, ["retiring", "active"]), (666, ["removed", "active"])):
        time.advance(seconds=seconds)

        async def advance(one: Services) -> bool:
            async with one.database.session() as session:
                is_done = await KeyService(session, one.auth).advance()
                await session.commit()
                return is_done

        outcomes = await asyncio.gather(*(advance(services[n % 2]) for n in range(6)), return_exceptions=True)
        assert outcomes.count(True) == 1, outcomes
        assert await states_of(workers[0]) == states
    changes = [event for event in await events_of(workers[0]) if event.action is AuditAction.KEY_STATE_CHANGED]
    assert [event.detail["state"] for event in changes] == ["retiring", "active", "removed"]


async def test_a_key_moves_only_from_the_state_it_was_seen_in(workers: Hosts, chief: Account) -> None:
    """T6: who comes late changes nothing."""
    services: Services = workers[0].state.merit
    async with services.database.session() as session:
        (seen,) = await SigningKeyRepository(session, services.clock).list_usable()
    assert (await chief.request("POST", "/admin/keys/rotate", json={"compromised": True})).is_success
    async with services.database.session() as session:
        with pytest.raises(RotationUnderWayError):
            await KeyService(session, services.auth)._move(seen, KeyState.RETIRING)
    assert await states_of(workers[0]) == ["removed", "active"]


async def test_one_rotation_at_a_time(workers: Hosts, chief: Account) -> None:
    """Ten administrators at once begin one rotation, and the others are told why not."""
    callers = [at(workers[n % 2], chief) for n in range(10)]
    answers = await asyncio.gather(*(caller.request("POST", "/admin/keys/rotate") for caller in callers))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 9}
    assert {code_of(answer) for answer in answers if not answer.is_success} == {(409, "rotation_under_way")}
    assert await states_of(workers[0]) == ["active", "next"]


async def test_compromised_keys_end_at_once(workers: Hosts, chief: Account) -> None:
    """An emergency: on every worker the next request refuses tokens of any old key, a retiring or next one's too; the
    new key signs, sessions live on through refresh."""
    here, there = workers
    assert (await chief.request("POST", "/admin/keys/rotate")).is_success
    other = await promoted(there, await register(at(there, chief).client))
    for application in workers:
        assert (await at(application, chief).get("/users/me")).is_success  # remembered as verified
    answer = await chief.request("POST", "/admin/keys/rotate", json={"compromised": True})
    assert answer.status_code == 200, answer.text
    (new,) = answer.json()["items"]
    assert new["state"] == "active"
    for application in workers:
        for caller in (chief, other):
            assert code_of(await at(application, caller).get("/users/me")) == (401, "invalid_token")
        assert await published(application) == {new["kid"]}
    assert await states_of(here) == ["removed", "removed", "active"]
    assert [key.private_key for key in await keys_of(here.state.merit)][:2] == [b"", b""]
    for caller in (chief, other):
        renewed = await refresh(caller.client, caller.refresh_token)
        assert renewed.is_success, renewed.text
        caller.access_token = renewed.json()["access_token"]
        for application in workers:
            assert kid_of(application, caller) == new["kid"]
            assert (await at(application, caller).get("/users/me")).is_success
    actions = [event.action for event in await events_of(here) if event.actor_id == UUID(chief.id)]
    assert AuditAction.KEYS_COMPROMISED in actions


async def test_a_login_right_after_an_emergency_is_signed_by_the_new_key(workers: Hosts, chief: Account) -> None:
    """A worker that has served nobody since learns of it before it signs."""
    here, there = workers
    person = at(there, chief)
    assert (await chief.request("POST", "/admin/keys/rotate", json={"compromised": True})).is_success
    for answer in (await person.login(), await refresh(person.client, person.refresh_token)):
        token = answer.json()["access_token"]
        assert await is_alive(chief.client, token)
        assert here.state.merit.auth.access_tokens.verify(token)


async def test_an_older_reading_never_replaces_a_newer_one(workers: Hosts, chief: Account) -> None:
    """A load that began before the emergency cannot bring a compromised key back."""
    keys = workers[0].state.merit.auth.keys
    old = kid_of(workers[0], chief)
    for _ in range(10):
        _, answer, _ = await asyncio.gather(
            keys.load(), chief.request("POST", "/admin/keys/rotate", json={"compromised": True}), keys.load()
        )
        assert answer.is_success
        await chief.login()
        await chief.get("/users/me")
        assert not keys.knows(str(old))
        old = kid_of(workers[0], chief)


async def test_another_host_learns_of_it(
    keyless: Settings,
    time: SteerableClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: Hosts,
    chief: Account,
) -> None:
    """Several hosts: at the next request on PostgreSQL, within a poll elsewhere; nothing has to be restarted."""
    monkeypatch.setattr(revocation, "_POLL_SECONDS", 0.02)
    url = keyless.database_url.get_secret_value()  # type: ignore[union-attr]
    async with running(url, tmp_path / "there", time) as there:
        person = at(there, chief)
        assert (await person.get("/users/me")).is_success
        assert (await chief.request("POST", "/admin/keys/rotate", json={"compromised": True})).is_success

        async def is_refused() -> bool:
            return (await person.get("/users/me")).status_code == 401

        if url.startswith("postgresql"):
            assert await is_refused()
        await eventually(is_refused)
        assert await published(there) == await published(workers[0])


async def test_keys_changed_past_the_service_are_found(
    workers: Hosts, chief: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was not announced is read now and then."""
    monkeypatch.setattr(revocation, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(revocation, "_LOAD_KEYS_EVERY_POLLS", 1)
    services: Services = workers[0].state.merit
    async with services.database.session() as session:
        record = new_record(services.settings.secret_key, KeyState.NEXT, services.clock)
        await SigningKeyRepository(session, services.clock).add(record)
        await session.commit()

    async def is_found() -> bool:
        return services.auth.keys.knows(record.kid)

    await eventually(is_found)


async def test_keys_are_renewed_by_themselves(
    workers: Hosts, chief: Account, time: SteerableClock, keyless: Settings, tmp_path: Path
) -> None:
    """KEY_ROTATION_DAYS: a successor is published on the day, and takes over; with 0 nothing happens."""
    time.advance(days=89)
    await run_jobs(workers[0])
    assert await states_of(workers[0]) == ["active"]
    time.advance(days=1)
    url = keyless.database_url.get_secret_value()  # type: ignore[union-attr]
    async with running(url, tmp_path / "never", time, key_rotation_days=0) as never:
        await run_jobs(never)
        assert await states_of(never) == ["active"]
        assert (await promoted(never, await register(at(never, chief).client))).access_token
    time.advance(seconds=61)
    for states in (["active", "next"], ["retiring", "active"], ["removed", "active"]):
        await run_jobs(workers[1])
        assert await states_of(workers[0]) == states
        time.advance(seconds=700)
    assert (await chief.login()).is_success
    assert kid_of(workers[0], chief) == (await keys_of(workers[0].state.merit))[1].kid


async def test_hs256_has_nothing_to_rotate(keyless: Settings, tmp_path: Path) -> None:
    """HS256: refused with a reason, no keys are listed or published, and the job does nothing."""
    url = keyless.database_url.get_secret_value()  # type: ignore[union-attr]
    async with (
        running(url, tmp_path, SteerableClock(), jwt_algorithm="HS256") as application,
        client_of(application) as client,
    ):
        chief = await promoted(application, await register(client))
        for body in ({}, {"compromised": True}):
            refused = await chief.request("POST", "/admin/keys/rotate", json=body)
            assert code_of(refused) == (409, "keys_follow_from_secret")
        assert (await chief.get("/admin/keys")).json() == {"items": []}
        assert await published(application) == set()
        await run_jobs(application)
        assert await keys_of(application.state.merit) == []


async def test_who_may_see_and_rotate_keys(workers: Hosts, chief: Account) -> None:
    """Only administrators, only by login; and nobody ever sees a private part."""
    stranger = await register(chief.client)
    for method, path in (("GET", "/admin/keys"), ("POST", "/admin/keys/rotate")):
        assert code_of(await stranger.request(method, path)) == (403, "insufficient_scope")
        assert (await chief.client.request(method, f"{API}{path}")).status_code == 401
    await chief.login(scope="keys:read")
    assert (await chief.get("/admin/keys")).is_success
    assert code_of(await chief.request("POST", "/admin/keys/rotate")) == (403, "insufficient_scope")
    await chief.login()
    refused: tuple[Any, ...] = ({"state": "active"}, {"compromised": "perhaps"}, [])
    for body in refused:
        assert (await chief.request("POST", "/admin/keys/rotate", json=body)).status_code == 422
    assert await states_of(workers[0]) == ["active"]
    for answer in (await chief.get("/admin/keys"), await chief.request("POST", "/admin/keys/rotate")):
        members = {"kid", "algorithm", "state", "created_at", "state_since", "changes_at"}
        assert {frozenset(key) for key in answer.json()["items"]} == {frozenset(members)}
        assert "PRIVATE" not in answer.text


@pytest.mark.parametrize("state", KeyState)
@pytest.mark.parametrize("to", KeyState)
async def test_a_key_goes_only_forward_one_state_at_a_time_or_is_removed(
    services: Services, state: KeyState, to: KeyState
) -> None:
    """T6: next, active, retiring, removed, in this order; only removal can come from anywhere."""
    order = [KeyState.NEXT, KeyState.ACTIVE, KeyState.RETIRING, KeyState.REMOVED]
    is_allowed = (state, to) in pairwise(order) or (to is KeyState.REMOVED and state is not KeyState.REMOVED)
    async with services.database.session() as session:
        keys = SigningKeyRepository(session, services.clock)
        key = SigningKeyRecord(id=new_id(), state=state)  # of nobody: no row is changed
        if is_allowed:
            assert not await keys.move(key, to)
        else:
            with pytest.raises(ValueError, match="cannot go"):
                await keys.move(key, to)


@pytest.mark.parametrize("max_age", [1, 300, 86_400])
def test_a_key_is_published_longer_than_anyone_keeps_the_set(max_age: int, tmp_path: Path) -> None:
    """T6: at least the max-age of the key set, and what workers need to read it."""
    settings = make_settings("sqlite:///unused.db", tmp_path, jwks_max_age_seconds=max_age)
    schedule = KeySchedule.create(settings, timedelta(seconds=660))
    assert schedule.publication >= timedelta(seconds=max_age + 5)
    assert schedule.retirement >= timedelta(seconds=660)
    assert schedule.advance_every <= timedelta(minutes=1)
