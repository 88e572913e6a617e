"""The jobs that send mails: tried again, given up, overtaken by events; never twice with another link."""

from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.auth.bootstrap import create_admin
from app.auth.mail_flows.sender import describe_moment
from app.auth.mail_flows.types import MAIL_JOB
from app.auth.one_time_tokens.types import LIFETIMES
from app.auth.repository import UserRepository
from app.jobs.models import Job
from app.jobs.types import JobStatus
from app.mail.errors import MailPermanentError, MailTemporaryError
from app.mail.types import Mail
from app.main import Services
from tests.auth.credentials import token_of as personal_token_of
from tests.auth.mail_flows.flows import (
    NEW_PASSWORD,
    change_email,
    forgot,
    post,
    register,
    reset,
    reset_token,
    token_of,
    token_to,
    tokens_in,
)
from tests.auth.scenarios import in_parallel, is_alive, log_in
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox, links_in
from tests.support import PASSWORD, Account, ManualClock


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Retries come when the test says so."""
    clock.stop()


async def jobs_in(services: Services) -> list[Job]:
    """The jobs that send mails, the oldest first."""
    async with services.database.read_session() as session:
        return list(await session.scalars(select(Job).where(Job.kind == MAIL_JOB).order_by(Job.id)))


def failing(error: Exception, sent: list[Mail]) -> object:
    """A mailer that fails once and then notes what it is given."""
    faults = [error]

    async def send(_self: object, mail: Mail) -> None:
        sent.append(mail)
        if faults:
            raise faults.pop()

    return send


async def test_a_mail_that_is_tried_again_is_the_same(
    account: Account, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same Message-ID and link, so that whoever gets both has one; and the link works."""
    sent: list[Mail] = []
    monkeypatch.setattr(type(services.mailer), "send", failing(MailTemporaryError("not now"), sent))
    await forgot(account.client, account.email)
    await services.jobs.run_due()
    clock.advance(minutes=5)
    await services.jobs.run_due()
    first, second = sent
    assert first.message_id == second.message_id
    token = next(word for word in second.text.split() if "mot_" in word).partition("token=")[2]
    assert token in first.text
    assert (await reset(account.client, token)).status_code == 204


async def test_an_outage_makes_no_dead_links(
    make_app: AppFactory, services: Services, clock: ManualClock, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time to use a registration's link begins with the try that succeeds, and its mail tells that end."""
    sent: list[Mail] = []
    async with make_app(registration="verified") as app, client_of(app) as client:
        with monkeypatch.context() as patched:
            patched.setattr(type(services.mailer), "send", failing(MailTemporaryError("not now"), sent))
            await register(client, "ada@example.com")
            await services.jobs.run_due()
            clock.advance(hours=30)
            await services.jobs.run_due()
        (row,) = await tokens_in(services)
        assert row.expires_at == clock.now() + LIFETIMES[row.purpose]
        assert f"until {describe_moment(row.expires_at)}" in sent[1].text
        clock.advance(hours=20)
        token = services.auth.one_time_tokens.token(row.purpose, row.id)
        assert (await post(client, "/auth/verify-email", token=token, password=PASSWORD)).status_code == 204


async def test_a_mail_that_can_never_be_sent_is_given_up(
    account: Account, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead letter tells the server's reason, and neither address nor link."""
    monkeypatch.setattr(type(services.mailer), "send", failing(MailPermanentError("550 no such user"), []))
    await forgot(account.client, account.email)
    await services.jobs.run_due()
    job = (await jobs_in(services))[-1]
    assert job.status is JobStatus.DEAD
    assert "550 no such user" in str(job.last_error)
    assert account.email not in str((job.payload, job.last_error))
    assert "mot_" not in str((job.payload, job.last_error))


async def test_the_owner_is_told_of_a_registration_though_the_first_try_fails(
    make_app: AppFactory, account: Account, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4 over an outage: "already registered" still comes."""
    sent: list[Mail] = []
    monkeypatch.setattr(type(services.mailer), "send", failing(MailTemporaryError("not now"), sent))
    async with make_app(registration="verified") as app, client_of(app) as client:
        await register(client, account.email)
    for _ in range(2):
        await services.jobs.run_due()
        clock.advance(minutes=5)
    assert [mail.subject for mail in sent] == ["You have an account already"] * 2


@pytest.mark.usefixtures("proven")
async def test_a_mail_of_a_deleted_account_is_not_sent(account: Account, services: Services, mailbox: Mailbox) -> None:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await account.request("POST", "/users/me/password", json=body)
    async with services.database.session() as session:
        assert await UserRepository(session, services.clock).delete(UUID(account.id))
        await session.commit()
    assert "Your password was changed" not in await mailbox.subjects(account.email)
    assert {job.status for job in await jobs_in(services)} == {JobStatus.DONE}


async def test_a_used_link_is_not_mailed_again(
    make_app: AppFactory, services: Services, clock: ManualClock, mailbox: Mailbox
) -> None:
    """A worker that died after the sending: its job runs again, when the registration is complete already."""
    async with make_app(registration="verified") as app, client_of(app) as client:
        await register(client, "ada@example.com")
        token = await token_to(mailbox, "ada@example.com")
        assert (await post(client, "/auth/verify-email", token=token, password=PASSWORD)).status_code == 204
    (job,) = await jobs_in(services)
    async with services.database.session() as session:
        await session.merge(Job(id=job.id, status=JobStatus.QUEUED, due_at=clock.now()))
        await session.commit()
    assert len(await mailbox.to("ada@example.com")) == 1


async def test_a_change_of_a_disabled_account_is_not_mailed(account: Account, admin: Account, mailbox: Mailbox) -> None:
    await change_email(account, "ada.new@example.com")
    await admin.request("POST", f"/admin/users/{account.id}/disable")
    assert await mailbox.to("ada.new@example.com") == []


async def test_an_address_beyond_ascii_gets_its_mail(
    make_app: AppFactory, services: Services, mailbox: Mailbox
) -> None:
    """The domain is written in IDNA; the address of the account keeps its form."""
    async with make_app(registration="verified") as app, client_of(app) as client:
        await register(client, "fiona@bücher.example")
        mail = await mailbox.latest("fiona@xn--bcher-kva.example")
        answer = await post(client, "/auth/verify-email", token=token_of(links_in(mail)[0]), password=PASSWORD)
        assert answer.status_code == 204
        assert (await log_in(client, "Fiona@BÜCHER.example", PASSWORD)).is_success


@pytest.mark.usefixtures("proven")
@pytest.mark.parametrize("way", ["reset", "secure"])
async def test_personal_tokens_die_too(account: Account, mailbox: Mailbox, way: str) -> None:
    """P8: before the answer is sent, and for good."""
    personal = (await personal_token_of(account)).text
    assert await is_alive(account.client, personal)
    if way == "reset":
        assert (await reset(account.client, await reset_token(account, mailbox))).status_code == 204
    else:
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        await account.request("POST", "/users/me/password", json=body)
        assert await is_alive(account.client, personal)  # a change of the password leaves them
        token = await token_to(mailbox, account.email)
        assert (await post(account.client, "/auth/secure-account", token=token)).status_code == 204
    assert not await is_alive(account.client, personal)


async def test_a_login_and_a_reset_that_race_leave_no_old_session(account: Account, mailbox: Mailbox) -> None:
    """P8: whichever is first, nothing that the old password opened is alive afterwards."""
    password = PASSWORD
    for n in range(3):
        token, new = await reset_token(account, mailbox), f"passphrase number {n} of many"
        calls = [reset(account.client, token, new), log_in(account.client, account.email, password)]
        answers = await in_parallel(reversed(calls) if n % 2 else calls)
        done, login = sorted(answers, key=lambda answer: str(answer.url.path), reverse=True)
        assert done.status_code == 204, done.text
        if login.is_success:
            assert not await is_alive(account.client, login.json()["access_token"])
        password = new


async def test_a_mail_that_is_being_sent_and_a_change_of_the_password_do_not_block_each_other(
    account: Account, services: Services, mailbox: Mailbox
) -> None:
    """Both change the account's tokens: no deadlock, no 5xx, and no living link afterwards."""
    password = PASSWORD
    for n in range(3):
        await forgot(account.client, account.email)
        new = f"passphrase number {n} of many"
        body = {"current_password": password, "new_password": new}
        changing = account.request("POST", "/users/me/password", json=body)
        answer, _ = await in_parallel([_as_any(changing), _as_any(services.jobs.run_due())])
        assert answer.status_code == 204, answer.text
        password = new
    for row in await tokens_in(services):
        if row.purpose == "reset_password":
            text = services.auth.one_time_tokens.token(row.purpose, row.id)
            assert code_of(await reset(account.client, text)) == (400, "token_unknown")


async def _as_any(call: Awaitable[Any]) -> Any:
    return await call


async def test_a_promoted_account_keeps_nothing_of_whoever_registered_it(
    account: Account, services: Services, mailbox: Mailbox
) -> None:
    """`create_admin --force`: neither a personal token nor a change of address under way reaches the new superuser."""
    personal = (await personal_token_of(account)).text
    await change_email(account, "thief@example.com")
    moving, resetting = await token_to(mailbox, "thief@example.com"), await reset_token(account, mailbox)
    parts = (services.database, services.auth)
    await create_admin(*parts, email=account.email, password="the operator's passphrase", is_forced=True)
    assert not await is_alive(account.client, personal)
    assert code_of(await post(account.client, "/auth/email/confirm", token=moving)) == (400, "token_unknown")
    assert code_of(await reset(account.client, resetting)) == (400, "token_unknown")
