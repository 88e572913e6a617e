"""What people try with personal access tokens."""

import statistics
import time

import httpx
import pytest
from fastapi import FastAPI

from app.main import Services
from tests.auth.credentials import Bearer, grant, token_of
from tests.auth.scenarios import refresh
from tests.auth.stage import code_of
from tests.support import API, Account

ME = f"{API}/users/me"
REALM = 'Bearer realm="merit"'


@pytest.mark.parametrize("where", ["access_token", "token", "authorization", "pat"])
async def test_a_token_in_the_address_counts_for_nothing(account: Account, where: str) -> None:
    """Addresses are logged and kept by browsers (RFC 6750 section 2.3): only the header counts."""
    token = await token_of(account)
    for query in ({where: token.text}, {where: f"Bearer {token.text}"}):
        answer = await account.client.get(ME, params=query)
        assert code_of(answer) == (401, "not_authenticated")
    for method in ("POST", "PATCH"):
        answer = await account.client.request(method, ME, data={"access_token": token.text})
        assert answer.status_code in {401, 405}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic {text}"},
        {"Authorization": "Token {text}"},
        {"Authorization": "{text}"},
        {"X-Api-Key": "{text}"},
        {"Cookie": "access_token={text}; __Host-merit_refresh={text}"},
    ],
)
async def test_no_other_header_carries_it(account: Account, headers: dict[str, str]) -> None:
    token = await token_of(account)
    filled = {name: value.format(text=token.text) for name, value in headers.items()}
    assert code_of(await account.client.get(ME, headers=filled)) == (401, "not_authenticated")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("{} ", (400, "invalid_request")),
        (" {}", (400, "invalid_request")),
        ("{}\t", (401, "invalid_token")),
        ("{}=", (401, "invalid_token")),
        ("{}x", (401, "invalid_token")),
        ('"{}"', (401, "invalid_token")),
        ("{},{}", (401, "invalid_token")),
        ("{}é", (401, "invalid_token")),
        ("{}\xa0", (401, "invalid_token")),
        ("PAT{}", (401, "invalid_token")),
    ],
)
async def test_nothing_around_it_is_forgiven(account: Account, change: str, expected: tuple[int, str]) -> None:
    token = await token_of(account)
    value = b"Bearer " + change.replace("{}", token.text).encode("latin-1")
    answer = await account.client.get(ME, headers=[(b"Authorization", value)])
    assert code_of(answer) == expected


async def test_a_line_break_cannot_smuggle_it(app: FastAPI, account: Account) -> None:
    """Servers refuse such headers; should one let them pass, the token is refused."""
    token = await token_of(account)
    for ending in ("\n", "\r\n", "\r\nX-Other: 1", "\x00", "\x0b"):
        scope_headers = [(b"authorization", f"Bearer {token.text}{ending}".encode())]
        statuses: list[int] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, object], statuses: list[int] = statuses) -> None:
            if message["type"] == "http.response.start":
                statuses.append(int(str(message["status"])))

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": ME, "raw_path": ME.encode(), "query_string": b"", "root_path": "", "headers": scope_headers,
            "client": ("127.0.0.1", 1), "server": ("test", 80), "state": {},
        }  # fmt: skip
        await app(scope, receive, send)  # type: ignore[arg-type]
        assert statuses in ([401], [400]), ending


async def test_every_wrong_token_gets_the_same_answer(account: Account) -> None:
    """T1: revoked, expired or made up: one status, one body, one challenge."""
    token, revoked = await token_of(account), await token_of(account)
    await account.request("DELETE", f"/users/me/tokens/{revoked.id}")
    answers = set()
    for text in (revoked.text, token.text[:-1], token.text[:-1] + "0", "pat_x", f"pat_{'0' * 22}_{'0' * 60}"):
        answer = await Bearer(account.client, "", text).get("/users/me")
        assert code_of(answer) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == f'{REALM}, error="invalid_token"'
        answers.add(tuple(sorted((key, value) for key, value in answer.json().items() if key != "request_id")))
    assert len(answers) == 1


async def test_it_is_good_for_nothing_else(client: httpx.AsyncClient, account: Account) -> None:
    """Neither as a refresh token nor as a password, nor as a client's secret; and no refresh token is good for it."""
    token = await token_of(account)
    assert code_of(await refresh(client, token.text)) == (400, "invalid_grant")
    login = await client.post(f"{API}/auth/login", json={"email": account.email, "password": token.text})
    assert code_of(login) == (401, "invalid_credentials")
    answer = await grant(client, client_id=token.id, client_secret=token.text)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    logout = await client.post(f"{API}/auth/logout", json={"refresh_token": token.text})
    assert logout.status_code == 204  # as any text that is no refresh token
    assert (await token.get("/users/me")).is_success
    disguised = Bearer(client, "", "pat_" + account.access_token)
    assert code_of(await disguised.get("/users/me")) == (401, "invalid_token")


async def test_two_tokens_are_a_bad_request(account: Account) -> None:
    token = await token_of(account)
    lines = [("Authorization", f"Bearer {token.text}"), ("Authorization", f"Bearer {account.access_token}")]
    assert code_of(await account.client.get(ME, headers=lines)) == (400, "invalid_request")


async def test_the_time_tells_nothing(services: Services, account: Account) -> None:
    """A token that is unknown takes as long as one whose secret is wrong: both end before the database."""
    token = await token_of(account)
    prefix, id_, rest = token.text.split("_")
    codec = services.auth.personal_tokens.codec

    def median(text: str) -> float:
        times = []
        for _ in range(200):
            started = time.perf_counter()
            codec.decode(text)
            times.append(time.perf_counter() - started)
        return statistics.median(times)

    known = f"{prefix}_{id_}_{'A' * 60}"
    unknown = f"{prefix}_{'0' * 22}_{'A' * 60}"
    assert median(known) < 50 * median(unknown)  # generous: both take microseconds
    assert codec.decode(known) is codec.decode(unknown) is None
    assert rest
