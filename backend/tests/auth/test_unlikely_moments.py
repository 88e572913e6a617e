"""What only a race, or a hand in the database, brings about: refused like anything else."""

from contextlib import nullcontext
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI

from app.auth.errors import UserNotFoundError
from app.auth.limits import LoginLimiter
from app.auth.models import User
from app.auth.one_time_tokens.errors import UnknownTokenError
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.recovery.service import RecoveryService
from app.auth.repository import UserRepository
from app.auth.sessions import SessionManager
from app.auth.types import Client, SessionEndReason
from app.core.ids import new_id
from app.core.settings import Toggle
from app.core.text import normalize_email
from app.main import Services
from tests.auth.credentials import token_of
from tests.auth.mail_flows.flows import change_email, move_to, post, register, token_to
from tests.auth.scenarios import actions_of
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox
from tests.support import Account


async def switch_off(services: Services, account: Account) -> None:
    """Disable an account behind the service's back, so that nothing follows from it."""
    async with services.database.session() as session:
        users = UserRepository(session, services.clock)
        assert await users.update_where(User.id == UUID(account.id), values={User.is_active: False})
        await session.commit()


async def test_an_address_changes_for_no_disabled_account(
    services: Services, account: Account, mailbox: Mailbox
) -> None:
    await change_email(account, "new@example.com")
    token = await token_to(mailbox, "new@example.com")
    await switch_off(services, account)
    assert code_of(await post(account.client, "/auth/email/confirm", token=token)) == (400, "token_unknown")


async def test_a_disabled_inviter_gives_no_role(services: Services, admin: Account, mailbox: Mailbox) -> None:
    body = {"email": "new@example.com", "role": "reviewer"}
    assert (await admin.request("POST", "/admin/invitations", json=body)).is_success
    token = await token_to(mailbox, "new@example.com")
    await switch_off(services, admin)
    assert code_of(await register(admin.client, "new@example.com", invitation=token)) == (400, "token_unknown")


async def test_a_disabled_account_changes_no_password(services: Services, account: Account) -> None:
    await switch_off(services, account)
    body = {"current_password": account.password, "new_password": "another passphrase 43"}
    assert code_of(await account.request("POST", "/users/me/password", json=body)) == (403, "wrong_password")
    async with services.database.read_session() as session:
        user = await UserRepository(session, services.clock).get(UUID(account.id))
    assert user is not None
    assert (await services.auth.hasher.verify(account.password, user.hashed_password)).is_valid


async def test_another_accounts_way_back_is_nobodys(services: Services, account: Account, mailbox: Mailbox) -> None:
    left = account.email
    await move_to(account, mailbox, "new@example.com")
    async with services.database.session() as session:
        tokens = OneTimeTokens(session, services.auth)
        for user_id, email, is_found in (
            (UUID(account.id), left, True),
            (UUID(account.id), left.upper(), False),
            (new_id(), left, False),
        ):
            notice = OneTimeToken(user_id=user_id, email=email, email_normalized=normalize_email(left))
            with nullcontext() if is_found else pytest.raises(UnknownTokenError):
                assert (await tokens.find_way_back(notice)).user_id == user_id


async def test_a_token_that_is_revoked_again_and_again_is_refused(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S5: an account may change faster than its token is read again."""
    bearer = await token_of(account)

    async def always(_claims: Any) -> bool:
        return True

    monkeypatch.setattr(services.auth.revocations, "is_revoked", always)
    answer = await account.client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {bearer.text}"})
    assert code_of(answer) == (401, "invalid_token")


async def test_nobody_gets_no_reset_link(services: Services, app: FastAPI) -> None:
    async with services.database.session() as session:
        with pytest.raises(UserNotFoundError):
            await RecoveryService(session, services.auth).make_reset_link(new_id(), Client())


async def test_what_has_ended_already_ends_in_silence(services: Services, app: FastAPI, account: Account) -> None:
    before = await actions_of(app)
    async with services.database.session() as session:
        manager = SessionManager(session, services.auth)
        await manager.end([new_id()], UUID(account.id), SessionEndReason.LOGOUT, Client())
        await session.commit()
    assert await actions_of(app) == before


async def test_without_limits_nothing_is_taken_back(make_app: AppFactory) -> None:
    async with make_app(rate_limits=Toggle.OFF) as app, client_of(app):
        services: Services = app.state.merit
        async with services.database.session() as session:
            await LoginLimiter(session, services.settings, services.clock).release_completion(new_id())
            assert not session.in_transaction()
