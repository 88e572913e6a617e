"""Links are made once, however often they are asked for with one key."""

from typing import Any

import httpx

from app.main import Services
from tests.chat.stage import converse, say
from tests.support import API, Account


async def test_a_repeated_request_makes_one_link(
    services: Services, client: httpx.AsyncClient, account: Account
) -> None:
    """The token is shown once; whoever lost it revokes the link that a repetition tells of."""
    conversation = (await converse(account))["id"]
    await say(services, account, conversation)
    path = f"/conversations/{conversation}/shares"
    options: dict[str, Any] = {"json": {"password": "open sesame 42"}, "headers": {"Idempotency-Key": "one"}}
    first, again = [await account.request("POST", path, **options) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["share"] == again.json()["share"]
    assert (again.json()["token"], again.headers["idempotency-replayed"]) == (None, "true")
    assert len((await account.get(path)).json()["items"]) == 1
    await account.request("DELETE", f"{path}/{first.json()['share']['id']}")
    ended = await account.request("POST", path, **options)
    assert ended.json()["share"]["revoked_at"] is not None
    assert (await client.get(f"{API}/shares/{first.json()['token']}")).status_code == 404
    other = await account.request("POST", path, json={}, headers=options["headers"])
    assert other.json()["code"] == "idempotency_key_reused"
