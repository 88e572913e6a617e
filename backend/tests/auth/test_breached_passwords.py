"""P6: breached passwords, by a source that is quick, slow, away or talks nonsense; a real server on a real socket."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import SecretStr

from app.auth import breached_passwords
from app.auth.breached_passwords import BreachedPasswords
from app.auth.errors import BreachCheckError, WeakPasswordError
from app.core.settings import Settings
from app.main import Services
from tests.auth.mail_flows.flows import NEW_PASSWORD, post, register, reset, reset_token
from tests.auth.scenarios import log_in
from tests.auth.stage import code_of, eventually
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox
from tests.support import PASSWORD, SECRET_KEY, Account

BREACHED = "a breached passphrase 7"


def digest_of(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


@dataclass
class Source:
    """A range API: one breached password among strangers and padding."""

    url: str = ""
    status: str = "200 OK"
    body: bytes | None = None
    headers: str = ""
    is_slow: bool = False
    paths: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, prefix: str) -> bytes:
        lines = [f"{'0' * 35}:3", f"{'F' * 35}:0"]
        if digest_of(BREACHED).startswith(prefix):
            lines.append(f"{digest_of(BREACHED)[5:].lower()}:1042")
        if digest_of(PASSWORD).startswith(prefix):
            lines.append(f"{digest_of(PASSWORD)[5:]}:0")  # padding that looks like a hit
        return "\r\n".join(lines).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split(b" ")[1].decode()
        self.requests.append(request)
        self.paths.append(path)
        if self.is_slow:
            await self.released.wait()
        body = self.answer(path.rpartition("/")[2]) if self.body is None else self.body
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{self.headers}\r\n"
        writer.write(head.encode() + body)
        writer.close()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no slow source."""
    monkeypatch.setattr(breached_passwords, "_PATIENCE_SECONDS", 20)


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    """The source, on a free port."""
    source = Source()
    server = await asyncio.start_server(source.serve, "127.0.0.1", 0)
    source.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/range"
    yield source
    source.released.set()
    server.close()


def settings_of(source: Source, policy: str = "fail_closed") -> Settings:
    return Settings(
        _env_file=None,
        secret_key=SecretStr(SECRET_KEY),
        breached_passwords_url=source.url,
        breached_passwords=policy,  # type: ignore[arg-type]
    )


@pytest.fixture
async def checker(source: Source) -> AsyncIterator[BreachedPasswords]:
    """The check that accepts nothing unchecked."""
    checker = BreachedPasswords(settings_of(source))
    yield checker
    await checker.close()


async def test_a_breached_password_is_refused_by_name(checker: BreachedPasswords, source: Source) -> None:
    await checker.refuse(PASSWORD)
    with pytest.raises(WeakPasswordError) as refusal:
        await checker.refuse(BREACHED, field="new_password")
    assert refusal.value.extra["rule"] == "breached"
    (fault,) = refusal.value.extra["errors"]
    assert (fault["loc"], fault["type"]) == (["body", "new_password"], "breached")
    assert BREACHED not in str(refusal.value)


async def test_five_digits_leave_the_process(checker: BreachedPasswords, source: Source) -> None:
    """k-anonymity: neither the password nor the rest of its digest, in no header."""
    await checker.refuse(PASSWORD)
    assert source.paths == [f"/range/{digest_of(PASSWORD)[:5]}"]
    (request,) = source.requests
    assert b"add-padding: true" in request.lower()
    for secret in (PASSWORD, digest_of(PASSWORD)[5:], digest_of(PASSWORD)[5:].lower()):
        assert secret.encode() not in request


async def test_without_a_source_nothing_is_asked() -> None:
    checker = BreachedPasswords(Settings(_env_file=None, secret_key=SecretStr(SECRET_KEY)))
    await checker.refuse("password")
    await checker.close()


TROUBLES: dict[str, dict[str, object]] = {
    "error": {"status": "503 Service Unavailable"},
    "missing": {"status": "404 Not Found"},
    "redirect": {"status": "302 Found", "headers": "Location: http://127.0.0.1:1/\r\n"},
    "page": {"body": b"<html>Please log in</html>"},
    "empty": {"body": b""},
    "binary": {"body": b"\xff\xfe\x00"},
    "short lines": {"body": b"0123:4\n"},
    "no count": {"body": b"0" * 35},
    "negative": {"body": b"0" * 35 + b":-1"},
    "half": {"body": b"0" * 35 + b":1\nnonsense"},
    "endless": {"body": (b"0" * 35 + b":1\n") * 40_000},
    "bad encoding": {"headers": "Content-Encoding: gzip\r\n"},
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("policy", ["fail_open", "fail_closed"])
async def test_a_source_in_trouble_decides_nothing(source: Source, trouble: str, policy: str) -> None:
    """P6: `fail_open` accepts, `fail_closed` refuses with 503."""
    for name, value in TROUBLES[trouble].items():
        setattr(source, name, value)
    checker = BreachedPasswords(settings_of(source, policy))
    try:
        if policy == "fail_open":
            await checker.refuse(BREACHED)
        else:
            with pytest.raises(BreachCheckError):
                await checker.refuse(BREACHED)
    finally:
        await checker.close()
    assert len(source.paths) == 1


async def test_a_slow_source_is_waited_for_a_moment_only(
    source: Source, checker: BreachedPasswords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breached_passwords, "_PATIENCE_SECONDS", 0.05)
    source.is_slow = True
    with pytest.raises(BreachCheckError):
        await checker.refuse(PASSWORD)
    source.is_slow = False
    await checker.refuse(PASSWORD)


async def test_a_source_that_is_away(make_app: AppFactory, client: httpx.AsyncClient, account: Account) -> None:
    """P6: the log tells, and the answer is a 201 or a 503 with `Retry-After`."""
    gone = "http://127.0.0.1:9/range"  # the port of `discard`, where nobody listens
    async with make_app(breached_passwords_url=gone) as app, client_of(app) as open_client:
        assert (await register(open_client, "open@example.com")).status_code == 201
    closed = {"breached_passwords_url": gone, "breached_passwords": "fail_closed"}
    async with make_app(**closed) as app, client_of(app) as strict:
        answer = await register(strict, "strict@example.com")
        assert code_of(answer) == (503, "breach_check_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert (await log_in(client, "strict@example.com", PASSWORD)).status_code == 401


async def test_every_way_to_a_new_password_is_checked(
    make_app: AppFactory, account: Account, mailbox: Mailbox, source: Source
) -> None:
    """Registration, change and reset; each says which member it was, and nothing is used up."""
    token = await reset_token(account, mailbox)
    async with make_app(breached_passwords_url=source.url) as app, client_of(app) as client:
        account.client = client
        refused = [
            await register(client, "new@example.com", password=BREACHED),
            await account.request(
                "POST", "/users/me/password", json={"current_password": PASSWORD, "new_password": BREACHED}
            ),
            await reset(client, token, BREACHED),
        ]
        assert {code_of(answer) for answer in refused} == {(422, "weak_password")}
        fields = [answer.json()["errors"][0]["loc"] for answer in refused]
        assert fields == [["body", "password"], ["body", "new_password"], ["body", "new_password"]]
        assert all(BREACHED not in answer.text for answer in refused)
        assert (await log_in(client, account.email, PASSWORD)).is_success
        assert (await reset(client, token)).status_code == 204
        assert (await log_in(client, account.email, NEW_PASSWORD)).is_success
        before = len(source.paths)
        await log_in(client, account.email, PASSWORD)
        assert len(source.paths) == before, "logins ask nobody"


async def test_no_transaction_waits_for_the_source(
    make_app: AppFactory, account: Account, mailbox: Mailbox, source: Source, services: Services
) -> None:
    """While it takes its time, the one connection of a small pool serves others."""
    token = await reset_token(account, mailbox)
    source.is_slow = True
    async with make_app(breached_passwords_url=source.url, db_pool_size=1) as app, client_of(app) as client:
        account.client = client
        change = {"current_password": PASSWORD, "new_password": "a fourth passphrase"}
        waiting = [
            asyncio.create_task(register(client, "new@example.com")),
            asyncio.create_task(account.request("POST", "/users/me/password", json=change)),
            asyncio.create_task(reset(client, token)),
        ]

        async def are_all_asked() -> bool:
            return len(source.paths) == len(waiting)

        await eventually(are_all_asked, seconds=10)
        answer = await post(client, "/auth/password/forgot", email="nobody@example.com")
        assert answer.status_code == 202
        assert not any(task.done() for task in waiting)
        source.released.set()
        statuses = [(await task).status_code for task in waiting]
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {204, 400, 403}
    assert 204 in statuses
