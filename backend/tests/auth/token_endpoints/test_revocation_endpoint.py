"""RFC 7009: whoever holds a token can end it, and nothing else."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.auth.tokens import AccessTokenCodec, SigningKey
from app.auth.types import AuditAction, SessionEndReason
from app.core.ids import new_id
from app.main import Services
from tests.auth.credentials import Service, basic, service_of, token_of
from tests.auth.scenarios import actions_of, claims_of, events_of, is_alive, refresh, session_of
from tests.statements import recorded_sql
from tests.support import API, Account, register

HINTS = (None, "access_token", "refresh_token", "saml2", "")


async def revoke(client: httpx.AsyncClient, token: str, headers: dict[str, str] | None = None, **form: str) -> int:
    """Revoke a token; the status."""
    answer = await client.post(f"{API}/auth/revoke", data={"token": token, **form}, headers=headers)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
@pytest.mark.parametrize("hint", HINTS)
async def test_a_session_ends_by_either_of_its_tokens(
    app: FastAPI, client: httpx.AsyncClient, account: Account, kind: str, hint: str | None
) -> None:
    """RFC 7009 section 2.1: both tokens are dead before the answer, whatever the hint says; other sessions stay."""
    other = await session_of(account)
    form: dict[str, Any] = {} if hint is None else {"token_type_hint": hint}
    assert await revoke(client, getattr(account, kind), **form) == 200
    assert not await is_alive(client, account.access_token)
    assert (await refresh(client, account.refresh_token)).status_code == 400
    assert await is_alive(client, other.access_token)
    assert await revoke(client, getattr(account, kind), **form) == 200
    (ended,) = [event for event in await events_of(app, account.id) if event.action is AuditAction.LOGOUT]
    assert ended.detail == {"reason": SessionEndReason.LOGOUT.value}


async def test_a_personal_token_is_revoked_alone(app: FastAPI, client: httpx.AsyncClient, account: Account) -> None:
    """A script that finds its token in the wrong place can end it, and only it."""
    token, other = await token_of(account), await token_of(account)
    assert (await token.get("/users/me")).is_success
    assert [await revoke(client, token.text) for _ in range(2)] == [200, 200]
    assert (await token.get("/users/me")).status_code == 401
    assert (await other.get("/users/me")).is_success
    assert await is_alive(client, account.access_token)
    assert (await actions_of(app, account.id)).count("personal_token_revoked") == 1


async def test_a_services_access_token_cannot_be_revoked_alone(client: httpx.AsyncClient, admin: Account) -> None:
    """RFC 7009 section 2.2.1: said so, and it lives on; a dead one is 200 like any."""
    service = await service_of(admin)
    token = await service.bearer()
    answer = await client.post(f"{API}/auth/revoke", data={"token": token.text}, headers=service.basic)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_token_type")
    assert (await token.get("/admin/users")).is_success
    assert (await admin.request("DELETE", f"/admin/service-accounts/{service.id}")).is_success
    assert await revoke(client, token.text) == 200


async def test_a_token_of_another_client_is_not_touched(client: httpx.AsyncClient, admin: Account) -> None:
    """RFC 7009 section 2.1: a client that says who it is revokes its own tokens only."""
    service, account = await service_of(admin), await register(client)
    await account.login(client_id="web")
    for token in (account.access_token, account.refresh_token):
        for headers, form in ((service.basic, {}), (None, {"client_id": "another"}), (None, {"client_id": "merit"})):
            answer = await client.post(f"{API}/auth/revoke", data={"token": token, **form}, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert await is_alive(client, account.access_token)
    assert await revoke(client, account.refresh_token, client_id="web") == 200
    assert not await is_alive(client, account.access_token)


async def test_a_client_that_cannot_prove_who_it_is_is_refused(client: httpx.AsyncClient, admin: Account) -> None:
    """RFC 7009 section 2.1: client authentication that fails is an error, even where none was needed."""
    service, account = await service_of(admin), await register(client)
    wrong = Service(client, service.id, service.secret_id, service.secret[:-1])
    for headers in (wrong.basic, basic(str(new_id()), "x"), {"Authorization": "Basic !"}, account.headers):
        answer = await client.post(f"{API}/auth/revoke", data={"token": account.refresh_token}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    in_form: dict[str, Any] = {"client_id": service.id, "client_secret": "wrong"}
    assert await revoke(client, account.refresh_token, **in_form) == 401
    both = await client.post(f"{API}/auth/revoke", data={"token": "x", **in_form}, headers=service.basic)
    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")
    assert await is_alive(client, account.access_token)


async def test_forged_tokens_revoke_nothing(
    services: Services, client: httpx.AsyncClient, account: Account, settings: object
) -> None:
    """T1: names of someone's session under another key, tag or checksum are junk: 200, no statement, nothing ends."""
    claims = claims_of(services, account.access_token)
    forger = AccessTokenCodec(issuer="merit", audience="merit-api", lifetime_seconds=600, clock=services.clock)
    key = SigningKey.generate_es256()
    forger.set_keys(key, [key])
    forged = forger.issue(
        user_id=claims.sub, session_id=claims.sid, client_id="merit", auth_version=1, scope=[], amr=["pwd"],
        acr="aal1", auth_time=services.clock.now(),
    ).token  # fmt: skip
    personal = (await token_of(account)).text
    await revoke(client, forged)  # the keys are looked up once
    junk = [
        forged,
        account.access_token[:-4] + "AAAA",
        account.refresh_token[:-1] + ("A" if account.refresh_token[-1] != "A" else "B"),
        f"rt1.{claims.sid}.1.{'A' * 43}.{'A' * 22}",
        "rt1.",
        "rt1.0199c2a4-\u2026.1.\u2026",
        personal[:-1] + ("0" if personal[-1] != "0" else "1"),
        "pat_",
        "x.y.z",
        "\u00e4\U0001f600",
        "a" * 8192,
    ]
    with recorded_sql(services.database) as statements:
        assert {await revoke(client, token) for token in junk} == {200}
    assert statements == []
    assert await is_alive(client, account.access_token)
    assert (await refresh(client, account.refresh_token)).is_success


async def test_a_token_used_up_long_ago_ends_its_session(
    app: FastAPI, client: httpx.AsyncClient, account: Account
) -> None:
    """F3: it must have been copied; to present it here is the same as to a refresh."""
    stale = account.refresh_token
    token = stale
    for _ in range(2):
        token = (await refresh(client, token)).json()["refresh_token"]
    assert await revoke(client, stale) == 200
    assert (await refresh(client, token)).status_code == 400
    assert "refresh_reused" in await actions_of(app, account.id)


@pytest.mark.parametrize(
    "form", [{}, {"token": ""}, {"token": "x" * 8193}, {"token": "x", "token_type_hint": "x" * 65}]
)
async def test_a_request_without_a_usable_token(client: httpx.AsyncClient, form: dict[str, str]) -> None:
    """RFC 6749 section 5.2: the form of errors is that of OAuth2."""
    answer = await client.post(f"{API}/auth/revoke", data=form)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "invalid_request"
