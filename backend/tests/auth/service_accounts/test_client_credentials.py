"""The client credentials grant: who gets a token, what it says, and how clients fail."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from app.auth.models import LoginThrottle
from app.auth.permissions import all_permissions
from app.auth.service_accounts.models import ServiceAccount
from app.auth.service_accounts.repository import ServiceAccountRepository
from app.core.ids import new_id
from app.main import Services
from tests.auth.credentials import (
    SERVICES,
    Service,
    basic,
    grant,
    make_service,
    service_of,
    token_of,
    with_secret,
)
from tests.auth.scenarios import actions_of, claims_of, in_parallel
from tests.auth.stage import SteerableClock, code_of, login_at, running
from tests.conftest import AppFactory, client_of
from tests.statements import recorded_sql
from tests.support import API, Account, ManualClock

DEAD = (401, "invalid_token")
MACHINE_PERMISSIONS = sorted(name for name, permission in all_permissions().items() if not permission.is_personal)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an OAuth2 refusal, which no cache may keep."""
    assert answer.headers["Cache-Control"] == "no-store", answer.headers
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json().keys() == {"error", "error_description"}, answer.text
    return answer.status_code, answer.json()["error"]


@pytest.fixture
async def service(admin: Account) -> Service:
    """A service account that may read and change accounts."""
    return await service_of(admin, ["users:read", "users:write"])


async def test_a_token_is_answered_without_a_refresh_token(
    services: Services, service: Service, clock: ManualClock
) -> None:
    """RFC 6749 section 4.4.3, and the claims of RFC 9068 section 2.2: the subject is the client itself."""
    clock.stop()
    answer = await service.ask()
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    body = answer.json()
    assert body.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert body["token_type"] == "bearer"
    assert body["scope"] == "users:read users:write"
    assert 570 <= body["expires_in"] <= 630
    claims = claims_of(services, body["access_token"])
    assert str(claims.sub) == claims.client_id == service.id
    assert claims.scope == {"users:read", "users:write"}
    assert str(claims.sid) == service.secret_id
    assert (claims.amr, claims.acr) == ((), "0")


async def test_a_client_authenticates_in_either_way(service: Service) -> None:
    """RFC 6749 section 2.3.1: HTTP Basic with percent-encoded parts, or members of the form."""
    encoded = quote(service.id, safe="").replace("-", "%2D"), quote(service.secret, safe="").replace("_", "%5F")
    for headers in (service.basic, basic(*encoded)):
        assert (await grant(service.client, headers=headers)).is_success
        lower = {"Authorization": headers["Authorization"].replace("Basic", "bAsIc")}
        assert (await grant(service.client, headers=lower)).is_success
        assert (await grant(service.client, headers=headers, client_id=service.id)).is_success
    assert (await grant(service.client, client_id=service.id, client_secret=service.secret)).is_success


async def test_a_client_authenticates_in_one_way_only(service: Service) -> None:
    """RFC 6749 section 2.3: more than one is `invalid_request`, even when all are right."""
    both = {"client_id": service.id, "client_secret": service.secret}
    assert error_of(await grant(service.client, headers=service.basic, **both)) == (400, "invalid_request")
    other = await grant(service.client, headers=service.basic, client_id=str(new_id()))
    assert error_of(other) == (400, "invalid_request")
    line = ("Authorization", service.basic["Authorization"])
    assert error_of(await grant(service.client, headers=[line, line])) == (400, "invalid_request")


@pytest.mark.parametrize(
    "value",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b":").decode(),
        "Basic " + b64encode(b"\xff\xfe:x").decode(),
        "Basic " + b64encode(b"%ff%fe:%ff").decode(),
        "Basic " + b64encode(b"a:" + b"x" * 4000).decode(),
        "Basic " + b64encode(b"\x00:\x00").decode(),
        "Basic  " + b64encode(b"a:b").decode(),
        "Bearer x",
        "Digest x",
        "x",
        "",
    ],
)
async def test_a_header_that_proves_nothing(client: httpx.AsyncClient, value: str) -> None:
    """RFC 6749 section 5.2: 401 `invalid_client`, with the scheme that is meant."""
    answer = await grant(client, headers={"Authorization": value})
    assert error_of(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="merit"')


@pytest.mark.parametrize("path", ["token", "revoke", "introspect"])
async def test_a_header_beyond_ascii_proves_nothing(client: httpx.AsyncClient, path: str) -> None:
    """Bytes that no base64 has are a wrong secret like any, wherever a client says who it is."""
    headers = [(b"Authorization", "Basic rt1.0199c2a4-\u2026".encode())]
    form = {"grant_type": "client_credentials"} if path == "token" else {"token": "rt1.0199c2a4-\u2026.1.\u2026"}
    answer = await client.post(f"{API}/auth/{path}", data=form, headers=headers)
    assert error_of(answer) == (401, "invalid_client")


async def test_every_failure_looks_the_same(
    make_app: AppFactory, admin: Account, service: Service, clock: ManualClock
) -> None:
    """Unknown, disabled, wrong, expired, revoked, missing: one status, one body, one challenge."""
    disabled, revoked = await service_of(admin), await service_of(admin)
    expiring = await with_secret(admin, (await make_service(admin)).json()["id"], expires_in_days=1)
    await admin.request("PATCH", f"{SERVICES}/{disabled.id}", json={"is_active": False})
    await admin.request("DELETE", f"{SERVICES}/{revoked.id}/secrets/{revoked.secret_id}")
    clock.advance(days=1)
    token = await token_of_fresh(admin)
    credentials = [
        (str(new_id()), service.secret),
        ("unknown", service.secret),
        (service.id, "wrong"),
        (service.id, service.secret[:-1]),
        (service.id, service.secret + " "),
        (service.id, "sas_" + "A" * 22 + "_" + "A" * 60),
        (service.id, token),
        (disabled.id, disabled.secret),
        (revoked.id, revoked.secret),
        (expiring.id, expiring.secret),
        ("", service.secret),
        (service.id, ""),
    ]
    answers = []
    async with make_app(rate_limits="off") as app, client_of(app) as client:
        for client_id, secret in credentials:
            answers.append(await grant(client, client_id=client_id, client_secret=secret))
            answers.append(await grant(client, headers=basic(client_id, secret)))
        answers.append(await grant(client))
    assert {error_of(answer) for answer in answers} == {(401, "invalid_client")}
    assert len({(answer.text, answer.headers["WWW-Authenticate"]) for answer in answers}) == 1
    assert (await service.ask()).is_success


async def token_of_fresh(account: Account) -> str:
    await account.login()
    return (await token_of(account)).text


async def test_a_scope_can_only_narrow(admin: Account, service: Service) -> None:
    """RFC 6749 section 3.3: a part of what it may do, or `invalid_scope`."""
    bearer = await service.bearer(scope="users:read")
    assert (await bearer.get("/admin/users")).is_success
    user = f"/admin/users/{admin.id}"
    refused = await bearer.request("PATCH", user, json={"full_name": "x"})
    assert code_of(refused) == (403, "insufficient_scope")
    for scope in ("jobs:read", "users:read jobs:read", "profile:read", "nothing:such", "users:read users:read2"):
        assert error_of(await service.ask(scope=scope)) == (400, "invalid_scope"), scope
    assert (await service.ask(scope="")).json()["scope"] == "users:read users:write"


async def test_without_permissions_there_is_no_token(admin: Account) -> None:
    """`unauthorized_client`: the client is who it says, but has nothing to do with this grant."""
    service = await service_of(admin, [])
    assert error_of(await service.ask()) == (400, "unauthorized_client")
    assert error_of(await service.ask(scope="users:read")) == (400, "unauthorized_client")


async def test_what_a_later_release_takes_back_is_gone(admin: Account, services: Services, service: Service) -> None:
    """A stored permission that the code no longer declares permits nothing."""
    async with services.database.session() as session:
        accounts = ServiceAccountRepository(session, services.clock)
        assert await accounts.update_where(values={ServiceAccount.scope: "old:permission users:read"})
        await session.commit()
    assert (await service.ask()).json()["scope"] == "users:read"
    assert (await with_secret(admin, service.id)).secret


async def test_it_is_no_person(admin: Account) -> None:
    """It has no profile, no sessions and no tokens, and makes none, whatever its permissions."""
    service = await service_of(admin, MACHINE_PERMISSIONS)
    bearer = await service.bearer()
    for method, path in (
        ("GET", "/users/me"),
        ("PATCH", "/users/me"),
        ("POST", "/users/me/password"),
        ("GET", "/users/me/sessions"),
        ("DELETE", f"/users/me/sessions/{service.secret_id}"),
        ("GET", "/users/me/tokens"),
        ("POST", "/users/me/tokens"),
        ("POST", "/auth/logout"),
    ):
        answer = await bearer.request(method, path, json={})
        assert answer.status_code == 403, (method, path, answer.text)
        assert answer.json()["code"] in {"insufficient_scope", "session_required"}
    assert (await bearer.get("/admin/users")).is_success
    assert (await bearer.get("/admin/users")).is_success


async def test_what_needs_a_login_is_closed(app: FastAPI, admin: Account, account: Account) -> None:
    """K3: no operation answers a machine's token with an error of ours, and none that needs a person lets it in."""
    bearer = await (await service_of(admin, MACHINE_PERMISSIONS)).bearer()
    for path, item in app.openapi()["paths"].items():
        for method, operation in item.items():
            if not operation.get("security"):
                continue
            filled = path.removeprefix(API).replace("{user_id}", account.id)
            filled = "/".join(str(new_id()) if part.startswith("{") else part for part in filled.split("/"))
            answer = await bearer.request(method.upper(), filled, json={})
            assert answer.status_code < 500, (operation["operationId"], answer.text)
            if "/users/me" in path:
                assert answer.status_code in {401, 403}, (operation["operationId"], answer.text)


@pytest.mark.parametrize("change", [{"is_active": False}, {"permissions": ["users:write"]}, None])
async def test_every_worker_sees_a_change_at_the_next_request(
    hosts: list[FastAPI], admin: Account, service: Service, change: dict[str, Any] | None
) -> None:
    """Disabled, narrowed or deleted at one worker: refused at the others without delay."""
    bearer = await service.bearer()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(host)) for host in hosts]
        for client in clients:
            assert (await bearer.at(client).get("/admin/users")).is_success
        there = await login_at(hosts[0], admin)
        method, path = ("DELETE" if change is None else "PATCH"), f"{SERVICES}/{service.id}"
        assert (await there.request(method, path, json=change or {})).is_success
        for client in clients[::-1]:
            assert code_of(await bearer.at(client).get("/admin/users")) == DEAD
    answer = await service.ask(scope="users:read")
    expected = (400, "invalid_scope") if change and "permissions" in change else (401, "invalid_client")
    assert error_of(answer) == expected


@pytest.fixture
async def hosts(database_url: str, tmp_path: Path, app: FastAPI) -> AsyncIterator[list[FastAPI]]:
    """Two workers of one host: applications of their own that share the data folder."""
    async with AsyncExitStack() as stack:
        clock = SteerableClock()
        yield [await stack.enter_async_context(running(database_url, tmp_path, clock)) for _ in range(2)]


async def test_more_permissions_leave_tokens_alone(admin: Account, service: Service) -> None:
    """What is added comes with the next token; the present one goes on. Enabled again, it starts anew."""
    bearer = await service.bearer()
    path = f"{SERVICES}/{service.id}"
    changes = {"permissions": ["jobs:read", "users:read", "users:write"], "name": "other"}
    assert (await admin.request("PATCH", path, json=changes)).is_success
    assert (await bearer.get("/admin/users")).is_success
    assert (await service.ask()).json()["scope"] == "jobs:read users:read users:write"
    assert (await admin.request("PATCH", path, json={"is_active": False})).is_success
    assert (await admin.request("PATCH", path, json={"is_active": True})).is_success
    assert code_of(await bearer.get("/admin/users")) == DEAD
    assert (await (await service.bearer()).get("/admin/users")).is_success


async def test_a_token_does_not_outlive_its_secret(admin: Account, clock: ManualClock) -> None:
    clock.stop()
    service = await with_secret(admin, (await make_service(admin)).json()["id"], expires_in_days=1)
    clock.advance(days=1, seconds=-100)
    assert 95 <= (await service.ask()).json()["expires_in"] <= 100


async def test_a_request_costs_no_sql(services: Services, service: Service) -> None:
    """T8 for machines: their tokens are verified like everyone's."""
    bearer = await service.bearer()
    with recorded_sql(services.database) as statements:
        assert code_of(await bearer.get("/users/me")) == (403, "insufficient_scope")
    assert statements == []


async def test_the_last_use_of_a_secret_is_kept(admin: Account, service: Service, clock: ManualClock) -> None:
    """K4: to the minute, so that the one that is still in use is known before it is revoked."""
    clock.stop()

    async def last_used() -> str:
        answer = await admin.get(f"{SERVICES}/{service.id}/secrets")
        return str(answer.json()["items"][0]["last_used_at"])

    assert await last_used() == "None"
    await service.ask()
    first = await last_used()
    clock.advance(seconds=59)
    await service.ask()
    assert await last_used() == first != "None"
    clock.advance(seconds=1)
    await service.ask()
    assert await last_used() > first


async def test_failures_are_held_up(app: FastAPI, service: Service, clock: ManualClock) -> None:
    """L4: after five, the next wait, from this network and for this client; the right secret is never held up."""
    clock.stop()
    wrong = basic(service.id, "wrong")
    for _ in range(5):
        assert error_of(await grant(service.client, headers=wrong)) == (401, "invalid_client")
    answer = await grant(service.client, headers=wrong)
    assert error_of(answer) == (429, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert (await service.ask()).is_success
    async with client_of(app, address="192.0.2.7") as elsewhere:
        assert error_of(await grant(elsewhere, headers=wrong)) == (401, "invalid_client")
    clock.advance(seconds=2)
    assert error_of(await grant(service.client, headers=wrong)) == (401, "invalid_client")
    assert (await actions_of(app, service.id)).count("service_login_failed") == 7


async def test_failures_of_unknown_clients_count_too(client: httpx.AsyncClient, clock: ManualClock) -> None:
    """As many as of a known one, or the count would tell which it is."""
    clock.stop()
    for client_id in (str(new_id()), "unknown"):
        statuses = [(await grant(client, client_id=client_id, client_secret="wrong")).status_code for _ in range(6)]
        assert statuses == [401] * 5 + [429]


async def test_a_success_counts_nothing(services: Services, service: Service) -> None:
    """Twenty copies of a service that start at once behind one address all get their tokens."""
    answers = await in_parallel(service.ask() for _ in range(20))
    assert {answer.status_code for answer in answers} == {200}
    async with services.database.read_session() as session:
        keys = list(await session.scalars(select(LoginThrottle.key).where(LoginThrottle.key.contains(service.id))))
        assert await session.scalar(select(func.count()).select_from(LoginThrottle)) is not None
    assert keys == []


async def test_limits_can_be_switched_off(make_app: AppFactory, clock: ManualClock) -> None:
    """RATE_LIMITS=off, for load tests."""
    clock.stop()
    async with make_app(rate_limits="off") as app, client_of(app) as client:
        statuses = {(await grant(client, client_id="x", client_secret="wrong")).status_code for _ in range(10)}
    assert statuses == {401}


@pytest.mark.parametrize("member", ["client_id", "client_secret", "scope", "grant_type"])
@pytest.mark.parametrize("value", ["\x00", "é" * 30, "x" * 5000, "' OR 1=1 --", "\ud800"])
async def test_strange_members_are_refused(client: httpx.AsyncClient, member: str, value: str) -> None:
    """Whatever stands in the form: a 4xx in the form of RFC 6749."""
    form = {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y", member: value}
    encoded = "&".join(f"{key}={quote(text.encode('utf-8', 'surrogatepass'))}" for key, text in form.items())
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post(f"{API}/auth/token", content=encoded, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"] in {"invalid_client", "invalid_request", "unsupported_grant_type"}
