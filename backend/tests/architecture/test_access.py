"""Every path of the API: who may call it, whose rows it shows, and that reading writes nothing."""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import event

from app.core.ids import new_id
from app.db.session import get_session
from app.main import Services
from app.models import Base
from tests.conftest import AppFactory, client_of
from tests.db.rows import dump
from tests.support import PASSWORD, Account, register

METHODS = {"get", "post", "put", "patch", "delete"}

# What anyone may call. A new entry is a decision; every other operation answers 401 without a token.
PUBLIC = {
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("post", "/api/v1/auth/register"),
    ("post", "/api/v1/auth/login"),
    ("post", "/api/v1/auth/token"),
    ("post", "/api/v1/auth/refresh"),
}

# Paths with an id: rows of one owner, with the way to make one; or everyone's rows, for administrators alone.
ADMINISTRATORS_PREFIX = "/api/v1/admin/"


async def session_of(account: Account) -> dict[str, str]:
    items = (await account.get("/users/me/sessions")).json()["items"]
    return {"session_id": items[0]["id"]}


OWNED: dict[str, Callable[[Account], Awaitable[dict[str, str]]]] = {
    "/api/v1/users/me/sessions/{session_id}": session_of,
}


def operations(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of every documented operation."""
    for path, item in app.openapi()["paths"].items():
        for method in METHODS & item.keys():
            yield method, path


def fill_in(path: str, values: dict[str, str] | None = None) -> str:
    """The path with ids in it, by default of nothing that exists."""
    return re.sub(r"\{(\w+)\}", lambda match: (values or {}).get(match[1], str(new_id())), path)


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
        expected = 400 if authorization == "Bearer" else 401  # no token at all after the scheme is malformed (RFC 6750)
        assert answer.status_code == expected, (method, path, answer.text)
        assert answer.headers["www-authenticate"].startswith("Bearer"), (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
    assert seen == PUBLIC, "the public list names what is not there"


async def test_a_stranger_gets_404_on_what_is_another_users(app: FastAPI, account: Account) -> None:
    """A2: a foreign row is as absent as an unknown one, by every method."""
    stranger = await register(account.client)
    for method, path in operations(app):
        if "{" not in path or path.startswith(ADMINISTRATORS_PREFIX):
            continue
        assert path in OWNED, f"{path}: say in OWNED how a row of one user is made"
        values = await OWNED[path](account)
        foreign = await stranger.client.request(method, fill_in(path, values), headers=stranger.headers, json={})
        unknown = await stranger.client.request(method, fill_in(path), headers=stranger.headers, json={})
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


async def test_reading_writes_nothing(app: FastAPI, services: Services, admin: Account, account: Account) -> None:
    """Every GET, as an administrator: no row of any table changes, and no statement tries to."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async def rows() -> dict[str, list[Any]]:
        async with services.database.reader.connect() as connection:
            return await connection.run_sync(dump, Base.metadata)

    before = await rows()
    engines = {services.database.writer.sync_engine, services.database.reader.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        for method, path in operations(app):
            if method == "get":
                answer = await admin.client.get(fill_in(path, {"user_id": account.id}), headers=admin.headers)
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


def api_routes(routes: Any) -> Iterator[APIRoute]:
    """Every endpoint, also of routers that are included as a whole."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            inner = getattr(route, "original_router", None) or getattr(route, "app", None)
            yield from api_routes(getattr(inner, "routes", ()))


def test_every_session_is_committed_before_the_answer(app: FastAPI) -> None:
    """With FastAPI's default scope the commit follows the answer, and mixing both makes two sessions in silence."""
    routes = list(api_routes(app.routes))
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
