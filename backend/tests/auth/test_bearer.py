"""The Authorization header: what counts as a token, and what a refused caller is told."""

import httpx
import pytest
from structlog.testing import capture_logs

from tests.auth.forgery import STRANGE_KEY, es256, forge, header, payload
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.support import API, Account, ManualClock

ME = f"{API}/users/me"
REALM = 'Bearer realm="merit"'


async def test_no_credentials_are_told_apart_from_bad_ones(client: httpx.AsyncClient) -> None:
    """T3: without credentials, or with those of another scheme, the challenge names no error."""
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": ""}, {"Authorization": "Bear"}):
        answer = await client.get(ME, headers=headers)
        assert code_of(answer) == (401, "not_authenticated"), headers
        assert answer.headers["WWW-Authenticate"] == REALM
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer  {token}", "Bearer {token} ", "Bearer {token} x"])
async def test_a_malformed_header_is_a_bad_request(account: Account, value: str) -> None:
    """T3: an empty token, two spaces, two tokens."""
    headers = {"Authorization": value.format(token=account.access_token)}
    answer = await account.client.get(ME, headers=headers)
    assert code_of(answer) == (400, "invalid_request")
    assert answer.headers["WWW-Authenticate"] == f'{REALM}, error="invalid_request"'


async def test_two_headers_are_a_bad_request(account: Account) -> None:
    """T3: even when both would be good."""
    line = ("Authorization", f"Bearer {account.access_token}")
    assert code_of(await account.client.get(ME, headers=[line, line])) == (400, "invalid_request")
    # An endpoint whose token is optional does not take a malformed one for none.
    logout = await account.client.post(f"{API}/auth/logout", headers=[line, line])
    assert code_of(logout) == (400, "invalid_request")


async def test_the_name_of_the_scheme_may_be_written_in_any_case(account: Account) -> None:
    """RFC 9110 section 11.1: schemes are case-insensitive."""
    for scheme in ("bearer", "BEARER", "BeArEr"):
        answer = await account.client.get(ME, headers={"Authorization": f"{scheme} {account.access_token}"})
        assert answer.status_code == 200


async def test_every_bad_token_gets_the_same_answer(make_app: AppFactory, account: Account) -> None:
    """T1: whatever is wrong with it, 401 `invalid_token`, one body, and the token in no log."""
    head, body, signature = account.access_token.split(".")
    refresh = account.refresh_token
    tokens = [
        "x",
        f"{head}.{body}",
        f"{head}.{body}.{signature}.x",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body[:-4]}AAAA.{signature}",
        forge(header(alg="none"), payload(), sign=lambda _: b""),
        forge(header(kid="nobody"), payload(), sign=es256(STRANGE_KEY)),
        forge(header(jku="https://example.org/keys"), payload()),
        refresh,
        "a" * 3_000_000,
        "\xff\xfe",
    ]
    answers = set()
    async with make_app() as application, client_of(application) as client:
        with capture_logs() as lines:
            for token in tokens:
                answer = await client.get(ME, headers=[(b"Authorization", b"Bearer " + token.encode("latin-1"))])
                assert code_of(answer) == (401, "invalid_token"), token[:80]
                assert answer.headers["WWW-Authenticate"] == f'{REALM}, error="invalid_token"'
                answers.add(
                    tuple(sorted((name, value) for name, value in answer.json().items() if name != "request_id"))
                )
    assert len(answers) == 1
    assert len(lines) >= len(tokens)
    assert not [secret for secret in (head, body, signature, refresh) if secret in str(lines)]


async def test_a_missing_permission_is_named(account: Account) -> None:
    """T4: 403 with the scope that is needed."""
    answer = await account.get("/admin/users")
    assert code_of(answer) == (403, "insufficient_scope")
    assert answer.headers["WWW-Authenticate"] == f'{REALM}, error="insufficient_scope", scope="users:read"'


async def test_a_sensitive_change_needs_a_fresh_login(account: Account, clock: ManualClock) -> None:
    """T4, P7: a login that is too old is refused with the age that is allowed, and a new one is let in."""
    body = {"current_password": account.password, "new_password": "another passphrase 43"}
    clock.advance(seconds=301)
    stale = await account.request("POST", "/users/me/password", json=body)
    assert code_of(stale) == (401, "insufficient_user_authentication")
    challenge = stale.headers["WWW-Authenticate"]
    assert challenge.startswith(f'{REALM}, error="insufficient_user_authentication"')
    assert challenge.endswith('max_age="300"')
    renewed = await account.client.post(f"{API}/auth/refresh", json={"refresh_token": account.refresh_token})
    account.access_token = renewed.json()["access_token"]  # a refresh is no login
    assert (await account.request("POST", "/users/me/password", json=body)).status_code == 401
    await account.login()
    assert (await account.request("POST", "/users/me/password", json=body)).status_code == 204
