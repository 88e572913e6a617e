"""What the tests of personal tokens and service accounts share: making them, and calling with them."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support import API, Account

SERVICES = "/admin/service-accounts"


@dataclass
class Bearer:
    """A token of any kind, presented by a client."""

    client: httpx.AsyncClient
    id: str
    text: str

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header."""
        return {"Authorization": f"Bearer {self.text}"}

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """GET with this token."""
        return await self.request("GET", path, **options)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Any request with this token."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.client.request(method, f"{API}{path}", headers=headers, **options)

    def at(self, client: httpx.AsyncClient) -> "Bearer":
        """The same token, presented by another client."""
        return Bearer(client, self.id, self.text)


async def make_token(account: Account, *scopes: str, name: str = "script", **members: Any) -> httpx.Response:
    """Ask for a personal token; without scopes for `profile:read`."""
    body = {"name": name, "scopes": list(scopes or ("profile:read",)), **members}
    return await account.request("POST", "/users/me/tokens", json=body)


async def token_of(account: Account, *scopes: str, **members: Any) -> Bearer:
    """A new personal token of an account."""
    answer = await make_token(account, *scopes, **members)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return Bearer(account.client, answer.json()["token"]["id"], answer.json()["text"])


@dataclass
class Service:
    """A service account and one of its secrets."""

    client: httpx.AsyncClient
    id: str
    secret_id: str
    secret: str

    @property
    def basic(self) -> dict[str, str]:
        """The Authorization header by which it authenticates."""
        return basic(self.id, self.secret)

    async def ask(self, **form: str) -> httpx.Response:
        """A client credentials request, authenticated by HTTP Basic."""
        return await grant(self.client, headers=self.basic, **form)

    async def bearer(self, **form: str) -> Bearer:
        """A new access token."""
        answer = await self.ask(**form)
        assert answer.status_code == httpx.codes.OK, answer.text
        return Bearer(self.client, self.secret_id, answer.json()["access_token"])


def basic(client_id: str, secret: str) -> dict[str, str]:
    """The Authorization header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def grant(client: httpx.AsyncClient, headers: Any = None, **form: str) -> httpx.Response:
    """A client credentials request."""
    body = {"grant_type": "client_credentials", **form}
    return await client.post(f"{API}/auth/token", data=body, headers=headers)


async def make_service(admin: Account, permissions: Iterable[str] = ("users:read",), **members: Any) -> httpx.Response:
    """Ask for a service account."""
    body = {"name": "importer", "permissions": list(permissions), **members}
    return await admin.request("POST", SERVICES, json=body)


async def make_secret(admin: Account, service_id: str, **members: Any) -> httpx.Response:
    """Ask for a secret of a service account."""
    return await admin.request("POST", f"{SERVICES}/{service_id}/secrets", json=members)


async def service_of(admin: Account, permissions: Iterable[str] = ("users:read",)) -> Service:
    """A new service account with a secret."""
    made = await make_service(admin, permissions)
    assert made.status_code == httpx.codes.CREATED, made.text
    return await with_secret(admin, made.json()["id"])


async def with_secret(admin: Account, service_id: str, **members: Any) -> Service:
    """A service account with a new secret."""
    secret = await make_secret(admin, service_id, **members)
    assert secret.status_code == httpx.codes.CREATED, secret.text
    return Service(admin.client, service_id, secret.json()["secret"]["id"], secret.json()["text"])
