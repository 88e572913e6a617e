"""`/users/me`: the bearer's own account, and everything that is no bearer."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.repository import UserRepository
from tests.auth.scenarios import events_of, in_parallel, log_in
from tests.conftest import AppFactory, client_of
from tests.support import API, PASSWORD, Account, register

ME = f"{API}/users/me"


async def test_shows_the_account_and_no_secret(account: Account) -> None:
    answer = await account.get("/users/me")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["email"], body["username"]) == (account.id, account.email, "ada")
    assert not any(word in answer.text for word in ("hash", "password", "normalized", "auth_version", "row_version"))
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["cache-control"] == "no-store"


async def test_without_credentials_the_answer_names_the_scheme_only(client: httpx.AsyncClient) -> None:
    """T3: 401 with a bare challenge and no `error` (RFC 6750 section 3.1); other schemes are no credentials."""
    for headers in ({}, {"Authorization": "Basic YWRhOnNlY3JldA=="}, {"Authorization": ""}, {"Cookie": "token=x"}):
        answer = await client.get(ME, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="merit"'


async def test_a_malformed_header_is_a_bad_request(account: Account) -> None:
    """T3: an empty token, two spaces, two tokens, two headers, even where one of them is valid."""
    token = account.access_token
    lines: list[list[str]] = [
        ["Bearer"], ["Bearer "], [f"Bearer  {token}"], [f"Bearer {token} x"], [f"Bearer {token}", f"Bearer {token}"],
        [f"Bearer {token}", "Basic eDp5"],
    ]  # fmt: skip
    for headers in lines:
        answer = await account.client.get(ME, headers=[("Authorization", line) for line in headers])
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), headers
        assert answer.headers["www-authenticate"] == 'Bearer realm="merit", error="invalid_request"'
        assert token not in answer.text
    assert (await account.client.get(ME, headers={"authorization": f"bearer {token}"})).is_success


async def test_what_is_no_access_token_is_refused_alike(account: Account) -> None:
    """T3, T1 over HTTP: one constant answer, however large, foreign or broken the token is."""
    header, payload, signature = account.access_token.split(".")
    wrong: list[str | bytes] = [
        "x", account.refresh_token, f"{header}.{payload}.", f"{header}.{payload}", f"{header}.{payload}.{signature}.",
        f"{header}.{payload}.{signature[:-1]}{'A' if signature[-1] != 'A' else 'B'}", "." * 2, "null", "undefined",
        "A" * 8192, "A" * 3_000_000, f"{header}.{payload}.{signature}" + "A" * 10_000, b"\xff\xfe\xfd", "é",
        "%00", f'"{account.access_token}"', f"{account.access_token},{account.access_token}",
    ]  # fmt: skip
    answers = []
    for token in wrong:
        raw = token if isinstance(token, bytes) else token.encode()
        answer = await account.client.get(ME, headers={b"Authorization": b"Bearer " + raw})
        answers.append((answer.status_code, answer.json()["code"], answer.headers["www-authenticate"]))
        assert len(answer.content) < 500
    assert set(answers) == {(401, "invalid_token", 'Bearer realm="merit", error="invalid_token"')}


async def test_a_missing_scope_is_named(account: Account) -> None:
    """T4: 403 `insufficient_scope` with the scope that is needed."""
    await account.login(scope="profile:read")
    assert (await account.get("/users/me")).is_success
    needed = {
        ("PATCH", "/users/me"): "profile:write",
        ("DELETE", "/users/me/sessions/0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"): "profile:write",
        ("GET", "/admin/users"): "users:read",
        ("POST", f"/admin/users/{account.id}/disable"): "users:write",
    }
    for (method, path), scope in needed.items():
        answer = await account.request(method, path, **({"json": {}} if method == "PATCH" else {}))
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
        expected = f'Bearer realm="merit", error="insufficient_scope", scope="{scope}"'
        assert answer.headers["www-authenticate"] == expected
    await account.login(scope="profile:write")
    assert (await account.get("/users/me")).status_code == 403


async def test_changes_what_is_given_and_nothing_else(app: FastAPI, account: Account) -> None:
    answer = await account.request("PATCH", "/users/me", json={"full_name": "Ada King"})
    assert (answer.json()["full_name"], answer.json()["username"]) == ("Ada King", "ada")
    answer = await account.request("PATCH", "/users/me", json={"username": "Countess", "full_name": None})
    assert (answer.json()["full_name"], answer.json()["username"]) == (None, "Countess")
    assert (await log_in(account.client, "countess", PASSWORD)).is_success
    assert (await log_in(account.client, "ada", PASSWORD)).status_code == 401
    # A user name that is free again can be taken by another; it leads to that account alone.
    other = await register(account.client, username="ADA")
    assert (await other.get("/users/me")).json()["username"] == "ADA"
    events = [event for event in await events_of(app, account.id) if event.action == "profile_updated"]
    assert [event.detail for event in events] == [{"members": ["full_name"]}, {"members": ["full_name", "username"]}]


async def test_a_taken_user_name_stays_with_its_owner(account: Account) -> None:
    other = await register(account.client, username="grace")
    answer = await other.request("PATCH", "/users/me", json={"username": "ADA", "full_name": "Grace"})
    assert (answer.status_code, answer.json()["code"]) == (409, "username_taken")
    assert (await other.get("/users/me")).json()["full_name"] is None
    answers = await in_parallel(
        person.request("PATCH", "/users/me", json={"username": "the-one"}) for person in (account, other) * 5
    )
    assert {answer.status_code for answer in answers} == {200, 409}
    names = {(await person.get("/users/me")).json()["username"] for person in (account, other)}
    assert len(names) == 2


@pytest.mark.parametrize(
    "member",
    [{"role": "admin"}, {"is_superuser": True}, {"is_active": False}, {"email": "root@example.com"}, {"id": "1"},
     {"email_verified_at": "2026-01-01T00:00:00Z"}, {"password": "x"}, {"row_version": 1}, {"auth_version": 1},
     {"username": "root@example.com"}, {"full_name": "a\nb"}],
    ids=lambda member: next(iter(member)),
)  # fmt: skip
async def test_nobody_promotes_themselves(account: Account, member: dict[str, Any]) -> None:
    """R5, for the profile."""
    before = (await account.get("/users/me")).json()
    answer = await account.request("PATCH", "/users/me", json={"full_name": "New", **member})
    assert answer.status_code == 422
    assert (await account.get("/users/me")).json() == before


async def test_a_change_can_insist_on_what_it_has_seen(account: Account) -> None:
    """If-Match: 412 for a stale tag, in any race exactly one change; a login does not make a tag stale."""
    tag = (await account.get("/users/me")).headers["etag"]
    assert (await account.login()).is_success
    answers = await in_parallel(
        account.request("PATCH", "/users/me", json={"full_name": f"Name {n}"}, headers={"If-Match": tag})
        for n in range(10)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9
    (winner,) = [answer for answer in answers if answer.is_success]
    assert winner.headers["etag"] != tag
    me = await account.get("/users/me")
    assert (me.json()["full_name"], me.headers["etag"]) == (winner.json()["full_name"], winner.headers["etag"])
    assert {answer.json()["code"] for answer in answers if not answer.is_success} == {"precondition_failed"}


@pytest.mark.parametrize(
    ("tag", "status"),
    [("*", 200), ('"1"', 200), (' "1" ', 200), ('"2"', 412), ('W/"1"', 412), ("1", 400), ('"0"', 412), ('"-1"', 412),
     ('"01"', 412), ('"99999999999"', 412), ('"9999999999"', 412), ('"0", "1"', 200), ('"1", "2"', 412), ('"a,1"', 412),
     ("'1'", 400), ("x" * 101, 422)],
)  # fmt: skip
async def test_an_entity_tag_is_read_strictly(account: Account, tag: str, status: int) -> None:
    """If-Match: no value is taken for another, and none is a fault of ours."""
    answer = await account.request("PATCH", "/users/me", json={"full_name": "New"}, headers={"If-Match": tag})
    assert answer.status_code == status, answer.text
    name = (await account.get("/users/me")).json()["full_name"]
    assert name == ("New" if status == 200 else "Ada Lovelace")


async def test_a_deleted_account_has_no_profile(make_app: AppFactory, account: Account) -> None:
    """A token outlives its account's row by no request."""
    async with make_app() as app, client_of(app) as client:
        services = app.state.merit
        async with services.database.session() as session:
            assert await UserRepository(session, services.clock).delete(UUID(account.id))
            await session.commit()
        for method, path, body in (
            ("GET", "", None), ("PATCH", "", {"full_name": "Ghost"}),
            ("POST", "/password", {"current_password": PASSWORD, "new_password": "another passphrase 43"}),
        ):  # fmt: skip
            answer = await client.request(method, f"{ME}{path}", json=body, headers=account.headers)
            assert answer.status_code == 401, (method, path, answer.text)
