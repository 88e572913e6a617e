"""How many mails to one address strangers may order, and that its owner still gets the ones that they want."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import FastAPI

from app.auth import limits
from tests.auth.mail_flows.flows import forgot, post, register
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox
from tests.support import PASSWORD, Account, ManualClock

STRANGER, OTHER_STRANGER, OWNER = "203.0.113.9", "192.0.2.9", "198.51.100.7"
SUBJECT = "Choose a new password"


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Delays end only when the test says so."""
    clock.stop()


async def test_a_stranger_does_not_keep_the_owners_mails_back(
    app: FastAPI, account: Account, mailbox: Mailbox, clock: ManualClock
) -> None:
    """Whoever asks again and again waits; that is no matter to others."""
    async with client_of(app, address=STRANGER) as stranger, client_of(app, address=OWNER) as owner:
        for _ in range(5):
            assert (await forgot(stranger, account.email)).status_code == 202
        assert (await mailbox.subjects(account.email)).count(SUBJECT) == 4
        await forgot(owner, account.email.upper())
        assert (await mailbox.subjects(account.email)).count(SUBJECT) == 5
        clock.advance(minutes=1)
        await forgot(stranger, account.email)
        assert (await mailbox.subjects(account.email)).count(SUBJECT) == 6


async def test_a_strangers_registrations_do_not_stop_the_owners(make_app: AppFactory, mailbox: Mailbox) -> None:
    """The answers are alike (R1), and nobody could tell that the last one was dropped."""
    email = "ada@example.com"
    async with (
        make_app(registration="verified", data_dir=mailbox.folder.parent) as app,
        client_of(app, address=STRANGER) as stranger,
        client_of(app, address=OWNER) as owner,
    ):
        answers = [await register(stranger, email, password=f"the stranger's phrase {n}") for n in range(5)]
        assert len(await mailbox.to(email)) == 4
        mailbox.clear()
        answers.append(await register(owner, email))
        assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
        body = {"email": email, "code": await mailbox.code(email), "password": PASSWORD}
        assert (await post(owner, "/auth/verify-email", **body)).status_code == 204


def test_one_network_alone_does_not_reach_the_limit_of_all() -> None:
    """A mail as soon as the delay allows it, for a day."""
    waited, ordered = timedelta(), 0
    while waited < limits.MAIL_ADDRESS_POLICY.window:
        ordered += 1
        waited += limits.MAIL_POLICY.delay(ordered)
    assert 30 <= ordered < limits.MAIL_ADDRESS_POLICY.free


async def test_many_networks_meet_the_limit_of_the_address(
    app: FastAPI, account: Account, mailbox: Mailbox, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mail bombing from everywhere: then an hour between two."""
    monkeypatch.setattr(limits, "MAIL_ADDRESS_POLICY", replace(limits.MAIL_ADDRESS_POLICY, free=2))
    async with client_of(app, address=STRANGER) as one, client_of(app, address=OTHER_STRANGER) as other:
        for client in (one, other, one, other):
            assert (await forgot(client, account.email)).status_code == 202
        assert (await mailbox.subjects(account.email)).count(SUBJECT) == 3
        clock.advance(minutes=61)
        await forgot(other, account.email)
        assert (await mailbox.subjects(account.email)).count(SUBJECT) == 4
