"""RFC 7662: a resource server that may ask is told what a token is good for at this moment; nobody else anything."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.core.ids import new_id
from app.main import Services
from tests.auth.credentials import Service, basic, service_of, token_of
from tests.auth.forgery import b64
from tests.auth.scenarios import claims_of
from tests.conftest import AppFactory, client_of
from tests.statements import recorded_sql
from tests.support import API, PASSWORD, Account, ManualClock, register

INTROSPECT = "tokens:introspect"
INACTIVE = {"active": False}


@pytest.fixture
async def asker(admin: Account) -> Service:
    """A resource server's service account."""
    return await service_of(admin, [INTROSPECT])


async def ask(asker: Service, token: str, headers: dict[str, str] | None = None, **form: str) -> httpx.Response:
    """Ask about a token, by default with HTTP Basic."""
    headers = asker.basic if headers is None else headers
    return await asker.client.post(f"{API}/auth/introspect", data={"token": token, **form}, headers=headers)


async def told(asker: Service, token: str, **form: Any) -> Any:
    """What is told of a token."""
    answer = await ask(asker, token, **form)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json()


@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "anything"])
async def test_an_access_token_is_told_whole(
    services: Services, asker: Service, account: Account, hint: str | None
) -> None:
    """RFC 7662 section 2.2: what the token says and nothing of the person; a hint changes nothing."""
    await account.login(client_id="web", scope="profile:read")
    claims = claims_of(services, account.access_token)
    form: dict[str, Any] = {} if hint is None else {"token_type_hint": hint}
    assert await told(asker, account.access_token, **form) == {
        "active": True,
        "scope": "profile:read",
        "client_id": "web",
        "token_type": "Bearer",
        "exp": claims.exp,
        "iat": claims.iat,
        "nbf": claims.iat,
        "sub": account.id,
        "aud": "merit-api",
        "iss": "merit",
        "jti": claims.jti,
        "sid": str(claims.sid),
    }


async def test_personal_and_service_tokens_are_told(asker: Service, admin: Account, account: Account) -> None:
    """K2: a personal token with what it may do now; a service's token with its own id."""
    personal = await token_of(account, "profile:read")
    found = await told(asker, personal.text)
    assert (found["active"], found["scope"], found["sub"], found["sid"]) == (
        True, "profile:read", account.id, personal.id,
    )  # fmt: skip
    service = await service_of(admin, ["users:read"])
    found = await told(asker, (await service.bearer()).text)
    assert (found["active"], found["scope"], found["sub"], found["client_id"]) == (
        True, "users:read", service.id, service.id,
    )  # fmt: skip


async def test_what_is_dead_is_told_at_once(asker: Service, admin: Account, account: Account) -> None:
    """T8, S5: logout, a changed role, a disabled account with its personal token: nothing is said but inactive."""
    client = account.client
    ended, changed, disabled = account, await register(client), await register(client)
    personal = await token_of(disabled)
    for token in (ended.access_token, changed.access_token, disabled.access_token, personal.text):
        assert (await told(asker, token))["active"] is True
    await ended.request("POST", "/auth/logout")
    await admin.request("PATCH", f"/admin/users/{changed.id}", json={"role": "reviewer"})
    await admin.request("POST", f"/admin/users/{disabled.id}/disable")
    for token in (ended.access_token, changed.access_token, disabled.access_token, personal.text):
        assert await told(asker, token) == INACTIVE


async def test_an_expired_token_is_inactive_at_once(
    services: Services, asker: Service, account: Account, clock: ManualClock
) -> None:
    """RFC 7662 section 2.2: the leeway that clocks are given is not for tokens that are known to have expired."""
    clock.stop()
    await account.login()
    claims = claims_of(services, account.access_token)
    life = claims.exp - clock.now().timestamp()
    clock.advance(seconds=life - 0.5)
    assert (await told(asker, account.access_token))["active"] is True
    clock.advance(seconds=1)
    assert await told(asker, account.access_token) == INACTIVE


async def test_nothing_else_is_active(services: Services, asker: Service, account: Account) -> None:
    """RFC 7662 section 4: junk, refresh tokens, secrets and changed tokens are all alike, without a statement."""
    head, body, signature = account.access_token.split(".")
    unsigned = b64(json.dumps({"alg": "none", "typ": "at+jwt", "kid": "x"}).encode())
    tokens = [
        account.refresh_token, asker.secret, PASSWORD, "x.y.z", "pat_x", f"{unsigned}.{body}.", f"{head}.{body}.AAAA",
        f"{head}.{signature}.{body}", " ", "\u00e4", "rt1.0199c2a4-\u2026.1.\u2026", f"{head}.{body}.\u2026",
        "x" * 8192,
    ]  # fmt: skip
    await told(asker, "x")
    with recorded_sql(services.database) as statements:
        answers = [await told(asker, token) for token in tokens]
    assert answers == [INACTIVE] * len(tokens)
    assert not [text for text in statements if "users" in text or "auth_sessions" in text]


async def test_who_may_ask(app: FastAPI, asker: Service, admin: Account, account: Account) -> None:
    """RFC 7662 section 2.1: service accounts with the permission, however they prove who they are."""
    in_form: dict[str, Any] = {"client_id": asker.id, "client_secret": asker.secret}
    bearer = await asker.bearer()
    assert (await ask(asker, account.access_token, headers={}, **in_form)).json()["active"] is True
    assert (await ask(asker, account.access_token, headers=bearer.headers)).json()["active"] is True
    other = await service_of(admin, ["users:read"])
    personal = await token_of(admin, INTROSPECT)
    may_not = (other.basic, (await other.bearer()).headers, account.headers, admin.headers, personal.headers)
    for headers in may_not:
        answer = await ask(asker, account.access_token, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
        assert 'error="insufficient_scope", scope="tokens:introspect"' in answer.headers["WWW-Authenticate"]


async def test_strangers_are_told_nothing(asker: Service, account: Account) -> None:
    """RFC 7662 section 4: without authentication the endpoint is no oracle: the answer is the same for any token."""
    dead = {"Authorization": f"Bearer {account.access_token}"}
    await account.request("POST", "/auth/logout")
    alive = await register(account.client)
    for headers, error, scheme in (
        ({}, "invalid_client", "Bearer"),
        (basic(asker.id, "wrong"), "invalid_client", "Basic"),
        (basic(str(new_id()), asker.secret), "invalid_client", "Basic"),
        ({"Authorization": "Digest x"}, "invalid_client", "Basic"),
        (dead, "invalid_token", "Bearer"),
        ({"Authorization": "Bearer x"}, "invalid_token", "Bearer"),
    ):
        answers = [await ask(asker, token, headers=headers) for token in (alive.access_token, "junk")]
        assert [answer.status_code for answer in answers] == [401, 401]
        assert answers[0].json() == answers[1].json()
        assert answers[0].json()["error"] == error
        assert {answer.headers["WWW-Authenticate"].partition(" ")[0] for answer in answers} == {scheme}


async def test_a_service_that_lost_its_rights_is_told_nothing_more(
    asker: Service, admin: Account, account: Account
) -> None:
    """T8: from the next request on, with its secret as with an access token that it had before."""
    bearer = await asker.bearer()
    changed = await admin.request("PATCH", f"/admin/service-accounts/{asker.id}", json={"permissions": []})
    assert changed.is_success
    assert (await ask(asker, account.access_token)).status_code == 403
    assert (await ask(asker, account.access_token, headers=bearer.headers)).status_code == 401


async def test_a_request_without_a_token(asker: Service) -> None:
    """RFC 6749 section 5.2: the form of errors is that of OAuth2, for half a credential too."""
    answer = await asker.client.post(f"{API}/auth/introspect", headers=asker.basic)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    for headers in ({"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer a b"}):
        answer = await ask(asker, "x", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_to_be_asked_about_is_no_use(services: Services, asker: Service, account: Account) -> None:
    """K1: the resource server's address is not the user's; what is known of the last use stays."""
    token, usage = await token_of(account, "profile:read"), services.auth.personal_tokens.usage
    assert (await told(asker, token.text))["active"]
    await usage.write()
    listed = (await account.get("/users/me/tokens")).json()["items"][0]
    assert listed["last_used_at"] is listed["last_used_address"] is None
    assert (await token.get("/users/me")).is_success
    await usage.write()
    used = (await account.get("/users/me/tokens")).json()["items"][0]
    usage._noted.clear()  # a minute later, or in another process
    assert (await told(asker, token.text))["active"]
    await usage.write()
    assert (await account.get("/users/me/tokens")).json()["items"][0] == used
    assert used["last_used_address"] == "127.0.0.1"


async def test_one_connection_serves_a_question(make_app: AppFactory, admin: Account, account: Account) -> None:
    """Whoever asks lets go of its connection before the token's own row is read: or two could wait for each other."""
    tokens = [await token_of(account, "profile:read") for _ in range(2)]
    service = await service_of(admin, [INTROSPECT])
    async with make_app(db_pool_size=1, db_pool_timeout=2) as narrow, client_of(narrow) as client:
        asker = Service(client, service.id, service.secret_id, service.secret)
        assert (await told(asker, tokens[0].text))["active"]
        answer = await client.post(f"{API}/auth/revoke", data={"token": tokens[1].text}, headers=asker.basic)
        assert answer.json()["error"] == "invalid_grant"  # looked at, and another's
