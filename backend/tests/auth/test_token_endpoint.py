"""`POST /auth/token`: the form of RFC 6749, with the same results and limits as the JSON endpoints."""

import httpx
import pytest

from app.main import Services
from tests.auth.scenarios import WRONG_PASSWORD, claims_of, is_alive, log_in, log_in_by_form, refresh
from tests.conftest import AppFactory, client_of
from tests.support import API, PASSWORD, Account

URL = f"{API}/auth/token"


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which has the form of RFC 6749 section 5.2."""
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert set(answer.json()) <= {"error", "error_description", "error_uri"}
    return answer.status_code, answer.json()["error"]


@pytest.mark.parametrize("grant", [{}, {"grant_type": "password"}], ids=["no grant type", "password"])
@pytest.mark.parametrize("name", ["email", "username"])
async def test_form_and_json_give_the_same(
    account: Account, services: Services, grant: dict[str, str], name: str
) -> None:
    """L2: with or without `grant_type`, by address or user name; the same members, claims and headers."""
    login = account.email.upper() if name == "email" else "ADA"
    by_form = await log_in_by_form(account.client, username=login, password=PASSWORD, **grant)
    by_json = await log_in(account.client, login, PASSWORD)
    assert by_form.status_code == by_json.status_code == 200
    form, json = by_form.json(), by_json.json()
    assert set(form) == set(json)
    assert (form["token_type"], form["scope"]) == (json["token_type"], json["scope"])
    left, right = claims_of(services, form["access_token"]), claims_of(services, json["access_token"])
    assert (left.sub, left.scope, left.client_id, left.amr) == (right.sub, right.scope, right.client_id, right.amr)
    for header in ("cache-control", "pragma", "content-type"):
        assert by_form.headers[header] == by_json.headers[header]
    assert by_form.headers["cache-control"] == "no-store"
    assert await is_alive(account.client, form["access_token"])


async def test_form_and_json_tokens_are_the_same_kind(account: Account) -> None:
    """L2: a session opened at one endpoint is renewed at the other."""
    pair = (await log_in_by_form(account.client, username="ada", password=PASSWORD)).json()
    pair = (await refresh(account.client, pair["refresh_token"])).json()
    answer = await log_in_by_form(account.client, grant_type="refresh_token", refresh_token=pair["refresh_token"])
    assert answer.status_code == 200
    assert answer.json()["refresh_token"].split(".")[2] == "3"
    narrowed = await log_in_by_form(
        account.client, grant_type="refresh_token", refresh_token=answer.json()["refresh_token"], scope="profile:read"
    )
    assert narrowed.json()["scope"] == "profile:read"
    refused = await log_in_by_form(
        account.client, grant_type="refresh_token", refresh_token=narrowed.json()["refresh_token"], scope="users:read"
    )
    assert error_of(refused) == (400, "invalid_scope")


async def test_wrong_logins_are_invalid_grants_that_tell_nothing(account: Account) -> None:
    """L1, L2: unknown account and wrong password answer alike, as RFC 6749 wants it."""
    answers = [
        await log_in_by_form(account.client, username=login, password=WRONG_PASSWORD)
        for login in (account.email, "ada", "nobody@example.com", "nobody", "@", "ada@", "a" * 254)
    ]
    assert {error_of(answer) for answer in answers} == {(400, "invalid_grant")}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"grant_type": "foo"}, "unsupported_grant_type"),
        ({"grant_type": "PASSWORD", "username": "ada", "password": PASSWORD}, "unsupported_grant_type"),
        ({"grant_type": "g" * 65}, "invalid_request"),
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "invalid_request"),
        ({"username": "ada"}, "invalid_request"),
        ({"username": "ada", "password": ""}, "invalid_request"),
        ({"username": "", "password": PASSWORD}, "invalid_request"),
        ({"username": "ada\0", "password": PASSWORD}, "invalid_request"),
        ({"username": "a" * 255, "password": PASSWORD}, "invalid_request"),
        ({"username": "ada", "password": "p" * 257}, "invalid_request"),
        ({"username": "ada", "password": PASSWORD, "client_id": "a\0b"}, "invalid_request"),
        ({"username": "ada", "password": PASSWORD, "client_id": "c" * 65}, "invalid_request"),
        ({"username": "ada", "password": PASSWORD, "scope": "everything"}, "invalid_scope"),
        ({"username": "ada", "password": PASSWORD, "scope": "users:write"}, "invalid_scope"),
        ({"username": "ada", "password": f"{PASSWORD}\0"}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 513}, "invalid_request"),
        ({"grant_type": "refresh_token", "username": "ada", "password": PASSWORD}, "invalid_request"),
    ],
    ids=str,
)  # fmt: skip
async def test_refusals_have_the_codes_of_the_standard(account: Account, members: dict[str, str], code: str) -> None:
    """L2, P4: 400 and never 422 or 5xx, and no echo of what was sent."""
    answer = await log_in_by_form(account.client, **members)
    assert error_of(answer) == (400, code)
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("charset", ["utf-7", "raw_unicode_escape", "utf-16", "nonsense", "hex", "idna"])
async def test_no_charset_smuggles_text_past_the_checks(client: httpx.AsyncClient, charset: str) -> None:
    """P4: multipart bodies may name a charset whose text UTF-8 cannot hold (lone surrogates)."""
    smuggled = {"utf-7": b"x+2AA-y@example.com", "raw_unicode_escape": rb"x\ud800y\u0000@example.com"}
    for field in ("username", "password", "scope", "client_id", "refresh_token", "grant_type"):
        members = {"username": b"nobody@example.com", "password": b"a long passphrase"}
        members[field] = smuggled.get(charset, b"x\xd8\x00y")
        parts = [
            b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
            for name, value in members.items()
        ]
        headers = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
        answer = await client.post(URL, content=b"".join(parts) + b"--b--\r\n", headers=headers)
        assert error_of(answer) == (415, "unsupported_media_type"), (field, answer.text)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/xml", ""])
async def test_a_body_of_another_type_is_refused(client: httpx.AsyncClient, content_type: str) -> None:
    """A8 at the token endpoint: the form of its errors, and a 4xx."""
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await client.post(URL, content=b'{"username": "ada", "password": "a long passphrase"}', headers=headers)
    status, _code = error_of(answer)
    assert status in {400, 415}


async def test_a_full_hash_queue_is_told_in_the_form_of_the_endpoint(make_app: AppFactory) -> None:
    """P12, for the form: 503 with `Retry-After`."""
    async with make_app() as app, client_of(app) as client:
        app.state.merit.auth.hasher.close()
        answer = await log_in_by_form(client, username="nobody", password=PASSWORD)
        assert error_of(answer) == (503, "hash_queue_full")
        assert answer.headers["retry-after"] == "1"
        answer = await client.post(f"{API}/auth/register", json={"email": "ada@example.com", "password": PASSWORD})
        assert (answer.status_code, answer.json()["code"]) == (503, "hash_queue_full")
