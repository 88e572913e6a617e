"""R8: typed codes. Five wrong tries, ten minutes, one address, one purpose; however many guess at once."""

import httpx
import pytest
from fastapi import FastAPI

from app.main import Services
from tests.auth.mail_flows.flows import (
    NEW_PASSWORD,
    change_email,
    email_of,
    forgot,
    post,
    token_to,
    tokens_in,
)
from tests.auth.scenarios import in_parallel, log_in
from tests.auth.stage import code_of
from tests.auth.test_limits import throttles
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox
from tests.statements import recorded_sql
from tests.support import Account, ManualClock, register

INVALID = (400, "code_invalid")


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Codes grow old only when the test says so."""
    clock.stop()


def wrong(code: str) -> str:
    """Another code."""
    return f"{(int(code) + 1) % 1_000_000:06}"


async def reset(client: httpx.AsyncClient, email: str, code: str, password: str = NEW_PASSWORD) -> httpx.Response:
    return await post(client, "/auth/password/reset", email=email, code=code, new_password=password)


async def reset_code(account: Account, mailbox: Mailbox) -> str:
    assert (await forgot(account.client, account.email)).status_code == 202
    return await mailbox.code(account.email)


async def test_a_code_does_what_the_link_does_once(account: Account, mailbox: Mailbox) -> None:
    code = await reset_code(account, mailbox)
    token = await token_to(mailbox, account.email)
    assert (await reset(account.client, account.email.upper(), f" {code} ")).status_code == 204
    assert (await log_in(account.client, account.email, NEW_PASSWORD)).is_success
    assert code_of(await reset(account.client, account.email, code)) == INVALID
    used = await post(account.client, "/auth/password/reset", token=token, new_password=NEW_PASSWORD)
    assert code_of(used) == (400, "token_used")


async def test_five_wrong_tries_kill_it_and_spare_the_link(account: Account, mailbox: Mailbox) -> None:
    code = await reset_code(account, mailbox)
    for _ in range(5):
        assert code_of(await reset(account.client, account.email, wrong(code))) == INVALID
    assert code_of(await reset(account.client, account.email, code)) == INVALID
    token = await token_to(mailbox, account.email)
    answer = await post(account.client, "/auth/password/reset", token=token, new_password=NEW_PASSWORD)
    assert answer.status_code == 204


async def test_four_wrong_tries_do_not(account: Account, mailbox: Mailbox) -> None:
    code = await reset_code(account, mailbox)
    for _ in range(4):
        await reset(account.client, account.email, wrong(code))
    assert (await reset(account.client, account.email, code)).status_code == 204


async def test_a_right_code_is_no_wrong_try(account: Account, mailbox: Mailbox) -> None:
    """A password that is refused again and again does not use the code up."""
    code = await reset_code(account, mailbox)
    for _ in range(7):
        assert (await reset(account.client, account.email, code, "short")).json()["code"] == "weak_password"
    assert (await reset(account.client, account.email, code)).status_code == 204


async def test_twenty_guesses_at_once_are_five(
    account: Account, mailbox: Mailbox, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brute force in parallel: no more than five guesses are compared, whatever their order."""
    code = await reset_code(account, mailbox)
    compared = []

    def is_code(_codec: object, guess: str, *_: object) -> bool:
        compared.append(guess)
        return False

    monkeypatch.setattr(type(services.auth.one_time_tokens), "is_code", is_code)
    guesses = [f"{(int(code) + n) % 1_000_000:06}" for n in range(20)]
    answers = await in_parallel(reset(account.client, account.email, guess) for guess in guesses)
    assert {code_of(answer) for answer in answers} == {INVALID}
    assert len(compared) == 5
    monkeypatch.undo()
    assert code_of(await reset(account.client, account.email, code)) == INVALID


async def test_thirty_right_codes_at_once_win_once(account: Account, mailbox: Mailbox) -> None:
    code = await reset_code(account, mailbox)
    words = [f"passphrase of caller {n}" for n in range(30)]
    answers = await in_parallel(reset(account.client, account.email, code, word) for word in words)
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(204) == 1
    assert set(statuses) == {204, 400}
    assert (await log_in(account.client, account.email, words[statuses.index(204)])).is_success


async def test_it_dies_after_ten_minutes_and_the_link_does_not(
    account: Account, mailbox: Mailbox, clock: ManualClock
) -> None:
    code = await reset_code(account, mailbox)
    clock.advance(minutes=10, seconds=1)
    assert code_of(await reset(account.client, account.email, code)) == INVALID
    token = await token_to(mailbox, account.email)
    answer = await post(account.client, "/auth/password/reset", token=token, new_password=NEW_PASSWORD)
    assert answer.status_code == 204


async def test_it_is_good_for_ten_minutes_from_the_mail(account: Account, mailbox: Mailbox, clock: ManualClock) -> None:
    await forgot(account.client, account.email)
    clock.advance(minutes=30)
    code = await mailbox.code(account.email)
    clock.advance(minutes=9, seconds=59)
    assert (await reset(account.client, account.email, code)).status_code == 204


async def test_it_is_useless_for_another_address(account: Account, mailbox: Mailbox) -> None:
    other = await register(account.client)
    code = await reset_code(account, mailbox)
    await reset_code(other, mailbox)
    assert code_of(await reset(account.client, other.email, code)) == INVALID
    assert code_of(await reset(account.client, "nobody@example.com", code)) == INVALID
    assert (await reset(account.client, account.email, code)).status_code == 204


async def test_it_is_useless_for_another_purpose(account: Account, mailbox: Mailbox) -> None:
    """A code that proves the address does not change the password, nor the other way round."""
    verifying = await mailbox.code(account.email)
    resetting = await reset_code(account, mailbox)
    assert code_of(await reset(account.client, account.email, verifying)) == INVALID
    for path in ("/auth/verify-email", "/auth/email/confirm"):
        assert code_of(await post(account.client, path, email=account.email, code=resetting)) == INVALID
    assert (await post(account.client, "/auth/verify-email", email=account.email, code=verifying)).status_code == 204
    assert (await reset(account.client, account.email, resetting)).status_code == 204


async def test_a_new_code_brings_new_tries_to_itself_alone(account: Account, mailbox: Mailbox) -> None:
    """Asking again does not give the first code another five tries."""
    first = await reset_code(account, mailbox)
    for _ in range(5):
        await reset(account.client, account.email, wrong(first))
    second = await reset_code(account, mailbox)
    assert first != second
    assert code_of(await reset(account.client, account.email, first)) == INVALID
    assert (await reset(account.client, account.email, second)).status_code == 204


async def test_a_change_of_address_by_code(account: Account, mailbox: Mailbox) -> None:
    """The code belongs to the new address; the present one is no key to it."""
    await change_email(account, "ada.new@example.com")
    code = await mailbox.code("ada.new@example.com")
    assert code_of(await post(account.client, "/auth/email/confirm", email=account.email, code=code)) == INVALID
    answer = await post(account.client, "/auth/email/confirm", email="Ada.New@example.com", code=code)
    assert answer.status_code == 204
    assert await email_of(account) == "ada.new@example.com"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"email": "ada@example.com"}, {"code": "123456"}, {"token": "mot_x", "code": "123456"},
        {"token": "mot_x", "email": "ada@example.com", "code": "123456"}, {"token": ""}, {"token": None},
        {"token": "x" * 129}, {"token": 1}, {"email": "ada@example.com", "code": "12345"},
        {"email": "ada@example.com", "code": "1234567"}, {"email": "ada@example.com", "code": "12345a"},
        {"email": "ada@example.com", "code": "\uff11\uff12\uff13\uff14\uff15\uff16"},
        {"email": "ada@example.com", "code": 123456},
        {"email": "no address", "code": "123456"}, {"email": "ada@example.com", "code": "123456\n1"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_proof_is_a_token_or_address_and_code(client: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await post(client, "/auth/verify-email", **body)
    assert answer.status_code == 422
    assert "1234" not in str(answer.json()["errors"])


@pytest.mark.parametrize("token", ["mot_x", "x", "\u0130", "mot_" + "a" * 80, "null", "' OR 1=1 --", "\U0001f600"])
async def test_a_token_that_is_none_is_refused_alike(client: httpx.AsyncClient, services: Services, token: str) -> None:
    """On every endpoint, without a look into the database."""
    bodies = {
        "/auth/verify-email": {}, "/auth/email/confirm": {}, "/auth/email/undo": {}, "/auth/secure-account": {},
        "/auth/password/reset": {"new_password": NEW_PASSWORD},
    }  # fmt: skip
    for path, members in bodies.items():
        assert code_of(await post(client, path, token=token, **members)) == (400, "token_unknown"), path
    assert await tokens_in(services) == []


async def test_guessing_an_address_without_mail_costs_and_tells_the_same(
    client: httpx.AsyncClient, account: Account, mailbox: Mailbox, services: Services
) -> None:
    """Rows of mails that were never sent count five wrong codes too; a sixth writes nothing, whatever the address."""
    await forgot(client, "nobody@example.com")
    await reset_code(account, mailbox)
    for email in (account.email, "nobody@example.com"):
        answers = [await reset(client, email, "000000") for _ in range(6)]
        assert {code_of(answer) for answer in answers} == {INVALID}
    tries = [row.code_tries for row in await tokens_in(services) if row.purpose == "reset_password"]
    assert tries == [5, 5]


async def test_guessing_sends_as_many_statements_whether_or_not_there_was_a_mail(
    account: Account, mailbox: Mailbox, services: Services
) -> None:
    """Or the time would tell to which addresses a mail went of late."""
    await reset_code(account, mailbox)
    sent = []
    for email in (account.email, "nobody@example.com"):
        with recorded_sql(services.database) as statements:
            assert code_of(await reset(account.client, email, "000000")) == INVALID
        sent.append(len(statements))
    assert sent[0] == sent[1] > 0


async def guesses(client: httpx.AsyncClient, email: str, count: int) -> list[httpx.Response]:
    return [await reset(client, email, f"{n:06}") for n in range(count)]


async def test_a_hundred_guesses_a_day_are_all(
    app: FastAPI, account: Account, mailbox: Mailbox, clock: ManualClock
) -> None:
    """However many codes are mailed and wherever the guesses come from; the link still works, and tomorrow codes do.

    NIST SP 800-63B section 3.2.2.
    """
    for network in range(4):
        async with client_of(app, address=f"198.51.100.{network}") as client:
            assert {code_of(answer) for answer in await guesses(client, account.email, 25)} == {INVALID}
    code = await reset_code(account, mailbox)
    refused = await reset(account.client, account.email, code)
    assert code_of(refused) == (429, "code_throttled")
    assert refused.headers["Retry-After"] == "86400"
    for path in ("/auth/verify-email", "/auth/email/confirm"):
        assert code_of(await post(account.client, path, email=account.email.upper(), code=code))[0] == 429
    token = await token_to(mailbox, account.email)
    answer = await post(account.client, "/auth/password/reset", token=token, new_password=NEW_PASSWORD)
    assert answer.status_code == 204
    clock.advance(days=1, seconds=1)
    assert (await reset(account.client, account.email, await reset_code(account, mailbox), NEW_PASSWORD)).is_success


async def test_one_network_cannot_guess_everyones_codes(
    app: FastAPI, account: Account, mailbox: Mailbox, services: Services
) -> None:
    """A network is slowed down over all addresses, known or not; others are not, nor are links."""
    for n in range(101):
        answer = await reset(account.client, f"nobody{n}@example.com", "000000")
        assert code_of(answer) == INVALID
    code = await reset_code(account, mailbox)
    refused = await reset(account.client, account.email, code)
    assert (code_of(refused), refused.headers["Retry-After"]) == ((429, "code_throttled"), "1")
    assert code_of(await post(account.client, "/auth/verify-email", token="mot_x")) == (400, "token_unknown")
    async with client_of(app, address="198.51.100.7") as elsewhere:
        assert (await reset(elsewhere, account.email, code)).status_code == 204


async def test_an_address_without_an_account_is_limited_alike(account: Account, mailbox: Mailbox, app: FastAPI) -> None:
    """429 tells nobody who has an account."""
    await reset_code(account, mailbox)
    seen = []
    for n, email in enumerate((account.email, "nobody@example.com")):
        async with client_of(app, address=f"198.51.100.{n}") as client:
            seen.append([code_of(answer) for answer in await guesses(client, email, 101)])
    assert seen[0] == seen[1] == [INVALID] * 100 + [(429, "code_throttled")]


async def test_right_codes_are_no_guesses(account: Account, mailbox: Mailbox, services: Services) -> None:
    """Nothing is left of them: neither for the address nor for the network."""
    code = await reset_code(account, mailbox)
    for _ in range(3):
        assert (await reset(account.client, account.email, code, "short")).json()["code"] == "weak_password"
    assert [count for key, count in (await throttles(services)).items() if key.startswith("code")] == [0, 0]


async def test_without_limits_codes_have_their_own(make_app: AppFactory, account: Account, mailbox: Mailbox) -> None:
    code = await reset_code(account, mailbox)
    async with make_app(rate_limits="off") as app, client_of(app) as client:
        assert {code_of(answer) for answer in await guesses(client, "nobody@example.com", 102)} == {INVALID}
        assert (await reset(client, account.email, code)).status_code == 204
