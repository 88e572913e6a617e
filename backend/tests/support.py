"""What tests build on: settings, a clock that stands still, accounts with real tokens."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from app.auth.models import User
from app.auth.repository import UserRepository
from app.core.clock import Clock
from app.core.ids import new_id
from app.core.settings import Environment, Settings
from app.core.text import normalize_email
from app.main import Services

SECRET_KEY = "Tn6bQz1YwK8sVf3Lr0Xc5Hj9Md2Gp7Ua-4EeRtUiOpAs"  # not a secret: signs only what tests make
PASSWORD = "a long passphrase 42"  # not a secret: of accounts that live for one test
API = "/api/v1"
OWN = {"chat:read", "chat:write", "preferences:read", "preferences:write", "profile:read", "profile:write"}
"""What every account may do, whatever its role."""


class ManualClock(Clock):
    """Shows the real time plus whatever a test adds to it."""

    def __init__(self) -> None:
        self.offset = timedelta()
        self._stopped_at: datetime | None = None

    def now(self) -> datetime:
        """The present moment of the test."""
        return (self._stopped_at or datetime.now(UTC)) + self.offset

    def stop(self) -> None:
        """Let only `advance` pass time, so that a slow machine does not."""
        self._stopped_at = datetime.now(UTC)

    def reset(self) -> None:
        """Show the real time again."""
        self.offset, self._stopped_at = timedelta(), None

    def advance(self, **delta: float) -> None:
        """Let time pass: `advance(seconds=31)`."""
        self.offset += timedelta(**delta)


def make_settings(database_url: str, data_dir: Path, **overrides: Any) -> Settings:
    """Settings that nothing around the test influences; bcrypt at its cheapest."""
    values = {
        "environment": Environment.TEST,
        "secret_key": SECRET_KEY,
        "database_url": database_url,
        "data_dir": data_dir,
        "bcrypt_rounds": 4,
        "hash_queue_size": 200,
        "request_timeout_seconds": 20,
        "db_pool_timeout": 20,
        "job_workers": 0,
        "reply_sweep_seconds": 0,
        "metrics_flush_seconds": 0,
        **overrides,
    }
    return Settings(_env_file=None, **values)


@dataclass
class Account:
    """A registered account and the tokens of one of its sessions."""

    client: httpx.AsyncClient
    id: str
    email: str
    password: str
    username: str | None
    access_token: str = ""
    refresh_token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header of the present access token."""
        return {"Authorization": f"Bearer {self.access_token}"}

    async def login(self, **members: Any) -> httpx.Response:
        """Log in, keep the tokens, and return the answer."""
        body = {"email": self.email, "password": self.password, **members}
        answer = await self.client.post(f"{API}/auth/login", json=body)
        if answer.is_success:
            self.access_token, self.refresh_token = answer.json()["access_token"], answer.json()["refresh_token"]
        return answer

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """GET as this account."""
        return await self.request("GET", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request as this account."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.client.request(method, f"{API}{path}", headers=headers, **options)


async def register(client: httpx.AsyncClient, *, email: str | None = None, **members: Any) -> Account:
    """Register an account and log in."""
    body = {"email": email or f"{new_id().hex}@example.com", "password": PASSWORD, **members}
    answer = await client.post(f"{API}/auth/register", json=body)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    account = Account(client, answer.json()["id"], body["email"], body["password"], body.get("username"))
    assert (await account.login()).status_code == httpx.codes.OK
    return account


async def prove_address(services: Services, account: Account) -> None:
    """Prove an account's address without its mail."""
    async with services.database.session() as session:
        users = UserRepository(session, services.clock)
        values = {User.email_verified_at: services.clock.now()}
        assert await users.update_where(User.email_normalized == normalize_email(account.email), values=values)
        await session.commit()


def skip_or_fail(reason: str, *requirements: str) -> NoReturn:
    """Skip the test, or fail it where one of these environment variables is 1."""
    if any(os.environ.get(name) == "1" for name in requirements):
        pytest.fail(f"{reason} (required by {' or '.join(requirements)})")
    pytest.skip(reason)


def answers_of(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """The responses of an operation by their status, also where they are those of many."""
    shared = document["components"]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in operation["responses"].items()
    }
