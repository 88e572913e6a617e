"""Devices: who is told of a new one, which session it replaces, and what its cookie is not good for."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from app.auth.devices.codec import MAX_ACCOUNTS
from app.auth.models import AuthSession, User
from app.auth.repository import AuthSessionRepository, UserRepository
from app.auth.types import SessionEndReason
from app.main import Services
from tests.auth.browsers import COOKIE, FIREFOX, NEWER_FIREFOX, SAFARI, device_in, device_of, enter
from tests.auth.scenarios import (
    WRONG_PASSWORD,
    as_bytes,
    events_of,
    in_parallel,
    is_alive,
    log_in,
    refresh,
    stored_rows,
)
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox, html_of, text_of
from tests.support import API, PASSWORD, Account, ManualClock, prove_address, register

pytestmark = pytest.mark.usefixtures("proven")  # others get no notices


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """A delay is over only when the test says so."""
    clock.stop()


@pytest.fixture
async def elsewhere(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client in another network."""
    async with client_of(app, address="198.51.100.7") as client:
        yield client


async def told(mailbox: Mailbox, account: Account) -> list[EmailMessage]:
    """The notices of new devices that an account's owner got."""
    return [mail for mail in await mailbox.to(account.email) if mail["Subject"] == "New login to your account"]


async def test_a_device_cookie_logs_nobody_in(account: Account) -> None:
    """It is no credential: neither instead of a password nor of a token, at any door."""
    device = await device_of(account)
    client, headers = account.client, {"Cookie": f"{COOKIE}={device}"}
    assert (await enter(client, account, device, password=WRONG_PASSWORD)).status_code == 401
    for path, body in (("login", {"email": account.email}), ("refresh", {}), ("refresh", {"refresh_token": device})):
        answer = await client.post(f"{API}/auth/{path}", json=body, headers=headers)
        assert answer.status_code in {400, 422}
    form = {"username": account.email, "password": WRONG_PASSWORD}
    assert (await client.post(f"{API}/auth/token", data=form, headers=headers)).status_code == 400
    assert (await client.get(f"{API}/users/me", headers=headers)).status_code == 401
    bearer = {**headers, "Authorization": f"Bearer {device}"}
    assert (await client.get(f"{API}/users/me", headers=bearer)).status_code == 401
    assert (await client.post(f"{API}/auth/logout", headers=headers)).status_code == 401


async def test_a_disabled_account_stays_disabled_on_its_own_devices(account: Account, services: Services) -> None:
    device = await device_of(account)
    stranger = await enter(account.client, account, password=WRONG_PASSWORD)
    async with services.database.session() as session:
        await UserRepository(session, services.clock).update(UUID(account.id), {User.is_active: False})
        await session.commit()
    answer = await enter(account.client, account, device)
    assert "set-cookie" not in answer.headers
    assert code_of(answer) == code_of(stranger) == (401, "invalid_credentials")


async def test_the_cookie_is_for_this_host_alone_and_for_no_script(account: Account) -> None:
    cookie = device_in(await enter(account.client, account))
    assert (cookie["path"], cookie["domain"], cookie["samesite"].lower()) == ("/", "", "strict")
    assert cookie["secure"] is True
    assert cookie["httponly"] is True
    assert int(cookie["max-age"]) == 400 * 86_400
    refused = await log_in(account.client, account.email, WRONG_PASSWORD)
    assert "set-cookie" not in refused.headers


async def test_nothing_of_a_cookie_can_be_read_from_the_database(app: FastAPI, account: Account) -> None:
    """F7: the id of the device is stored, the mark that proves anything is not."""
    device = await device_of(account)
    stored = as_bytes(await stored_rows(app))
    mark = device.rsplit(".", 1)[1]
    assert mark.encode() not in stored
    assert base64.urlsafe_b64decode(mark + "=")[4:] not in stored


async def test_a_new_device_is_told_of(
    account: Account, elsewhere: httpx.AsyncClient, mailbox: Mailbox, clock: ManualClock
) -> None:
    """L7: by mail, with time, address and browser; nothing for the account's first session or a known device."""
    assert not await told(mailbox, account)
    at = clock.now()
    answer = await enter(elsewhere, account, user_agent=FIREFOX)
    (mail,) = await told(mailbox, account)
    for body in (text_of(mail), html_of(mail)):
        assert "198.51.100.7" in body
        assert "Firefox on Linux" in body
        assert f"{at:%H:%M}" in body
    device = device_in(answer).value
    for client in (elsewhere, account.client):
        assert (await enter(client, account, device, user_agent=SAFARI)).is_success
    assert len(await told(mailbox, account)) == 1


async def test_programs_without_cookies_are_known_by_their_name_and_network(
    account: Account, elsewhere: httpx.AsyncClient, mailbox: Mailbox
) -> None:
    """L7: an update is no new device; another program, or the same one elsewhere, is."""
    known = [(account.client, FIREFOX), (account.client, NEWER_FIREFOX)]
    strange = [(elsewhere, FIREFOX), (account.client, SAFARI), (elsewhere, "")]
    assert (await enter(account.client, account, user_agent=FIREFOX)).is_success
    mails = len(await told(mailbox, account))
    assert mails == 1
    for client, user_agent in known:
        assert (await enter(client, account, user_agent=user_agent)).is_success
        assert len(await told(mailbox, account)) == mails
    for client, user_agent in strange:
        assert (await enter(client, account, user_agent=user_agent)).is_success
        mails += 1
        assert len(await told(mailbox, account)) == mails


async def test_a_caller_of_whom_nothing_is_known_is_known_by_that(
    make_app: AppFactory, account: Account, mailbox: Mailbox
) -> None:
    """L7: without address and name, as over a UNIX socket; once told, once known."""
    async with make_app() as app, client_of(app, address="") as client:
        client.headers.pop("user-agent")
        for _ in range(2):
            assert (await log_in(client, account.email, PASSWORD)).is_success
    assert len(await told(mailbox, account)) == 1


async def test_a_device_is_new_again_after_a_long_absence(
    account: Account, services: Services, mailbox: Mailbox
) -> None:
    """L7: an account whose sessions are long forgotten has had a first one all the same."""
    async with services.database.session() as session:
        await AuthSessionRepository(session, services.clock).delete_where(AuthSession.user_id == UUID(account.id))
        await session.commit()
    assert (await enter(account.client, account)).is_success
    assert len(await told(mailbox, account)) == 1


async def test_a_failed_login_tells_nobody(account: Account, elsewhere: httpx.AsyncClient, mailbox: Mailbox) -> None:
    """L7: otherwise anyone could fill anyone's mailbox."""
    assert (await enter(elsewhere, account, user_agent=FIREFOX, password=WRONG_PASSWORD)).status_code == 401
    assert (await enter(elsewhere, account, user_agent=FIREFOX, scope="users:write")).status_code == 400
    assert not await told(mailbox, account)


async def test_an_address_that_may_be_someone_elses_is_told_nothing(
    client: httpx.AsyncClient, services: Services, mailbox: Mailbox
) -> None:
    """Mail bombing: whoever registers a stranger's address cannot have it mailed by logging in again and again."""
    victim = await register(client)
    before = await mailbox.subjects(victim.email)
    for n in range(3):
        assert (await enter(client, victim, user_agent="x" * (n + 1))).is_success
    body = {"current_password": victim.password, "new_password": "another passphrase 43"}
    assert (await victim.request("POST", "/users/me/password", json=body)).status_code == 204
    assert await mailbox.subjects(victim.email) == before
    await prove_address(services, victim)
    victim.password = body["new_password"]
    assert (await enter(client, victim, user_agent="new")).is_success
    assert len(await told(mailbox, victim)) == 1


async def test_a_day_has_five_notices_of_new_devices(
    app: FastAPI, account: Account, mailbox: Mailbox, clock: ManualClock
) -> None:
    """Mail bombing with a known password: all logins are recorded, five are told of; the next day there are more."""
    logins = await in_parallel(enter(account.client, account, user_agent="x" * n) for n in range(1, 5))
    logins += [await enter(account.client, account, user_agent="x" * n) for n in range(5, 9)]
    assert {answer.status_code for answer in logins} == {200}
    assert len(await told(mailbox, account)) == 5
    recorded = [event for event in await events_of(app, account.id) if event.action == "login"]
    assert len(recorded) == len(logins) + 1
    clock.advance(days=1, seconds=1)
    assert (await enter(account.client, account, user_agent="tomorrow")).is_success
    assert len(await told(mailbox, account)) == 6


async def test_without_limits_each_new_device_is_told_of(
    make_app: AppFactory, account: Account, mailbox: Mailbox
) -> None:
    async with make_app(rate_limits="off") as app, client_of(app) as client:
        for n in range(1, 8):
            assert (await enter(client, account, user_agent="x" * n)).is_success
    assert len(await told(mailbox, account)) == 7


Sessions = Callable[[], Awaitable[list[AuthSession]]]


@pytest.fixture
def sessions_of_account(services: Services, account: Account) -> Sessions:
    async def read() -> list[AuthSession]:
        async with services.database.read_session() as session:
            return await AuthSessionRepository(session, services.clock).list_live(UUID(account.id))

    return read


async def test_logging_in_again_ends_the_previous_session_of_the_device(app: FastAPI, account: Account) -> None:
    """L9: at once, with its tokens; those of other devices, clients and programs go on."""
    first = await enter(account.client, account)
    device = device_in(first).value
    other_device = await enter(account.client, account)
    other_client = await enter(account.client, account, device, client_id="app")
    again = await enter(account.client, account, device)
    assert device_in(again).value.split(".")[1] == device.split(".")[1]
    alive = [await is_alive(account.client, answer.json()["access_token"]) for answer in
             (first, other_device, other_client, again)]  # fmt: skip
    assert alive == [False, True, True, True]
    assert (await refresh(account.client, first.json()["refresh_token"])).status_code == 400
    assert await is_alive(account.client, account.access_token)
    ended = [event for event in await events_of(app, account.id) if event.action == "session_ended"]
    assert [event.detail for event in ended] == [{"reason": SessionEndReason.REPLACED.value}]


async def test_a_login_from_an_unknown_device_ends_no_session_without_one(account: Account, services: Services) -> None:
    """Rows of before devices were kept have none, which is no device that a stranger could share."""
    async with services.database.writer.begin() as connection:
        await connection.execute(update(AuthSession).values(device_id=None))
    assert (await enter(account.client, account)).is_success
    assert await is_alive(account.client, account.access_token)


async def test_a_device_id_without_a_mark_ends_no_session(account: Account) -> None:
    """L9: ids are no secret to whoever reads the database."""
    first = await enter(account.client, account)
    device = device_in(first).value
    assert (await enter(account.client, account, device.rsplit(".", 1)[0])).is_success
    assert await is_alive(account.client, first.json()["access_token"])


async def test_parallel_logins_of_one_device_leave_one_session(account: Account, sessions_of_account: Sessions) -> None:
    """L9: whoever clicks twice is logged in once."""
    device = await device_of(account)
    before = len(await sessions_of_account())
    answers = await in_parallel(enter(account.client, account, device) for _ in range(5))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await sessions_of_account()) == before


async def test_several_people_share_a_device(client: httpx.AsyncClient, services: Services, mailbox: Mailbox) -> None:
    """L7, L9: it stays known to each of them, up to a number; nobody's login ends another's session."""
    people = [await register(client) for _ in range(MAX_ACCOUNTS + 1)]
    for person in people:
        await prove_address(services, person)
    device: str | None = None
    tokens = []
    for person in people[:MAX_ACCOUNTS]:
        answer = await enter(client, person, device, user_agent=SAFARI)
        device = device_in(answer).value
        tokens.append(answer.json()["access_token"])
        assert len(await told(mailbox, person)) == 1
    assert all([await is_alive(client, token) for token in tokens])
    for person in people[:MAX_ACCOUNTS]:
        device = device_in(await enter(client, person, device, user_agent=FIREFOX)).value
        assert len(await told(mailbox, person)) == 1
    assert not any([await is_alive(client, token) for token in tokens])
    device = device_in(await enter(client, people[-1], device)).value
    assert device.count(".") == MAX_ACCOUNTS + 1
    assert (await enter(client, people[0], device, user_agent="new")).is_success
    assert len(await told(mailbox, people[0])) == 2, "the one that was there longest ago is forgotten"
