"""Every path of the API: who may call it, whose rows it shows, and that reading writes nothing."""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import event
from starlette.routing import Route

from app.auth.housekeeping import Housekeeping
from app.chat.sharing.views import ShareViews
from app.core.ids import new_id
from app.db.session import get_session
from app.main import Services
from app.models import Base
from tests.auth.credentials import make_service, token_of
from tests.auth.guests.stage import visitor
from tests.auth.roles.players import make_role
from tests.chat import operations as conversations
from tests.chat.responses import operations as replies
from tests.chat.sharing import operations as shares
from tests.chat.transfer import operations as transfer
from tests.conftest import AppFactory, client_of
from tests.db.rows import dump
from tests.support import PASSWORD, Account, register

METHODS = {"get", "post", "put", "patch", "delete"}

# What anyone may call. A new entry is a decision; every other operation answers 401 without a token.
PUBLIC = {
    ("get", "/.well-known/jwks.json"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("post", "/api/v1/auth/register"),
    ("post", "/api/v1/auth/login"),
    ("post", "/api/v1/auth/token"),
    ("post", "/api/v1/auth/refresh"),
    ("post", "/api/v1/auth/verify-email"),
    ("post", "/api/v1/auth/verify-email/resend"),
    ("post", "/api/v1/auth/email/confirm"),
    ("post", "/api/v1/auth/email/undo"),
    ("post", "/api/v1/auth/password/forgot"),
    ("post", "/api/v1/auth/password/reset"),
    ("post", "/api/v1/auth/secure-account"),
    ("post", "/api/v1/auth/revoke"),
    ("post", "/api/v1/guests"),
    ("get", "/api/v1/shares/{token}"),
    ("post", "/api/v1/shares/{token}"),
}

# What only guests may call: there an access token, alive or not, is as good as none.
FOR_GUESTS_ONLY = {"/api/v1/guests/me"}

# Whose refusals have the form of RFC 6749, and which also take HTTP Basic.
OAUTH = {("post", "/api/v1/auth/introspect")}

# Paths with an id: rows of one owner, with the way to make one; or everyone's rows, for administrators alone.
ADMINISTRATORS_PREFIX = "/api/v1/admin/"

# Paths with a name that the caller gives to something of its own (tests/preferences/test_isolation.py).
NAMED_BY_THE_CALLER = {"/api/v1/preferences/{key}", "/api/v1/preferences/{key}/history"}

# What operations on such paths take where an empty object is not enough.
BODIES: dict[tuple[str, str], dict[str, Any]] = {**conversations.BODIES, **replies.BODIES, **shares.BODIES}

# Reads that are refused without these parameters.
USAGE_RANGE = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
QUERIES = {
    "/api/v1/conversation-history": {"session_id": "session456"},
    "/api/v1/search": {"q": "recursion"},
    "/api/v1/usage": USAGE_RANGE,
    "/api/v1/admin/usage": USAGE_RANGE,
}

# Reads that are themselves an event, the only row they write (tests/auth/audit/test_export.py).
RECORDED_READS = {"/api/v1/admin/audit/export"}


async def session_of(account: Account) -> dict[str, str]:
    items = (await account.get("/users/me/sessions")).json()["items"]
    return {"session_id": items[0]["id"]}


async def personal_token_of(account: Account) -> dict[str, str]:
    return {"token_id": (await token_of(account)).id}


async def preference_change_of(account: Account) -> dict[str, str]:
    answer = await account.request("PATCH", "/preferences", json={"language": "en"})
    return {"seq": str(answer.json()["seq"])}


async def preference_device_of(account: Account) -> dict[str, str]:
    device_id = str(new_id())
    await account.request("PATCH", "/preferences", params={"device_id": device_id}, json={"language": "en"})
    return {"device_id": device_id}


OWNED: dict[str, Callable[[Account], Awaitable[dict[str, str]]]] = {
    "/api/v1/users/me/sessions/{session_id}": session_of,
    "/api/v1/users/me/tokens/{token_id}": personal_token_of,
    "/api/v1/preferences/changes/{seq}/undo": preference_change_of,
    "/api/v1/preferences/devices/{device_id}": preference_device_of,
    **conversations.OWNED,
    **replies.OWNED,
    **shares.OWNED,
    **transfer.OWNED,
}


def operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of every documented operation."""
    for path, item in app.openapi()["paths"].items():
        for method in METHODS & item.keys():
            yield method, path


def fill_in(path: str, values: dict[str, str] | None = None) -> str:
    """The path with ids in it, by default of nothing that exists."""
    values = {"seq": str(2**31 - 1)} | (values or {})
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], str(new_id())), path)


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer x.y.z", "Basic YTpi", "Bearer eyJhbGciOiJub25lIn0.e30."],
    ids=["none", "empty", "nonsense", "basic", "unsigned"],
)
async def test_every_path_answers_401_without_a_token(
    app: FastAPI, client: httpx.AsyncClient, authorization: str | None
) -> None:
    """A1: what is not on the public list needs a token, before anything else of the request is looked at."""
    headers = {} if authorization is None else {"Authorization": authorization}
    seen = set()
    for method, path in operations(app):
        if (method, path) in PUBLIC:
            seen.add((method, path))
            continue
        answer = await client.request(method, fill_in(path), headers=headers)
        is_malformed = authorization == "Bearer" and path not in FOR_GUESTS_ONLY
        expected = 400 if is_malformed else 401  # no token at all after the scheme is malformed (RFC 6750)
        assert answer.status_code == expected, (method, path, answer.text)
        is_oauth = (method, path) in OAUTH
        assert answer.headers["www-authenticate"].startswith(("Bearer", "Basic") if is_oauth else "Bearer"), path
        assert answer.headers["content-type"] == f"application/{'json' if is_oauth else 'problem+json'}"
    assert seen == PUBLIC, "the public list names what is not there"


async def test_a_stranger_gets_404_on_what_is_another_users(app: FastAPI, account: Account) -> None:
    """A2: a foreign row is as absent as an unknown one, by every method."""
    stranger = await register(account.client)
    for method, path in operations(app):
        if "{" not in path or path in NAMED_BY_THE_CALLER or path.startswith(ADMINISTRATORS_PREFIX):
            continue
        assert path in OWNED, f"{path}: say in OWNED how a row of one user is made"
        values = await OWNED[path](account)
        body = BODIES.get((method, path), {})
        foreign = await stranger.client.request(method, fill_in(path, values), headers=stranger.headers, json=body)
        unknown = await stranger.client.request(method, fill_in(path), headers=stranger.headers, json=body)
        assert foreign.status_code == unknown.status_code == 404, (method, path, foreign.text)
        hide = {"request_id": None}
        assert foreign.json() | hide == unknown.json() | hide
    assert (await account.get("/users/me")).status_code == 200


async def test_administration_is_closed_to_others(app: FastAPI, account: Account) -> None:
    """A3: 403 for a known caller without the right, and nothing of the row is told."""
    for method, path in operations(app):
        if path.startswith(ADMINISTRATORS_PREFIX):
            answer = await account.client.request(method, fill_in(path), headers=account.headers, json={})
            assert answer.status_code == 403, (method, path, answer.text)
            assert "insufficient_scope" in answer.headers["www-authenticate"]


async def make_job(services: Services) -> str:
    """A job of a kind that every application has."""
    async with services.database.session() as session:
        job_id = await services.jobs.enqueue(session, Housekeeping.KIND, {})
        await session.commit()
    return str(job_id)


async def limit_of(admin: Account) -> str:
    """A limit of use."""
    body = {"scope_type": "global", "metric": "tokens", "window_seconds": 3600, "amount": "1000000000"}
    return str((await admin.request("POST", "/admin/limits", json=body)).json()["id"])


async def test_reading_writes_nothing(
    app: FastAPI, services: Services, admin: Account, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every GET, as an administrator: no row of any table changes, and no statement tries to.

    How often a link is opened is kept in memory, and written now and then by a task of its own; not in this test.
    """
    monkeypatch.setattr(ShareViews, "write", AsyncMock())
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async def rows() -> dict[str, list[Any]]:
        async with services.database.reader.connect() as connection:
            return await connection.run_sync(dump, Base.metadata)

    service = await make_service(admin)
    ids = {
        "user_id": account.id,
        "service_id": service.json()["id"],
        "role_id": await make_role(admin),
        "job_id": await make_job(services),
        "limit_id": await limit_of(admin),
        "key": "language",
        **await shares.share_of(admin),
        **await transfer.import_of(admin),
        **await conversations.rated_message_of(admin),
        **await conversations.folder_of(admin),
        **await replies.response_of(admin),
    }
    saved = {"session_id": "session456", "role": "user", "content": "Hello"}
    assert (await admin.request("POST", "/conversation-history", json=saved)).is_success
    assert (await admin.request("PUT", "/preferences/language", json={"value": "en"})).is_success
    guest = await visitor(admin.client)
    before = await rows()
    engines = {services.database.writer.sync_engine, services.database.reader.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        for method, path in operations(app):
            if method == "get" and path not in RECORDED_READS:
                answer = await admin.client.get(
                    fill_in(path, ids), params=QUERIES.get(path), headers={**guest.headers, **admin.headers}
                )
                assert answer.status_code == 200, (path, answer.text)
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
    assert await rows() == before
    assert statements
    assert [text for text in statements if re.match(r"\s*(INSERT|UPDATE|DELETE|REPLACE|BEGIN|TRUNCATE)", text)] == []


def dependants(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from dependants(inner)


def endpoints(app: FastAPI) -> list[APIRoute]:
    """The routes of every operation and page."""
    return [route for route in app.routes if isinstance(route, APIRoute)]


def test_every_route_is_built_once(app: FastAPI) -> None:
    """See `app.routing`: a router that is included as a whole would stand here in place of its routes."""
    assert [route for route in app.routes if not isinstance(route, Route)] == []


def test_what_may_be_a_moment_old_reads_the_replica(app: FastAPI) -> None:
    """What is dear to find, and what nobody has just changed and looks at again."""
    readers = {route.name for route in endpoints(app) if getattr(route.endpoint, "__reads_replica__", False)}
    assert readers == {"get_everyones_usage", "get_usage", "list_roles", "list_users", "search_messages"}


def test_every_session_is_committed_before_the_answer(app: FastAPI) -> None:
    """With FastAPI's default scope the commit follows the answer, and mixing both makes two sessions in silence."""
    routes = endpoints(app)
    assert len(routes) >= len(set(operations(app))), "some routes were not found"
    scopes = [
        (route.path, dependant.scope)
        for route in routes
        for dependant in dependants(route.dependant)
        if dependant.call is get_session
    ]
    assert len(scopes) > 10
    assert {scope for _, scope in scopes} == {"function"}


async def test_what_is_public_says_nothing_of_accounts(make_app: AppFactory) -> None:
    """R2: a closed registration is closed to everyone, whatever the body."""
    async with make_app(registration="closed") as app, client_of(app) as client:
        for email in ("a@example.com", "b@example.com"):
            answer = await client.post("/api/v1/auth/register", json={"email": email, "password": PASSWORD})
            assert answer.status_code == 403
