"""What the tests of preferences do as an account."""

from typing import Any

import httpx

from app.core.ids import new_id
from tests.support import Account

PATH = "/preferences"


def device() -> str:
    """The id of a device that nobody has heard of."""
    return str(new_id())


async def change(account: Account, wanted: Any, *, on: str | None = None, if_match: Any = None) -> httpx.Response:
    """PATCH as this account."""
    return await account.request(
        "PATCH",
        PATH,
        json=wanted,
        params=_params(on),
        headers={} if if_match is None else {"If-Match": f'"{if_match}"'},
    )


async def put(account: Account, key: str, value: Any, *, on: str | None = None, if_match: Any = None) -> httpx.Response:
    """PUT one preference."""
    return await account.request(
        "PUT", f"{PATH}/{key}", json={"value": value}, params=_params(on), headers=_headers(if_match)
    )


async def unset(account: Account, key: str, *, on: str | None = None, if_match: Any = None) -> httpx.Response:
    """DELETE one preference."""
    return await account.request("DELETE", f"{PATH}/{key}", params=_params(on), headers=_headers(if_match))


async def undo(account: Account, seq: int) -> httpx.Response:
    """Undo a change."""
    return await account.request("POST", f"{PATH}/changes/{seq}/undo")


async def values(account: Account, *, on: str | None = None) -> dict[str, Any]:
    """What is set in one layer."""
    answer = await account.get(PATH, params=_params(on))
    assert answer.status_code == 200, answer.text
    return {key: one["value"] for key, one in answer.json()["preferences"].items()}


async def effective(account: Account, key: str, *, on: str | None = None) -> tuple[Any, str]:
    """The value of one preference that holds, and its origin."""
    answer = await account.get(f"{PATH}/effective", params=_params(on))
    assert answer.status_code == 200, answer.text
    one = answer.json()["preferences"][key]
    return one["value"], one["origin"]


async def feed(account: Account, since: int = 0, **params: Any) -> dict[str, Any]:
    """The changes after a point."""
    answer = await account.get(f"{PATH}/changes", params={"since": since, **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def history(account: Account, key: str, **params: Any) -> dict[str, Any]:
    """One page of a preference's changes."""
    answer = await account.get(f"{PATH}/{key}/history", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["code"]


def faults(answer: httpx.Response) -> list[tuple[list[Any], str]]:
    """Places and rules of a 422."""
    assert told(answer) == (422, "validation_failed"), answer.text
    return [(fault["loc"], fault["type"]) for fault in answer.json()["errors"]]


def _params(on: str | None) -> dict[str, str]:
    return {} if on is None else {"device_id": on}


def _headers(if_match: Any) -> dict[str, str]:
    return {} if if_match is None else {"If-Match": f'"{if_match}"'}
