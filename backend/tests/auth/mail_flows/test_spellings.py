"""Addresses that compare equal but are mailboxes of different people: mails go where the account's own address is."""

import httpx
import pytest

from app.auth.bootstrap import AdminOutcome, create_admin
from app.main import Services
from tests.auth.mail_flows.flows import (
    NEW_PASSWORD,
    change_email,
    email_of,
    forgot,
    move_to,
    post,
    register,
    reset,
    token_of,
    token_to,
    tokens_in,
)
from tests.auth.scenarios import log_in
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox, links_in, recipients
from tests.support import PASSWORD, Account, ManualClock
from tests.support import register as new_account

OWN = "kim.strauss@example.com"
EQUALS = [
    "kim.strauß@example.com",
    "\u212aim.strauss@example.com",  # the Kelvin sign
    "\uff4bim.strauss@example.com",  # full width
    "KIM.STRAUSS@example.com",
    "kim.strau\u017f\u017f@EXAMPLE.COM",  # the long s
]
GONE = (400, "token_unknown")


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Links grow old only when the test says so."""
    clock.stop()


@pytest.fixture
async def owner(client: httpx.AsyncClient, mailbox: Mailbox) -> Account:
    """An account with the address OWN, whose first mail was sent."""
    account = await new_account(client, email=OWN)
    assert await mailbox.to(OWN) != []
    return account


async def reached(mailbox: Mailbox, subject: str) -> list[str]:
    """The addresses that the mails with a subject went to."""
    mails = [mail for mail in await mailbox.all() if mail["Subject"] == subject]
    return [address for mail in mails for address in recipients(mail)]


@pytest.mark.parametrize("typed", EQUALS, ids=ascii)
async def test_a_reset_link_goes_to_the_accounts_own_address(owner: Account, mailbox: Mailbox, typed: str) -> None:
    """Whoever reads the mailbox of an equal spelling would take the account over."""
    assert (await forgot(owner.client, typed)).status_code == 202
    assert await reached(mailbox, "Choose a new password") == [OWN]
    assert (await reset(owner.client, await token_to(mailbox, OWN))).status_code == 204
    assert (await log_in(owner.client, OWN, NEW_PASSWORD)).is_success


async def test_the_mail_that_proves_an_address_goes_there_too(owner: Account, mailbox: Mailbox) -> None:
    mailbox.clear()
    assert (await post(owner.client, "/auth/verify-email/resend", email=EQUALS[0])).status_code == 202
    assert await reached(mailbox, "Confirm your e-mail address") == [OWN]
    assert (await post(owner.client, "/auth/verify-email", token=await token_to(mailbox, OWN))).status_code == 204


async def test_a_typed_code_works_for_every_spelling(owner: Account, mailbox: Mailbox) -> None:
    """People write their addresses as they like; the code was in the mail to their own."""
    await forgot(owner.client, EQUALS[0])
    body = {"email": EQUALS[0], "code": await mailbox.code(OWN), "new_password": NEW_PASSWORD}
    assert (await post(owner.client, "/auth/password/reset", **body)).status_code == 204


async def test_a_registration_of_an_equal_spelling_is_told_to_the_owner(
    make_app: AppFactory, owner: Account, mailbox: Mailbox
) -> None:
    async with make_app(registration="verified", data_dir=mailbox.folder.parent) as app, client_of(app) as visitor:
        mailbox.clear()
        assert (await register(visitor, EQUALS[0])).status_code == 202
        assert {address for mail in await mailbox.all() for address in recipients(mail)} == {OWN}
        assert await reached(mailbox, "You have an account already") == [OWN]


async def test_a_pending_registration_is_mailed_again_to_its_own_address(
    make_app: AppFactory, mailbox: Mailbox
) -> None:
    async with make_app(registration="verified", data_dir=mailbox.folder.parent) as app, client_of(app) as visitor:
        await register(visitor, OWN)
        await post(visitor, "/auth/verify-email/resend", email=EQUALS[0])
        assert await reached(mailbox, "Complete your registration") == [OWN, OWN]


async def test_a_change_to_an_equal_address_of_someone_else_is_told_to_the_owner(
    owner: Account, account: Account, mailbox: Mailbox
) -> None:
    await change_email(account, EQUALS[0])
    assert await mailbox.to(EQUALS[0]) == []
    assert await reached(mailbox, "You have an account already") == [OWN]


async def test_an_invitation_proves_the_address_that_it_went_to(admin: Account, mailbox: Mailbox) -> None:
    """The account gets the invited spelling, which is the one that is proven, whatever its reader types."""
    await admin.request("POST", "/admin/invitations", json={"email": EQUALS[0]})
    answer = await register(admin.client, OWN, invitation=await token_to(mailbox, EQUALS[0]))
    assert (answer.status_code, answer.json()["email"]) == (201, EQUALS[0])


async def test_a_promoted_account_has_the_address_that_the_operator_named(
    owner: Account, services: Services, mailbox: Mailbox
) -> None:
    """Whoever has registered an equal spelling gets no reset link of the administrator, and no way back."""
    way_back = await move_to(owner, mailbox, EQUALS[0])
    parts = services.database, services.auth
    assert await create_admin(*parts, email=OWN, password=NEW_PASSWORD, is_forced=True) is AdminOutcome.PROMOTED
    assert code_of(await post(owner.client, "/auth/email/undo", token=way_back)) == GONE
    await forgot(owner.client, EQUALS[0])
    assert await reached(mailbox, "Choose a new password") == [OWN]


async def test_an_account_can_move_to_another_spelling_and_back(owner: Account, mailbox: Mailbox) -> None:
    """It is another mailbox: it is proven, the old one is told, and a reset goes to the new one alone."""
    way_back = await move_to(owner, mailbox, EQUALS[0])
    assert await email_of(owner) == EQUALS[0]
    await forgot(owner.client, OWN)
    assert await reached(mailbox, "Choose a new password") == [EQUALS[0]]
    token = await token_to(mailbox, EQUALS[0])
    assert (await post(owner.client, "/auth/email/undo", token=way_back)).status_code == 204
    assert code_of(await reset(owner.client, token)) == GONE
    assert (await reset(owner.client, await token_to(mailbox, OWN))).status_code == 204
    assert (await log_in(owner.client, OWN, NEW_PASSWORD)).is_success


async def test_links_to_the_earlier_spelling_change_the_password_no_more(owner: Account, mailbox: Mailbox) -> None:
    """A link is good for the very address that it was sent to."""
    proof = await token_to(mailbox, OWN)
    await forgot(owner.client, OWN)
    token = await token_to(mailbox, OWN)
    await move_to(owner, mailbox, EQUALS[0])
    assert code_of(await reset(owner.client, token)) == GONE
    assert code_of(await post(owner.client, "/auth/verify-email", token=proof)) == GONE


async def test_this_was_not_me_undoes_a_move_to_an_equal_spelling(
    owner: Account, services: Services, mailbox: Mailbox
) -> None:
    """Or the reset link that it brings would go to the thief, whose spelling the account has by then."""
    await post(owner.client, "/auth/verify-email", token=await token_to(mailbox, OWN))
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await owner.request("POST", "/users/me/password", json=body)
    not_me = token_of(links_in(await mailbox.latest(OWN))[0])
    await move_to(owner, mailbox, EQUALS[0])
    await move_to(owner, mailbox, EQUALS[3])
    assert (await post(owner.client, "/auth/secure-account", token=not_me)).status_code == 204
    assert await reached(mailbox, "Your account is locked for everyone else") == [OWN]
    assert [row.email for row in await tokens_in(services) if row.purpose == "reset_password"] == [OWN]
