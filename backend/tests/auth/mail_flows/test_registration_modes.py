"""REGISTRATION=open, verified, invite and closed: what each answers, and when an account is made."""

import statistics
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from app.auth.mail_flows.sender import describe_moment
from app.auth.models import User
from app.auth.one_time_tokens.types import LIFETIMES, TokenPurpose
from app.main import Services
from tests.auth.mail_flows.flows import ACCEPTED, move_to, post, register, token_of, token_to, tokens_in
from tests.auth.scenarios import actions_of, in_parallel, log_in
from tests.auth.stage import code_of
from tests.auth.test_login import fingerprint, ks_p_value
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox, html_of, links_in, text_of
from tests.statements import recorded_sql
from tests.support import PASSWORD, Account, ManualClock
from tests.support import register as new_account

NEW = "ada@example.com"
CONFIRM = "Complete your registration"


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Links grow old only when the test says so."""
    clock.stop()


@pytest.fixture
async def verified(make_app: AppFactory) -> AsyncIterator[FastAPI]:
    """An application with REGISTRATION=verified."""
    async with make_app(registration="verified") as app:
        yield app


@pytest.fixture
async def visitor(verified: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `verified`."""
    async with client_of(verified) as client:
        yield client


@pytest.fixture
def inbox(verified: FastAPI) -> Mailbox:
    """The mails that `verified` has sent."""
    return Mailbox(verified.state.merit)


async def verify(client: httpx.AsyncClient, token: str, password: str = PASSWORD) -> httpx.Response:
    return await post(client, "/auth/verify-email", token=token, password=password)


async def count_users(services: Services) -> int:
    async with services.database.read_session() as session:
        return int(await session.scalar(select(func.count()).select_from(User)) or 0)


# --- open -----------------------------------------------------------------------------------------------------------


async def test_an_open_registration_proves_its_address_later(
    app: FastAPI, client: httpx.AsyncClient, mailbox: Mailbox
) -> None:
    """R7: the link proves it once; the account works without."""
    assert (await register(client, NEW)).status_code == 201
    account = Account(client, "", NEW, PASSWORD, None)
    assert (await account.login()).is_success
    assert (await account.get("/users/me")).json()["email_verified_at"] is None
    token = await token_to(mailbox, NEW)
    assert (await verify(client, token)).status_code == 204
    assert (await account.get("/users/me")).json()["email_verified_at"] is not None
    assert code_of(await verify(client, token)) == (400, "token_used")
    assert (await actions_of(app)).count("email_verified") == 1


async def test_the_mail_can_be_asked_for_again(account: Account, mailbox: Mailbox) -> None:
    """It comes to unproven addresses only, and each link works."""
    first = await token_to(mailbox, account.email)
    answer = await post(account.client, "/auth/verify-email/resend", email=account.email)
    assert (answer.status_code, answer.json()) == (202, ACCEPTED)
    second = await token_to(mailbox, account.email)
    assert first != second
    assert (await verify(account.client, first)).status_code == 204
    before = len(await mailbox.to(account.email))
    await post(account.client, "/auth/verify-email/resend", email=account.email)
    await post(account.client, "/auth/verify-email/resend", email="nobody@example.com")
    assert len(await mailbox.to(account.email)) == before
    assert await mailbox.to("nobody@example.com") == []


async def test_an_old_address_proves_nothing(account: Account, mailbox: Mailbox) -> None:
    """The link of the first address, after the account has another one."""
    token = await token_to(mailbox, account.email)
    await move_to(account, mailbox, "ada.new@example.com")
    assert code_of(await verify(account.client, token)) == (400, "token_unknown")


# --- verified -------------------------------------------------------------------------------------------------------


async def test_the_account_is_made_when_the_link_is_used(
    verified: FastAPI, visitor: httpx.AsyncClient, inbox: Mailbox
) -> None:
    """202, and no account before; then all that was typed in is there, and the address is proven."""
    services: Services = verified.state.merit
    answer = await register(visitor, "Ada@Example.com", username="ada", full_name="Ada Lovelace")
    assert (answer.status_code, answer.json()) == (202, ACCEPTED)
    assert await count_users(services) == 0
    assert (await log_in(visitor, NEW, PASSWORD)).status_code == 401
    mail = await inbox.latest("Ada@example.com")
    assert mail["Subject"] == CONFIRM
    assert "127.0.0.1" in text_of(mail)
    token = token_of(links_in(mail)[0])
    answers = await in_parallel(verify(visitor, token) for _ in range(30))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 29
    assert {answer.json()["code"] for answer in answers if answer.status_code == 400} <= {"token_used", "code_invalid"}
    account = Account(visitor, "", NEW, PASSWORD, "ada")
    assert (await account.login()).is_success
    me = (await account.get("/users/me")).json()
    assert (me["email"], me["username"], me["full_name"], me["role"]) == (
        "Ada@Example.com",
        "ada",
        "Ada Lovelace",
        "user",
    )
    assert me["email_verified_at"] is not None
    assert (await actions_of(verified)).count("registered") == 1


async def test_the_code_makes_it_too(visitor: httpx.AsyncClient, inbox: Mailbox) -> None:
    await register(visitor, NEW)
    code = await inbox.code(NEW)
    assert (
        code_of(await post(visitor, "/auth/verify-email", email="bob@example.com", code=code, password=PASSWORD))[0]
        == 400
    )
    assert (await post(visitor, "/auth/verify-email", email=NEW, code=code, password=PASSWORD)).status_code == 204
    assert (await log_in(visitor, NEW, PASSWORD)).is_success


async def test_the_answer_does_not_tell_who_has_an_account(
    verified: FastAPI, visitor: httpx.AsyncClient, account: Account
) -> None:
    """R1: status, body, headers and statements of new and known addresses are the same."""
    services: Services = verified.state.merit
    seen = []
    for email in (NEW, account.email):
        with recorded_sql(services.database) as statements:
            answer = await register(visitor, email)
        seen.append((fingerprint(answer), [" ".join(statement.split()[:6]) for statement in statements]))
    assert seen[0] == seen[1]
    assert seen[0][0][0] == 202
    weak = [await register(visitor, email, password="password") for email in (NEW, account.email)]
    assert fingerprint(weak[0]) == fingerprint(weak[1])
    assert weak[0].status_code == 422


async def test_the_time_does_not_tell_either(make_app: AppFactory, account: Account) -> None:
    """R1: 200 trials, alternating: the same distribution, and tails that differ by less than 10 ms.

    On a busy machine the tails of the halves of one kind differ by more; then the two kinds may differ as much. Equal
    times fail once in a hundred runs, and three times in a row never.
    """
    async with make_app(registration="verified", rate_limits="off") as app, client_of(app) as client:

        async def trial() -> tuple[list[float], list[float]]:
            known: list[float] = []
            new: list[float] = []
            for n in range(200):
                times, email = (known, account.email) if n % 2 else (new, f"new{n}@example.com")
                started = time.perf_counter()
                assert (await register(client, email)).status_code == 202
                times.append(time.perf_counter() - started)
            return known, new

        async def looks_equal() -> bool:
            known, new = await trial()
            is_same = ks_p_value(known, new) > 0.01 or abs(statistics.median(known) - statistics.median(new)) < 0.0005
            noise = max(abs(p95(times[::2]) - p95(times[1::2])) for times in (known, new))
            return is_same and abs(p95(known) - p95(new)) < max(0.010, noise)

        assert await looks_equal() or await looks_equal() or await looks_equal()


def p95(times: list[float]) -> float:
    """The 95th percentile, in seconds."""
    return statistics.quantiles(times, n=20)[-1]


async def test_the_owner_is_told_and_no_token_is_made(
    verified: FastAPI, visitor: httpx.AsyncClient, account: Account, inbox: Mailbox
) -> None:
    """R4: "already registered", without anything to present; what was typed in is forgotten."""
    services: Services = verified.state.merit
    await register(visitor, account.email.upper(), password="the stranger's passphrase")
    mail = await inbox.latest(account.email)
    assert mail["Subject"] == "You have an account already"
    assert "mot_" not in mail.as_string()
    assert not [line for line in text_of(mail).splitlines() if line.strip().isdigit()]
    (row,) = [row for row in await tokens_in(services) if row.purpose == "register"]
    assert row.payload == {}
    text = services.auth.one_time_tokens.token(row.purpose, row.id)
    assert code_of(await verify(visitor, text)) == (400, "token_unknown")
    assert (await log_in(visitor, account.email, PASSWORD)).is_success
    assert (await log_in(visitor, account.email, "the stranger's passphrase")).status_code == 401


async def test_a_token_that_is_known_before_its_mail_is_none(verified: FastAPI, visitor: httpx.AsyncClient) -> None:
    """Until the job has looked, the row of a registration cannot be used, not even with SECRET_KEY."""
    services: Services = verified.state.merit
    await register(visitor, NEW)
    (row,) = await tokens_in(services)
    assert code_of(await verify(visitor, services.auth.one_time_tokens.token(row.purpose, row.id))) == (
        400, "token_unknown",
    )  # fmt: skip


async def test_each_link_is_bound_to_its_own_registration(visitor: httpx.AsyncClient, inbox: Mailbox) -> None:
    """A later registration of the same address by someone else does not replace the password of the first."""
    await register(visitor, NEW, username="ada")
    mine = await token_to(inbox, NEW)
    await register(visitor, NEW, password="the stranger's passphrase", username="mallory")
    strangers = await token_to(inbox, NEW)
    assert mine != strangers
    assert (await verify(visitor, mine)).status_code == 204
    assert (await log_in(visitor, NEW, PASSWORD)).is_success
    assert code_of(await verify(visitor, strangers)) == (400, "token_unknown")
    assert (await log_in(visitor, NEW, "the stranger's passphrase")).status_code == 401


async def test_each_code_is_bound_to_its_own_registration(visitor: httpx.AsyncClient, inbox: Mailbox) -> None:
    await register(visitor, NEW)
    mine = await inbox.code(NEW)
    await register(visitor, NEW, password="the stranger's passphrase")
    assert (await post(visitor, "/auth/verify-email", email=NEW, code=mine, password=PASSWORD)).status_code == 204
    assert (await log_in(visitor, NEW, PASSWORD)).is_success


async def test_twenty_registrations_of_one_address_make_one_account(
    verified: FastAPI, visitor: httpx.AsyncClient, inbox: Mailbox
) -> None:
    """R2 in this mode: all answers alike; of the links that went out, one makes the account."""
    answers = await in_parallel(register(visitor, NEW) for _ in range(20))
    assert {(answer.status_code, answer.content) for answer in answers} == {(202, answers[0].content)}
    tokens = [token_of(links_in(mail)[0]) for mail in await inbox.to(NEW)]
    assert len(tokens) == 4  # the rest would be mail bombing
    confirmed = await in_parallel(verify(visitor, token) for token in tokens)
    statuses = sorted(answer.status_code for answer in confirmed)
    assert statuses[0] == 204
    assert set(statuses[1:]) <= {400, 409}
    assert await count_users(verified.state.merit) == 1


async def test_a_user_name_is_public_and_may_be_lost(visitor: httpx.AsyncClient, inbox: Mailbox) -> None:
    """409 at once for one that is taken; one that is given away meanwhile is left out."""
    await register(visitor, NEW, username="ada")
    await register(visitor, "rival@example.com", username="ADA")
    assert (await verify(visitor, await token_to(inbox, "rival@example.com"))).status_code == 204
    assert code_of(await register(visitor, "third@example.com", username="ada")) == (409, "username_taken")
    assert (await verify(visitor, await token_to(inbox, NEW))).status_code == 204
    account = Account(visitor, "", NEW, PASSWORD, None)
    await account.login()
    assert (await account.get("/users/me")).json()["username"] is None


async def test_an_account_made_meanwhile_takes_the_link_back(
    visitor: httpx.AsyncClient, client: httpx.AsyncClient, inbox: Mailbox
) -> None:
    await register(visitor, NEW)
    token = await token_to(inbox, NEW)
    await new_account(client, email=NEW)
    assert code_of(await verify(visitor, token)) == (400, "token_unknown")


async def test_an_address_taken_meanwhile_is_told_to_its_reader(
    visitor: httpx.AsyncClient, account: Account, inbox: Mailbox, mailbox: Mailbox
) -> None:
    """409 at the confirmation, which only the reader of the mailbox sees."""
    await register(visitor, NEW)
    token = await token_to(inbox, NEW)
    await move_to(account, mailbox, NEW)
    assert code_of(await verify(visitor, token)) == (409, "email_taken")
    assert (await log_in(visitor, NEW, PASSWORD)).is_success


async def test_a_pending_registration_can_be_mailed_again(
    visitor: httpx.AsyncClient, inbox: Mailbox, clock: ManualClock
) -> None:
    """The same link with a code that counts anew; but no registration is kept for ever that way."""
    await register(visitor, NEW)
    first = await token_to(inbox, NEW)
    clock.advance(hours=1)
    assert (await post(visitor, "/auth/verify-email/resend", email=NEW)).status_code == 202
    assert len(await inbox.to(NEW)) == 2
    assert await token_to(inbox, NEW) == first
    assert (
        await post(visitor, "/auth/verify-email", email=NEW, code=await inbox.code(NEW), password=PASSWORD)
    ).status_code == 204


async def test_a_mail_that_is_sent_again_tells_the_true_end(
    verified: FastAPI, visitor: httpx.AsyncClient, inbox: Mailbox, clock: ManualClock
) -> None:
    """Twenty hours on, four are left: the date in the mail is that of the row."""
    await register(visitor, NEW)
    await inbox.all()
    ends = clock.now() + LIFETIMES[TokenPurpose.REGISTER]
    clock.advance(hours=20)
    await post(visitor, "/auth/verify-email/resend", email=NEW)
    first, second = await inbox.to(NEW)
    assert {row.expires_at for row in await tokens_in(verified.state.merit) if row.purpose == "register"} == {ends}
    for mail in (first, second):
        assert f"until {describe_moment(ends)}" in text_of(mail)
        assert describe_moment(ends) in html_of(mail)


async def test_a_pending_registration_ends_after_a_day(
    visitor: httpx.AsyncClient, inbox: Mailbox, clock: ManualClock
) -> None:
    await register(visitor, NEW)
    token = await token_to(inbox, NEW)
    for _ in range(3):
        clock.advance(hours=8, seconds=1)
        await post(visitor, "/auth/verify-email/resend", email=NEW)
        await inbox.all()
    assert code_of(await verify(visitor, token)) == (400, "token_expired")


# --- invite and closed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "code"), [("invite", "invitation_required"), ("closed", "registration_closed")])
async def test_nobody_registers_uninvited(make_app: AppFactory, account: Account, mode: str, code: str) -> None:
    """R9: the same refusal for new, known and weak; neither mail nor account."""
    async with make_app(registration=mode) as app, client_of(app) as client:
        answers = [
            await register(client, NEW),
            await register(client, account.email),
            await register(client, NEW, password="x"),
        ]
        assert {code_of(answer) for answer in answers} == {(403, code)}
        assert len({str({**answer.json(), "request_id": None}) for answer in answers}) == 1
        assert code_of(await register(client, NEW, invitation="mot_nonsense")) == (400, "token_unknown")
        assert await count_users(app.state.merit) == 1


@pytest.mark.parametrize("mode", ["open", "verified", "invite", "closed"])
async def test_an_invitation_opens_every_mode(
    make_app: AppFactory, admin: Account, mailbox: Mailbox, mode: str
) -> None:
    """R9: the mail has proven the address, so that the account is made at once."""
    assert (await admin.request("POST", "/admin/invitations", json={"email": NEW})).status_code == 201
    token = await token_to(mailbox, NEW)
    async with make_app(registration=mode) as app, client_of(app) as client:
        answer = await register(client, "Ada@example.com", invitation=token)
        assert answer.status_code == 201, answer.text
        assert answer.json()["email_verified_at"] is not None
        assert (await log_in(client, NEW, PASSWORD)).is_success
