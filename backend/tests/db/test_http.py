"""Versions in headers: `ETag` and `If-Match`."""

from typing import Any

import pytest

from app.db.http import etag
from tests.support import Account

REFUSALS: list[tuple[str, int, str]] = [
    ('W/"1"', 412, "precondition_failed"),
    ('"999"', 412, "precondition_failed"),
    ('"9999999999"', 412, "precondition_failed"),
    ('"0"', 412, "precondition_failed"),
    ('"00"', 412, "precondition_failed"),
    ('"12345678901"', 412, "precondition_failed"),
    ('"abc"', 412, "precondition_failed"),
    ('""', 412, "precondition_failed"),
    ('"1", "2"', 412, "precondition_failed"),
    ('"5,5" , W/"5"', 412, "precondition_failed"),
    ("1", 400, "malformed_if_match"),
    ('"1', 400, "malformed_if_match"),
    ('"1" "2"', 400, "malformed_if_match"),
    ('*, "1"', 400, "malformed_if_match"),
    ("", 400, "malformed_if_match"),
    ("x" * 101, 422, "validation_failed"),
]


async def test_a_change_based_on_a_stale_version_is_refused(account: Account) -> None:
    """RFC 9110 section 13.1.1, on the profile."""
    tag = (await account.get("/users/me")).headers["etag"]
    assert tag == etag(1)

    async def change(name: str, if_match: str | None) -> Any:
        headers = {} if if_match is None else {"If-Match": if_match}
        return await account.request("PATCH", "/users/me", json={"full_name": name}, headers=headers)

    first = await change("first", tag)
    assert (first.status_code, first.headers["etag"]) == (200, etag(2))
    assert (await change("second", tag)).status_code == 412
    for anything in (None, "*", f" {etag(4)} ", f'W/"9", "a,b",{etag(3)} ,\t{etag(5)}'):
        assert (await change("later", anything)).status_code == 200
    for if_match, status, code in REFUSALS:
        answer = await change("never", if_match)
        assert (answer.status_code, answer.json()["code"]) == (status, code), if_match
    assert (await account.get("/users/me")).json()["full_name"] == "later"


@pytest.mark.parametrize("version", [1, 2_147_483_647])
def test_the_tag_is_a_strong_one(version: int) -> None:
    assert etag(version) == f'"{version}"'
