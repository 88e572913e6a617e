"""A3: attempts that are refused are on record too, and those that a limit keeps off are not, but for its beginning."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.auth import limits
from app.auth.types import AuditAction, AuditOutcome
from app.main import Services
from tests.auth.credentials import basic, grant, service_of
from tests.auth.mail_flows.flows import forgot, post, register
from tests.auth.mail_flows.test_codes import reset, reset_code, wrong
from tests.auth.scenarios import log_in
from tests.auth.test_audit import events_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox
from tests.support import Account, ManualClock


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """No block ends by itself."""
    clock.stop()


async def failures(services: Services, user_id: str | None) -> list[tuple[AuditAction, dict[str, Any]]]:
    """What failed for an account, or for nobody that is known."""
    events = await events_of(services, user_id)
    return [(event.action, event.detail) for event in events if event.outcome is AuditOutcome.FAILURE]


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
async def test_a_block_is_recorded_once_when_it_begins(services: Services, account: Account, *, is_known: bool) -> None:
    """L6: the fifth failure begins it; what is turned away by it leaves nothing, however often it comes."""
    email = account.email if is_known else "nobody@example.com"
    answers = [(await log_in(account.client, email, "wrong password 99")).status_code for _ in range(9)]
    assert answers == [401] * 5 + [429] * 4
    found = await failures(services, account.id if is_known else None)
    assert found == [(AuditAction.LOGIN_FAILED, {})] * 5 + [(AuditAction.THROTTLED, {"limits": ["login-account"]})]
    shown = (await account.get("/users/me/events")).json()["items"]
    assert [item["by"] for item in shown if item["action"] == "throttled"] == ["unknown"] * is_known


async def test_the_right_password_begins_no_block(services: Services, account: Account) -> None:
    """The fifth attempt meets the limit, and succeeds."""
    for _ in range(4):
        await log_in(account.client, account.email, "wrong password 99")
    assert (await log_in(account.client, account.email, account.password)).is_success
    assert AuditAction.THROTTLED not in dict(await failures(services, account.id))


async def test_a_change_of_password_meets_the_same_limit(services: Services, account: Account) -> None:
    """P7: from whoever has found an open session."""
    body = {"current_password": "wrong password 99", "new_password": "another passphrase 43"}
    answers = [(await account.request("POST", "/users/me/password", json=body)).status_code for _ in range(7)]
    assert answers[5:] == [429, 429]
    found = await failures(services, account.id)
    assert found[4:] == [
        (AuditAction.PASSWORD_CHANGE_FAILED, {}),
        (AuditAction.THROTTLED, {"limits": ["login-account"]}),
    ]


async def test_a_service_meets_it_too(services: Services, admin: Account) -> None:
    service = await service_of(admin)
    answers = [(await grant(admin.client, basic(service.id, "guess"))).status_code for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2
    found = await failures(services, service.id)
    assert found[4:] == [(AuditAction.SERVICE_LOGIN_FAILED, {}), (AuditAction.THROTTLED, {"limits": ["login-account"]})]


async def test_a_wrong_code_is_recorded(services: Services, account: Account, mailbox: Mailbox) -> None:
    """R8: for the account that it was tried on, and without the address that was typed in."""
    code = await reset_code(account, mailbox)
    assert (await reset(account.client, account.email, wrong(code))).status_code == 400
    expected = (AuditAction.MAIL_CODE_FAILED, {"purposes": ["reset_password"]})
    assert await failures(services, account.id) == [expected]
    shown = (await account.get("/users/me/events")).json()["items"]
    assert [item["by"] for item in shown if item["action"] == "mail_code_failed"] == ["unknown"]
    await forgot(account.client, "nobody@example.com")
    assert (await reset(account.client, "nobody@example.com", code)).status_code == 400
    assert await failures(services, None) == [expected]
    assert (await reset(account.client, account.email, code)).status_code == 204
    assert await failures(services, account.id) == [expected]


async def test_guesses_at_codes_that_meet_the_limit_say_so(
    services: Services, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one behind those that are free is the last that is looked at, and recorded."""
    monkeypatch.setattr(limits, "CODE_ADDRESS_POLICY", replace(limits.CODE_ADDRESS_POLICY, free=2))
    answers = [(await reset(account.client, account.email, "000000")).status_code for _ in range(5)]
    assert answers == [400] * 3 + [429] * 2
    found = await failures(services, None)
    assert [action for action, _ in found] == [AuditAction.MAIL_CODE_FAILED] * 3 + [AuditAction.THROTTLED]
    assert found[-1][1] == {"limits": ["code-address"]}


async def test_a_wrong_password_of_a_registration_is_recorded(
    app: FastAPI, make_app: AppFactory, services: Services, mailbox: Mailbox
) -> None:
    """The mail's reader who did not begin it; beyond the fifth nobody looks, nor writes."""
    async with make_app(registration="verified") as verifying, client_of(verifying) as client:
        await register(client, "ada@example.com")
        code = await mailbox.code("ada@example.com")
        for _ in range(7):
            answer = await verify(client, code, "wrong password 99")
            assert (answer.status_code, answer.json()["code"]) == (400, "code_invalid")
    *found, last = await failures(services, None)
    assert [action for action, _ in found] == [AuditAction.REGISTRATION_FAILED] * 5
    assert {*found[0][1]} == {"registration_id"}
    assert last == (AuditAction.THROTTLED, {"limits": ["registration-password"]})


async def verify(client: httpx.AsyncClient, code: str, password: str) -> httpx.Response:
    return await post(client, "/auth/verify-email", email="ada@example.com", code=code, password=password)


async def test_a_registration_by_invitation_names_it(services: Services, admin: Account, mailbox: Mailbox) -> None:
    """Who was let in with what: the invitation's own event has its id too."""
    made = await admin.request("POST", "/admin/invitations", json={"email": "ada@example.com", "role": "reviewer"})
    token = (await mailbox.link("ada@example.com")).partition("token=")[2]
    answer = await register(admin.client, "ada@example.com", invitation=token)
    assert answer.status_code == 201, answer.text
    (event, *_) = await events_of(services, answer.json()["id"])
    assert event.action is AuditAction.REGISTERED
    assert event.detail == {"invitation_id": made.json()["id"], "role": "reviewer"}


@pytest.mark.parametrize(("path", "action"), [("sessions", "user_sessions_ended"), ("tokens", "user_tokens_revoked")])
async def test_what_an_administrator_ends_is_counted(admin: Account, account: Account, path: str, action: str) -> None:
    """A3: an administrator's deed is on record where it found nothing to end, too."""
    await account.request("POST", "/users/me/tokens", json={"name": "script", "scopes": ["profile:read"]})
    for _ in range(2):
        assert (await admin.request("DELETE", f"/admin/users/{account.id}/{path}")).status_code == 204
    listed = (await admin.get("/admin/audit", params={"action": action})).json()["items"]
    assert [(item["user_id"], item["actor_id"], item["detail"]) for item in listed] == [
        (account.id, admin.id, {"count": count}) for count in (0, 1)
    ]
