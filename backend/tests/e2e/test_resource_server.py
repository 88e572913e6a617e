"""The example of the documentation: another program, in a process of its own, that accepts our tokens in two ways."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, update

from app.auth.models import SigningKeyRecord, User
from app.auth.types import KeyState, Role
from app.core.ids import new_id
from app.db.url import parse_database_url
from tests.auth.forgery import b64, hs256, unb64
from tests.e2e.server import BACKEND, LiveServer, free_port, service_environment, serving
from tests.support import API, PASSWORD
from tools.databases import fresh_database

EXAMPLE = BACKEND / "docs" / "examples" / "resource_server.py"
WAYS = ("/local", "/introspected")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A database of this module's own."""
    with fresh_database(None) as url:
        yield url


@pytest.fixture(scope="module")
def merit(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The service, whose key set may be kept for a second."""
    port = str(free_port())
    settings = {"PORT": port, "PUBLIC_URL": f"http://127.0.0.1:{port}", "JWKS_MAX_AGE_SECONDS": "1"}
    with serving(tmp_path_factory.mktemp("merit"), DATABASE_URL=database, **settings) as server:
        yield server


class Person:
    """An account at the service."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.tokens: Json = {}
        self.email = f"{new_id().hex}@example.com"
        self.ask("POST", "/auth/register", {"email": self.email, "password": PASSWORD})
        self.log_in()

    def log_in(self) -> Json:
        """New tokens, which are used from now on."""
        self.tokens = {}
        self.tokens = self.ask("POST", "/auth/login", {"email": self.email, "password": PASSWORD})
        return self.tokens

    def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        """Any request, which must be granted."""
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}"} if self.tokens else {}
        answer = self.client.request(method, f"{API}{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def client(merit: LiveServer) -> Iterator[httpx.Client]:
    """A client of the service."""
    with merit.client() as client:
        yield client


@pytest.fixture
def person(client: httpx.Client) -> Person:
    """Someone who uses the resource server."""
    return Person(client)


@pytest.fixture(scope="module")
def chief(client: httpx.Client, database: str) -> Person:
    """An administrator."""
    chief = Person(client)
    change(database, update(User).where(User.email == chief.email).values(role=Role.ADMIN))
    chief.log_in()
    return chief


def change(database: str, statement: Any) -> None:
    """Change something past the service."""
    engine = create_engine(parse_database_url(database, setting="DATABASE_URL").synchronous)
    with engine.begin() as connection:
        assert connection.execute(statement).rowcount == 1
    engine.dispose()


@pytest.fixture(scope="module")
def resources(merit: LiveServer, chief: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the example, which runs in a process of its own with a service account of its own."""
    service = chief.ask(
        "POST", "/admin/service-accounts", {"name": "resource server", "permissions": ["tokens:introspect"]}
    )
    secret = chief.ask("POST", f"/admin/service-accounts/{service['id']}/secrets", {})["text"]
    environment = {
        **service_environment(PORT=str(free_port())),
        "MERIT_ISSUER": merit.url,
        "CLIENT_ID": service["id"],
        "CLIENT_SECRET": secret,
        "LOOK_AGAIN_SECONDS": "0",
    }
    with started(environment, tmp_path_factory.mktemp("resources") / "log") as client:
        yield client


@contextmanager
def started(environment: dict[str, str], log: Path) -> Iterator[httpx.Client]:
    """Run the example."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, EXAMPLE], env=environment, stdout=output, stderr=output)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{environment['PORT']}", timeout=20) as client:
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.get("/")
                    break
                except httpx.TransportError:
                    assert time.monotonic() < deadline, log.read_text()
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait(20)


def call(resources: httpx.Client, path: str, token: str | None) -> int:
    """The status of a call with a token."""
    headers = {} if token is None else {b"Authorization": f"Bearer {token}".encode()}
    return resources.get(path, headers=headers).status_code


def statuses(resources: httpx.Client, token: str | None) -> tuple[int, ...]:
    """The status of a call, checked locally and by introspection."""
    return tuple(call(resources, path, token) for path in WAYS)


@pytest.mark.parametrize("path", WAYS)
def test_a_good_token_is_accepted(resources: httpx.Client, person: Person, path: str) -> None:
    """Both ways tell who calls."""
    answer = resources.get(path, headers={"Authorization": f"Bearer {person.tokens['access_token']}"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"sub": person.ask("GET", "/users/me")["id"]}


def test_other_tokens_are_refused(resources: httpx.Client, merit: LiveServer, person: Person) -> None:
    """T1 at the resource server: unsigned, signed by the public key as a secret, of another kind, changed, junk."""
    good = person.tokens["access_token"]
    head, body, _ = good.split(".")
    (key, *_) = httpx.get(f"{merit.url}/.well-known/jwks.json").json()["keys"]

    def forged(secret: bytes, **header: Any) -> str:
        segment = b64(json.dumps({"typ": "at+jwt", "kid": key["kid"], **header}).encode())
        message = f"{segment}.{body}"
        return f"{message}.{b64(hs256(secret)(message.encode()))}"

    tokens = [
        None, "x", "x.y.z", "\u00e4", person.tokens["refresh_token"], good[:-4] + "AAAA", f"{head}.{body}.",
        forged(json.dumps(key).encode(), alg="HS256"), forged(b"", alg="none"), forged(b"", alg="ES256", kid=["x"]),
        forged(b"", alg="ES256", crit=["x"]), forged(b"", alg="ES256", typ="JWT"),
        forged(b"", alg="ES256", kid="other"),
    ]  # fmt: skip
    for token in tokens:
        assert statuses(resources, token) == (401, 401), token
    assert statuses(resources, good) == (200, 200)


def test_a_narrower_token_is_refused_with_the_scope_it_lacks(resources: httpx.Client, person: Person) -> None:
    """RFC 6750 section 3.1: 403 and the scope."""
    login = {"email": person.email, "password": PASSWORD, "scope": "profile:write"}
    token = person.ask("POST", "/auth/login", login)["access_token"]
    assert statuses(resources, token) == (403, 403)


def test_a_rotation_goes_unnoticed(resources: httpx.Client, chief: Person, person: Person, database: str) -> None:
    """T6: the example learns of the new key by itself, and the old key's tokens stay good."""
    old = person.tokens["access_token"]
    new = chief.ask("POST", "/admin/keys/rotate")["items"][-1]
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    change(database, update(SigningKeyRecord).where(SigningKeyRecord.kid == new["kid"]).values(created_at=long_ago))
    deadline = time.monotonic() + 20
    while person.log_in() and kid_of(person.tokens["access_token"]) != new["kid"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {key["state"] for key in chief.ask("GET", "/admin/keys")["items"]} >= {KeyState.ACTIVE, KeyState.RETIRING}
    for token in (old, person.tokens["access_token"]):
        assert statuses(resources, token) == (200, 200)


def test_a_revoked_token_is_refused_by_introspection_at_once(resources: httpx.Client, person: Person) -> None:
    """RFC 7662: the next introspection knows; who verifies by itself accepts the token until it expires."""
    token = person.tokens["access_token"]
    assert statuses(resources, token) == (200, 200)
    person.client.post(f"{API}/auth/revoke", data={"token": person.tokens["refresh_token"]}).raise_for_status()
    assert statuses(resources, token) == (200, 401)


def test_compromised_keys_end_everywhere(resources: httpx.Client, chief: Person, person: Person) -> None:
    """An emergency: introspection refuses at once, local verification when the key set is a second old."""
    token = person.tokens["access_token"]
    chief.ask("POST", "/admin/keys/rotate", {"compromised": True})
    chief.log_in()
    assert call(resources, "/introspected", token) == 401
    deadline = time.monotonic() + 20
    while call(resources, "/local", token) != 401:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert statuses(resources, person.log_in()["access_token"]) == (200, 200)


def kid_of(token: str) -> str:
    """The key that a token names."""
    head = token.partition(".")[0]
    return str(json.loads(unb64(head))["kid"])
