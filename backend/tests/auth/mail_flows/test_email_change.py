"""Changing the address of an account: proven first, told to the old mailbox, undone from there."""

from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.bootstrap import create_admin
from app.auth.repository import UserRepository
from app.main import Services
from tests.auth.mail_flows.flows import (
    ACCEPTED,
    NEW_PASSWORD,
    change_email,
    email_of,
    move_to,
    post,
    reset,
    token_of,
    token_to,
)
from tests.auth.scenarios import actions_of, in_parallel, is_alive, log_in, refresh, session_of
from tests.auth.stage import code_of
from tests.mailbox import Mailbox, links_in, text_of
from tests.support import PASSWORD, Account, ManualClock, register

NEW = "ada.new@example.com"


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Links grow old only when the test says so."""
    clock.stop()


async def confirm(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await post(client, "/auth/email/confirm", token=token)


async def undo(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await post(client, "/auth/email/undo", token=token)


async def test_the_new_address_counts_once_it_is_proven(app: FastAPI, account: Account, mailbox: Mailbox) -> None:
    """Nothing changes before; then it is verified, the sessions live on, and the old mailbox has a way back."""
    other = await session_of(account)
    answer = await change_email(account, "Ada.New@Example.com")
    assert (answer.status_code, answer.json()) == (202, ACCEPTED)
    assert await email_of(account) == account.email
    assert (await confirm(account.client, await token_to(mailbox, "Ada.New@example.com"))).status_code == 204
    me = (await account.get("/users/me")).json()
    assert me["email"] == "Ada.New@Example.com"
    assert me["email_verified_at"] is not None
    assert await is_alive(other.client, other.access_token)
    assert (await refresh(other.client, other.refresh_token)).is_success
    assert (await log_in(account.client, NEW, PASSWORD)).is_success
    assert (await log_in(account.client, account.email, PASSWORD)).status_code == 401
    notice = await mailbox.latest(account.email)
    assert notice["Subject"] == "Your e-mail address was changed"
    assert "/account/email/undo?token=mot_" in text_of(notice)
    assert NEW not in text_of(notice).lower()
    actions = await actions_of(app, account.id)
    assert [action for action in actions if action.startswith("email")] == ["email_change_requested", "email_changed"]


async def test_a_fresh_login_is_needed(account: Account, clock: ManualClock, mailbox: Mailbox) -> None:
    """K3, M4: a stolen token does not move an account."""
    clock.advance(seconds=301)
    assert code_of(await change_email(account, NEW)) == (401, "insufficient_user_authentication")
    await account.login(scope="profile:read")
    assert code_of(await change_email(account, NEW)) == (403, "insufficient_scope")
    assert await mailbox.to(NEW) == []


async def test_an_account_that_is_gone_changes_nothing(account: Account, services: Services) -> None:
    """Its token may live on for a moment."""
    async with services.database.session() as session:
        assert await UserRepository(session, services.clock).delete(UUID(account.id))
        await session.commit()
    assert code_of(await change_email(account, NEW)) == (401, "invalid_token")


async def test_the_link_works_once(account: Account, mailbox: Mailbox) -> None:
    await change_email(account, NEW)
    token = await token_to(mailbox, NEW)
    answers = await in_parallel(confirm(account.client, token) for _ in range(30))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 29
    assert code_of(await confirm(account.client, token)) == (400, "token_used")
    changed = [mail for mail in await mailbox.all() if mail["Subject"] == "Your e-mail address was changed"]
    assert len(changed) == 1


async def test_of_two_requests_the_later_one_counts(account: Account, mailbox: Mailbox) -> None:
    await change_email(account, "typo@example.com")
    first = await token_to(mailbox, "typo@example.com")
    await change_email(account, NEW)
    assert code_of(await confirm(account.client, first)) == (400, "token_unknown")
    assert (await confirm(account.client, await token_to(mailbox, NEW))).status_code == 204


async def test_a_request_beyond_the_limits_is_one_without_a_mail(
    app: FastAPI, account: Account, mailbox: Mailbox
) -> None:
    """It is on record like the others, and takes the earlier link back like the others."""
    tokens = []
    for _ in range(4):
        await change_email(account, NEW)
        tokens.append(await token_to(mailbox, NEW))
    assert len(await mailbox.to(NEW)) == 4
    answer = await change_email(account, NEW)
    assert (answer.status_code, answer.json()) == (202, ACCEPTED)
    assert len(await mailbox.to(NEW)) == 4
    assert (await actions_of(app, account.id)).count("email_change_requested") == 5
    assert code_of(await confirm(account.client, tokens[-1])) == (400, "token_unknown")


async def test_a_taken_address_is_told_to_its_owner_only(account: Account, mailbox: Mailbox) -> None:
    """Enumeration: the same answer, and no token."""
    owner = await register(account.client)
    answer = await change_email(account, owner.email)
    assert (answer.status_code, answer.json()) == (202, ACCEPTED)
    mail = await mailbox.latest(owner.email)
    assert mail["Subject"] == "You have an account already"
    assert "mot_" not in text_of(mail)
    assert account.email not in text_of(mail)


async def test_an_address_taken_meanwhile_is_refused_at_the_confirmation(account: Account, mailbox: Mailbox) -> None:
    """409 only there, where the caller has shown that the mailbox is theirs; and the link is not used up."""
    await change_email(account, NEW)
    token = await token_to(mailbox, NEW)
    await register(account.client, email=NEW.upper())
    assert code_of(await confirm(account.client, token)) == (409, "email_taken")
    assert code_of(await confirm(account.client, token)) == (409, "email_taken")
    assert await email_of(account) == account.email


async def test_ones_own_address_may_change_its_spelling(account: Account, mailbox: Mailbox) -> None:
    spelling = account.email.upper().replace("EXAMPLE.COM", "example.com")
    await change_email(account, spelling)
    assert (await confirm(account.client, await token_to(mailbox, spelling))).status_code == 204
    assert await email_of(account) == spelling


async def test_parallel_claims_of_one_address_make_one_owner(account: Account, mailbox: Mailbox) -> None:
    """A race on the constraint: one wins, the other is refused, no 5xx."""
    rival = await register(account.client)
    tokens = []
    for claimant in (account, rival):
        await change_email(claimant, NEW)
        tokens.append(await token_to(mailbox, NEW))
    answers = await in_parallel(confirm(account.client, token) for token in tokens)
    assert sorted(answer.status_code for answer in answers) == [204, 409]


async def test_undoing_restores_the_address_and_locks_everyone_out(
    app: FastAPI, account: Account, mailbox: Mailbox
) -> None:
    """The thief has logged in to do this: sessions and password are dead, and a reset link is in the old mailbox."""
    old = account.email
    token = await move_to(account, mailbox, NEW)
    assert (await undo(account.client, token)).status_code == 204
    assert not await is_alive(account.client, account.access_token)
    for login in (old, NEW):
        assert (await log_in(account.client, login, PASSWORD)).status_code == 401
    mail = await mailbox.latest(old)
    assert mail["Subject"] == "Your account is locked for everyone else"
    assert (await reset(account.client, token_of(links_in(mail)[0]))).status_code == 204
    assert (await log_in(account.client, old, NEW_PASSWORD)).is_success
    assert code_of(await undo(account.client, token)) == (400, "token_used")
    assert {"email_change_undone", "account_secured"} <= set(await actions_of(app, account.id))


async def test_a_second_change_does_not_defeat_the_undo(account: Account, mailbox: Mailbox) -> None:
    """The thief changes it twice; the first mailbox still wins, and the second one's link dies."""
    first = account.email
    of_first = await move_to(account, mailbox, NEW)
    of_second = await move_to(account, mailbox, "thief@example.com")
    assert (await undo(account.client, of_first)).status_code == 204
    assert code_of(await undo(account.client, of_second)) == (400, "token_unknown")
    link = links_in(await mailbox.latest(first))[0]
    assert (await reset(account.client, token_of(link))).status_code == 204
    assert (await log_in(account.client, first, NEW_PASSWORD)).is_success


async def test_the_owner_can_go_back_step_by_step(account: Account, mailbox: Mailbox) -> None:
    """Undoing the last change leaves the link of the one before alone."""
    first = account.email
    of_first = await move_to(account, mailbox, NEW)
    of_second = await move_to(account, mailbox, "thief@example.com")
    assert (await undo(account.client, of_second)).status_code == 204
    assert (await mailbox.latest(NEW))["Subject"] == "Your account is locked for everyone else"
    assert (await undo(account.client, of_first)).status_code == 204
    assert (await mailbox.latest(first))["Subject"] == "Your account is locked for everyone else"


async def test_undoing_ends_a_change_under_way(account: Account, mailbox: Mailbox) -> None:
    token = await move_to(account, mailbox, NEW)
    await change_email(account, "thief@example.com")
    pending = await token_to(mailbox, "thief@example.com")
    assert (await undo(account.client, token)).status_code == 204
    assert code_of(await confirm(account.client, pending)) == (400, "token_unknown")


async def test_the_way_back_is_open_for_a_week(account: Account, mailbox: Mailbox, clock: ManualClock) -> None:
    token = await move_to(account, mailbox, NEW)
    clock.advance(days=7, seconds=1)
    assert code_of(await undo(account.client, token)) == (400, "token_expired")


async def test_the_old_address_may_have_a_new_owner(account: Account, services: Services, mailbox: Mailbox) -> None:
    """By an operator's hand: then nothing is undone, and nobody loses an account."""
    old = account.email
    token = await move_to(account, mailbox, NEW)
    parts = (services.database, services.auth)
    await create_admin(*parts, email=old, password=NEW_PASSWORD, is_forced=True)
    assert code_of(await undo(account.client, token)) == (409, "email_taken")
    assert (await log_in(account.client, NEW, PASSWORD)).is_success
    assert (await log_in(account.client, old, NEW_PASSWORD)).is_success


async def test_a_disabled_account_stays_as_it_is(account: Account, admin: Account, mailbox: Mailbox) -> None:
    undoing = await move_to(account, mailbox, NEW)
    await change_email(account, "third@example.com")
    pending = await token_to(mailbox, "third@example.com")
    await admin.request("POST", f"/admin/users/{account.id}/disable")
    assert code_of(await undo(account.client, undoing)) == (400, "token_unknown")
    assert code_of(await confirm(account.client, pending)) == (400, "token_unknown")
