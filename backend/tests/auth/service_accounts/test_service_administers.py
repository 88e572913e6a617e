"""A service account with `users:write` changes people's accounts, but none that may do what it may not."""

import httpx
import pytest

from tests.auth.credentials import service_of
from tests.auth.roles.players import holder
from tests.auth.stage import code_of
from tests.support import API, Account

DEEDS = [
    ("PATCH", "", {"full_name": "Renamed"}, 200),
    ("POST", "/send-reset", None, 202),
    ("POST", "/disable", None, 200),
    ("POST", "/enable", None, 200),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), DEEDS, ids=[path or "/" for _, path, _, _ in DEEDS])
async def test_it_changes_those_below_it_only(
    admin: Account, account: Account, method: str, path: str, body: dict[str, str] | None, status: int
) -> None:
    """Nobody's personal permissions, which no service can have, put them out of its reach."""
    service = await (await service_of(admin, ["users:write"])).bearer()
    above = await holder(admin, "users:read")
    done = await service.request(method, f"/admin/users/{account.id}{path}", json=body)
    assert done.status_code == status, done.text
    for protected in (above, admin):
        refused = await service.request(method, f"/admin/users/{protected.id}{path}", json=body)
        assert code_of(refused) == (403, "account_protected")


async def test_whom_it_disables_is_out(admin: Account, account: Account, client: httpx.AsyncClient) -> None:
    service = await service_of(admin, ["users:write"])
    assert (await (await service.bearer()).request("POST", f"/admin/users/{account.id}/disable")).status_code == 200
    assert (await account.get("/users/me")).status_code == 401
    credentials = {"email": account.email, "password": account.password}
    assert (await client.post(f"{API}/auth/login", json=credentials)).status_code == 401
    events = (await admin.get("/admin/audit", params={"action": "user_disabled"})).json()["items"]
    assert [(event["user_id"], event["actor_id"]) for event in events] == [(account.id, service.id)]
