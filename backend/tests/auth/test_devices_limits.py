"""L3: strangers who guess wait, known devices do not, and no made-up cookie makes a device known."""

import base64
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.devices.codec import MAX_ACCOUNTS
from app.auth.errors import LoginThrottledError
from app.auth.limits import ACCOUNT_TOTAL_POLICY, DEVICE_POLICY, Attempt, LoginLimiter, account_key
from app.core.ids import new_id
from app.main import Services
from tests.auth.browsers import COOKIE, device_in, device_of, enter, exhaust
from tests.auth.scenarios import WRONG_PASSWORD, log_in
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox
from tests.support import API, PASSWORD, Account, ManualClock, register

Forge = Callable[[str, Account], str]


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """A delay is over only when the test says so."""
    clock.stop()


@pytest.fixture
async def elsewhere(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client in another network."""
    async with client_of(app, address="198.51.100.7") as client:
        yield client


async def test_failures_are_counted_over_all_networks(services: Services) -> None:
    """L3: a hundred are free, whoever makes them; then strangers wait, and one network more or less changes nothing."""
    async with services.database.session() as session:
        limiter = LoginLimiter(session, services.settings, services.clock)
        for n in range(ACCOUNT_TOTAL_POLICY.free + 1):
            await limiter.reserve(Attempt("somebody", f"203.0.113.{n}", is_stranger=True))
        await session.commit()
        with pytest.raises(LoginThrottledError):
            await limiter.reserve(Attempt("somebody", "192.0.2.1", is_stranger=True))
        await limiter.reserve(Attempt("somebody else", "192.0.2.1", is_stranger=True))
        await limiter.reserve(Attempt("somebody", "192.0.2.1", known_device=new_id(), is_stranger=True))
        await session.rollback()


async def test_a_hundred_failures_lock_strangers_out_but_no_known_device(
    account: Account, elsewhere: httpx.AsyncClient, services: Services, app: FastAPI
) -> None:
    """L3: over all networks together; the owner's own devices get in, from wherever they are."""
    phone = await device_of(account)
    await exhaust(services, account.id)
    assert (await log_in(elsewhere, account.email, WRONG_PASSWORD)).status_code == 401
    async with client_of(app, address="192.0.2.77") as stranger:
        for password in (WRONG_PASSWORD, PASSWORD):
            answer = await log_in(stranger, account.email, password)
            assert code_of(answer) == (429, "login_throttled")
            assert answer.headers["retry-after"] == "900"
            assert answer.headers["ratelimit-policy"] == '"login-account-total";q=100;w=86400'
        assert (await enter(stranger, account, phone)).is_success
    assert (await enter(elsewhere, account, phone)).is_success
    form = {"username": account.email, "password": PASSWORD}
    answer = await elsewhere.post(f"{API}/auth/token", data=form, headers={"Cookie": f"{COOKIE}={phone}"})
    assert answer.is_success, "L2: the form is no other door"


async def test_an_unknown_account_is_locked_like_a_known_one(
    client: httpx.AsyncClient, account: Account, services: Services
) -> None:
    """L3, L1: the limit does not tell who has an account; nor does somebody's device cookie."""
    device, unknown = await device_of(account), "nobody@example.com"
    seen = []
    for email, key in ((account.email, account.id), (unknown, account_key(unknown, None))):
        await exhaust(services, key)
        answers = [await log_in(client, email, WRONG_PASSWORD) for _ in range(3)]
        seen.append([(answer.status_code, answer.headers.get("ratelimit")) for answer in answers])
    assert seen[0] == seen[1]
    body = {"email": unknown, "password": WRONG_PASSWORD}
    answer = await client.post(f"{API}/auth/login", json=body, headers={"Cookie": f"{COOKIE}={device}"})
    assert answer.status_code == 429


async def test_strangers_get_one_guess_in_a_quarter_of_an_hour(
    app: FastAPI, account: Account, services: Services, clock: ManualClock
) -> None:
    """L3: however many networks they have; the owner's right password lifts the wait."""
    await exhaust(services, account.id)
    for n in range(3):
        async with client_of(app, address=f"192.0.2.{n}") as one, client_of(app, address=f"192.0.2.1{n}") as other:
            assert (await log_in(one, account.email, WRONG_PASSWORD)).status_code == 401
            assert (await log_in(other, account.email, WRONG_PASSWORD)).status_code == 429
        clock.advance(minutes=15)
    async with client_of(app, address="192.0.2.200") as owner, client_of(app, address="192.0.2.201") as owner_too:
        assert (await log_in(owner, account.email, PASSWORD)).is_success
        assert (await log_in(owner_too, account.email, PASSWORD)).is_success
    clock.advance(days=1)
    async with client_of(app, address="192.0.2.202") as stranger:
        assert [(await log_in(stranger, account.email, WRONG_PASSWORD)).status_code for _ in range(3)] == [401] * 3


async def test_a_known_device_is_counted_for_itself(
    account: Account, services: Services, elsewhere: httpx.AsyncClient
) -> None:
    """L3: a stolen cookie buys few guesses, and uses up nobody else's."""
    phone, laptop = await device_of(account), await device_of(account)
    statuses = [
        (await enter(elsewhere, account, phone, password=WRONG_PASSWORD)).status_code
        for _ in range(DEVICE_POLICY.free + 2)
    ]
    assert statuses == [401] * (DEVICE_POLICY.free + 1) + [429]
    refused = await enter(account.client, account, phone)
    assert refused.headers["ratelimit-policy"].startswith('"login-device";')
    assert (await enter(elsewhere, account, laptop)).is_success
    assert (await enter(elsewhere, account)).is_success
    services.clock.advance(seconds=1)  # type: ignore[attr-defined] # the test's own clock
    assert (await enter(elsewhere, account, phone)).is_success
    assert (await enter(elsewhere, account, phone, password=WRONG_PASSWORD)).status_code == 401, "counted anew"


async def test_whoever_is_logged_in_can_change_the_password_meanwhile(account: Account, services: Services) -> None:
    """L3: strangers who guess must not keep the owner from the remedy."""
    await exhaust(services, account.id)
    assert (await log_in(account.client, account.email, WRONG_PASSWORD)).status_code == 401
    body = {"current_password": PASSWORD, "new_password": "another passphrase 43"}
    assert (await account.request("POST", "/users/me/password", json=body)).status_code == 204


async def test_a_reset_by_mail_lets_the_owner_in_on_any_device(
    account: Account, elsewhere: httpx.AsyncClient, services: Services, mailbox: Mailbox
) -> None:
    """L3: whoever reads the mails is no stranger any more, though others go on guessing."""
    await exhaust(services, account.id)
    assert (await log_in(account.client, account.email, WRONG_PASSWORD)).status_code == 401
    assert (await log_in(elsewhere, account.email, PASSWORD)).status_code == 429
    assert (await elsewhere.post(f"{API}/auth/password/forgot", json={"email": account.email})).status_code == 202
    token = (await mailbox.link(account.email)).partition("?token=")[2]
    body = {"token": token, "new_password": "another passphrase 43"}
    assert (await elsewhere.post(f"{API}/auth/password/reset", json=body)).status_code == 204
    assert (await log_in(elsewhere, account.email, "another passphrase 43")).is_success


def tampered(device: str, _account: Account) -> str:
    mark = bytearray(base64.urlsafe_b64decode(device[-27:] + "="))
    mark[-1] ^= 1
    return device[:-27] + base64.urlsafe_b64encode(mark).decode().rstrip("=")


def rejuvenated(device: str, _account: Account) -> str:
    mark = base64.urlsafe_b64decode(device[-27:] + "=")
    hour = (int.from_bytes(mark[:4]) + 1).to_bytes(4)
    return device[:-27] + base64.urlsafe_b64encode(hour + mark[4:]).decode().rstrip("=")


def on_another_device(device: str, _account: Account) -> str:
    prefix, device_id, mark = device.split(".")
    return f"{prefix}.{UUID(int=UUID(device_id).int ^ 1).hex}.{mark}"


FORGERIES: dict[str, Forge] = {
    "nothing": lambda _device, _account: "",
    "garbage": lambda _device, _account: "dv1.x.y",
    "another version": lambda device, _account: device.replace("dv1", "dv2"),
    "no mark": lambda device, _account: device.rsplit(".", 1)[0],
    "the account's id for a mark": lambda device, account: f"{device.rsplit('.', 1)[0]}.{account.id}",
    "one bit": tampered,
    "another hour": rejuvenated,
    "another device": on_another_device,
    "what is no device": lambda device, _account: f"dv1.somewhere.{device[-27:]}",
    "a short mark": lambda device, _account: device[:-1],
    "what is no base64": lambda device, _account: f"{device[:-27]}{'!' * 27}",
    "what is no ASCII": lambda device, _account: f"{device[:-1]}é",
    "too many marks": lambda device, _account: device + device[-28:] * MAX_ACCOUNTS,
    "very long": lambda device, _account: device + "." + "A" * 4000,
    "quoted": lambda device, _account: f'"{device[:-3]}\\303\\251"',
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_cookie_is_a_strangers(account: Account, services: Services, forge: Forge) -> None:
    """L3: it opens no door that is closed to strangers, and closes none that is open to them."""
    forged = forge(await device_of(account), account)
    headers = {b"Cookie": f"{COOKIE}={forged}".encode()}
    body = {"email": account.email, "password": PASSWORD}
    answer = await account.client.post(f"{API}/auth/login", json=body, headers=headers)
    assert device_in(answer).value != forged
    await exhaust(services, account.id)
    assert (await log_in(account.client, account.email, WRONG_PASSWORD)).status_code == 401
    answer = await account.client.post(f"{API}/auth/login", json=body, headers=headers)
    assert code_of(answer) == (429, "login_throttled")


async def test_another_accounts_cookie_is_a_strangers(client: httpx.AsyncClient, services: Services) -> None:
    """L3: otherwise whoever has any account could guess at all others."""
    attacker, victim = await register(client), await register(client)
    device = await device_of(attacker)
    await exhaust(services, victim.id)
    assert (await log_in(client, victim.email, WRONG_PASSWORD)).status_code == 401
    assert (await enter(client, victim, device)).status_code == 429


async def test_another_installations_cookie_is_a_strangers(
    make_app: AppFactory, account: Account, services: Services
) -> None:
    other_key = "qWm4-another-random-key-8Zr1Lx7Vb2Ny5Tc9"
    async with make_app(secret_key=other_key, jwt_algorithm="HS256") as app, client_of(app) as client:
        foreign = device_in(await enter(client, account)).value
    await exhaust(services, account.id)
    assert (await log_in(account.client, account.email, WRONG_PASSWORD)).status_code == 401
    assert (await enter(account.client, account, foreign)).status_code == 429


async def test_a_cookie_lasts_as_long_as_browsers_keep_it(
    account: Account, services: Services, clock: ManualClock
) -> None:
    device, renewed = await device_of(account), await device_of(account)
    clock.advance(days=399)
    renewed = device_in(await enter(account.client, account, renewed)).value
    clock.advance(days=2)
    await exhaust(services, account.id)
    assert (await log_in(account.client, account.email, WRONG_PASSWORD)).status_code == 401
    assert (await enter(account.client, account, device)).status_code == 429
    assert (await enter(account.client, account, renewed)).is_success


async def test_a_new_password_makes_every_device_a_strangers(account: Account, services: Services) -> None:
    """Whoever knew the old one may have made himself known by it."""
    device = await device_of(account)
    account.password = "another passphrase 43"
    body = {"current_password": PASSWORD, "new_password": account.password}
    assert (await account.request("POST", "/users/me/password", json=body)).status_code == 204
    await exhaust(services, account.id)
    assert (await log_in(account.client, account.email, WRONG_PASSWORD)).status_code == 401
    assert (await enter(account.client, account, device)).status_code == 429


async def test_a_renewed_hash_makes_no_device_a_strangers(
    make_app: AppFactory, account: Account, services: Services
) -> None:
    """P10 beside L3: the cookie that comes with the login that renews the hash is good for the new one."""
    async with make_app(bcrypt_rounds=5) as app, client_of(app) as client:
        device = device_in(await enter(client, account)).value
        await exhaust(services, account.id)
        assert (await log_in(client, account.email, WRONG_PASSWORD)).status_code == 401
        assert (await enter(client, account, device)).is_success
