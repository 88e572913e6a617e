"""What a guest made becomes an account's: all of it, once, and nobody else's."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import IntegrityError

from app.auth.guests.claims import ClaimRegistry
from app.auth.types import AuditAction
from app.core.errors import ConflictError
from app.db.engine import Session
from app.main import Services
from tests.auth.guests.stage import (
    GONE,
    HEADER,
    Visitor,
    claim,
    entered,
    go_on,
    guest_rows,
    make_thing,
    owners,
    visitor,
)
from tests.auth.mail_flows.flows import token_to
from tests.auth.scenarios import actions_of
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox
from tests.statements import recorded_sql
from tests.support import API, PASSWORD, Account, ManualClock, register


@pytest.fixture
async def rival(client: httpx.AsyncClient) -> Account:
    """Another account."""
    return await register(client)


async def test_everything_changes_hands_and_the_token_dies(
    app: FastAPI, guest: Visitor, stranger: httpx.AsyncClient, services: Services, account: Account
) -> None:
    things = {await make_thing(services, guest_id=guest.id) for _ in range(3)}
    other = await visitor(stranger)
    foreign = await make_thing(services, guest_id=other.id)
    answer = await claim(account, guest.token)
    assert (answer.status_code, answer.json()) == (200, {"guest_id": guest.id})
    found = await owners(services)
    assert {found[thing] for thing in things} == {(account.id, None)}
    assert found[foreign] == (None, other.id)
    assert code_of(await guest.get("/probe")) == GONE
    assert (await other.get("/probe")).is_success
    assert (await actions_of(app, account.id)).count(AuditAction.GUEST_CLAIMED) == 1


async def test_to_repeat_it_changes_nothing(
    app: FastAPI, guest: Visitor, services: Services, account: Account, clock: ManualClock
) -> None:
    """Also much later: the answer may have been lost on the way."""
    first = await claim(account, guest.token)
    (before,) = await guest_rows(services)
    again = await claim(account, guest.token)
    clock.advance(days=31)
    await account.login()
    late = await claim(account, guest.token)
    assert first.json() == again.json() == late.json()
    (after,) = await guest_rows(services)
    assert (before.claimed_at, before.claimed_by_user_id) == (after.claimed_at, after.claimed_by_user_id)
    assert (await actions_of(app, account.id)).count(AuditAction.GUEST_CLAIMED) == 1


async def test_the_first_account_has_it_for_good(
    guest: Visitor, services: Services, account: Account, rival: Account
) -> None:
    thing = await make_thing(services, guest_id=guest.id)
    await claim(account, guest.token)
    assert code_of(await claim(rival, guest.token)) == (409, "guest_claimed")
    login = {"email": rival.email, "password": rival.password}
    assert (await rival.client.post(f"{API}/auth/login", json=login, headers=guest.headers)).is_success
    assert (await owners(services))[thing] == (account.id, None)


async def test_it_stays_dead_when_the_account_is_deleted(
    guest: Visitor, services: Services, account: Account, rival: Account
) -> None:
    await claim(account, guest.token)
    async with services.database.writer.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM users WHERE username = 'ada'")
    (row,) = await guest_rows(services)
    assert row.claimed_by_user_id is None
    assert row.claimed_at is not None
    assert code_of(await claim(rival, guest.token)) == (409, "guest_claimed")
    assert code_of(await guest.get("/probe")) == GONE


async def test_of_many_at_once_exactly_one_gets_it(
    guest: Visitor, services: Services, client: httpx.AsyncClient, account: Account
) -> None:
    thing = await make_thing(services, guest_id=guest.id)
    accounts = [account, *[await register(client) for _ in range(4)]]
    answers = await asyncio.gather(*(claim(one, guest.token) for one in accounts))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, 409, 409, 409, 409]
    winner = next(one for one, answer in zip(accounts, answers, strict=True) if answer.is_success)
    assert (await owners(services))[thing] == (winner.id, None)


async def test_one_account_many_times_at_once(guest: Visitor, services: Services, account: Account) -> None:
    thing = await make_thing(services, guest_id=guest.id)
    login = {"email": account.email, "password": account.password}
    answers = await asyncio.gather(
        *(claim(account, guest.token) for _ in range(3)),
        *(account.client.post(f"{API}/auth/login", json=login, headers=guest.headers) for _ in range(3)),
    )
    assert {answer.status_code for answer in answers} == {200}
    assert (await owners(services))[thing] == (account.id, None)


async def test_nothing_is_made_for_a_guest_who_is_claimed_meanwhile(
    guest: Visitor, services: Services, account: Account
) -> None:
    """A request that has passed the check of its token ends before the claim, so that its row is claimed as well."""
    entered.clear()
    go_on.clear()
    making = asyncio.create_task(guest.request("POST", "/probe/slowly"))
    await entered.wait()
    claiming = asyncio.create_task(claim(account, guest.token))
    await asyncio.sleep(0.05)
    assert not claiming.done()
    go_on.set()
    made, claimed = await asyncio.gather(making, claiming)
    assert made.is_success
    assert claimed.is_success
    assert (await owners(services))[made.json()] == (account.id, None)
    assert code_of(await guest.request("POST", "/probe")) == GONE


async def test_a_login_claims(guest: Visitor, services: Services, account: Account, app: FastAPI) -> None:
    thing = await make_thing(services, guest_id=guest.id)
    body = {"email": account.email, "password": account.password}
    assert (await account.client.post(f"{API}/auth/login", json=body, headers=guest.headers)).is_success
    assert (await owners(services))[thing] == (account.id, None)
    assert AuditAction.GUEST_CLAIMED in await actions_of(app, account.id)


async def test_a_login_by_form_claims(guest: Visitor, services: Services, account: Account) -> None:
    thing = await make_thing(services, guest_id=guest.id)
    form = {"username": account.email, "password": account.password}
    assert (await account.client.post(f"{API}/auth/token", data=form, headers=guest.headers)).is_success
    assert (await owners(services))[thing] == (account.id, None)


async def test_a_registration_claims(guest: Visitor, services: Services, client: httpx.AsyncClient) -> None:
    thing = await make_thing(services, guest_id=guest.id)
    body = {"email": "new@example.com", "password": PASSWORD}
    answer = await client.post(f"{API}/auth/register", json=body, headers=guest.headers)
    assert answer.status_code == 201
    assert (await owners(services))[thing] == (answer.json()["id"], None)


async def test_a_registration_by_invitation_claims(
    guest: Visitor, services: Services, admin: Account, mailbox: Mailbox, client: httpx.AsyncClient
) -> None:
    thing = await make_thing(services, guest_id=guest.id)
    assert (await admin.request("POST", "/admin/invitations", json={"email": "new@example.com"})).is_success
    invitation = await token_to(mailbox, "new@example.com")
    body = {"email": "new@example.com", "password": PASSWORD, "invitation": invitation}
    answer = await client.post(f"{API}/auth/register", json=body, headers=guest.headers)
    assert answer.status_code == 201, answer.text
    assert (await owners(services))[thing] == (answer.json()["id"], None)


async def test_where_addresses_are_confirmed_first_the_first_login_claims(
    guest: Visitor, services: Services, make_app: AppFactory
) -> None:
    """A registration proves nothing yet: anyone can name an address."""
    thing = await make_thing(services, guest_id=guest.id)
    body = {"email": "new@example.com", "password": PASSWORD}
    async with make_app(registration="verified") as app, client_of(app) as client:
        assert (await client.post(f"{API}/auth/register", json=body, headers=guest.headers)).status_code == 202
        assert (await owners(services))[thing] == (None, guest.id)
        account = await register_completely(client, app, body)
        assert (await owners(services))[thing] == (None, guest.id)
        assert (await client.post(f"{API}/auth/login", json=body, headers=guest.headers)).is_success
    assert (await owners(services))[thing] == (account, None)


async def register_completely(client: httpx.AsyncClient, app: FastAPI, body: dict[str, str]) -> str:
    """Confirm a registration by the code in its mail; the account's id."""
    mailbox = Mailbox(app.state.merit)
    code = await mailbox.code(body["email"])
    proof = {"email": body["email"], "code": code, "password": body["password"]}
    assert (await client.post(f"{API}/auth/verify-email", json=proof)).is_success
    login = (await client.post(f"{API}/auth/login", json=body)).json()
    me = await client.get(f"{API}/users/me", headers={"Authorization": f"Bearer {login['access_token']}"})
    return str(me.json()["id"])


@pytest.mark.parametrize("text", ["", "x", "mgt_x", "mgt_" + "0" * 22 + "_" + "0" * 60, "é", "x" * 5000])
async def test_a_login_never_fails_for_a_dead_guest(account: Account, text: str) -> None:
    """Browsers keep tokens that have died; nobody is to be locked out by one."""
    body = {"email": account.email, "password": account.password}
    headers = [(HEADER.encode(), text.encode())]
    assert (await account.client.post(f"{API}/auth/login", json=body, headers=headers)).is_success
    form = {"username": account.email, "password": account.password}
    assert (await account.client.post(f"{API}/auth/token", data=form, headers=headers)).is_success


@pytest.fixture
async def with_broken_claims(services: Services) -> AsyncIterator[ClaimRegistry]:
    """A domain whose claims fail after they have changed something."""
    registry = services.auth.guests.claims
    broken = registry._claims.copy()

    async def fail(session: Session, guest_id: UUID, user_id: UUID) -> None:
        connection = await session.connection()
        await connection.exec_driver_sql("UPDATE conversations SET title = 'half done'")
        raise failures.pop()

    registry.register("broken", fail)
    yield registry
    registry._claims.clear()
    registry._claims.update(broken)


failures: list[Exception] = []


@pytest.mark.parametrize("error", [ConflictError("full"), IntegrityError("UPDATE", {}, Exception("taken"))])
async def test_a_claim_that_fails_leaves_everything_as_it_was(
    guest: Visitor, services: Services, account: Account, with_broken_claims: ClaimRegistry, error: Exception
) -> None:
    """One transaction: the guest goes on as a guest, and the login stands all the same."""
    thing = await make_thing(services, guest_id=guest.id)
    failures.extend([error, error])
    body = {"email": account.email, "password": account.password}
    assert (await account.client.post(f"{API}/auth/login", json=body, headers=guest.headers)).is_success
    assert code_of(await claim(account, guest.token)) == (409, "conflict")
    assert (await owners(services))[thing] == (None, guest.id)
    async with services.database.reader.connect() as connection:
        titles = (await connection.exec_driver_sql("SELECT title FROM conversations")).all()
    assert [tuple(title) for title in titles] == [(None,)]
    assert (await guest.get("/probe")).is_success
    with_broken_claims._claims.pop("broken")
    assert (await claim(account, guest.token)).is_success
    assert (await owners(services))[thing] == (account.id, None)


def test_a_domain_registers_once() -> None:
    async def nothing(_session: Session, _guest_id: UUID, _user_id: UUID) -> None: ...

    registry = ClaimRegistry()
    registry.register("things", nothing)
    with pytest.raises(ValueError, match="things"):
        registry.register("things", nothing)


async def test_a_login_without_a_guest_asks_for_none(account: Account, services: Services) -> None:
    with recorded_sql(services.database) as statements:
        assert (await account.login()).is_success
    assert not [text for text in statements if re.search(r"\bguests\b|SAVEPOINT", text)]
