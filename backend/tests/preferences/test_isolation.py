"""What an attacker would try: other people's preferences, too much of them, and values that break something."""

from typing import Any

import pytest

from app.auth.permissions import permissions_of
from app.auth.types import Role
from app.preferences.types import MAX_BATCH, MAX_PREFERENCES, MAX_VALUE_BYTES
from tests.auth.credentials import make_service
from tests.preferences.stage import PATH, change, device, faults, feed, history, put, told, undo, unset, values
from tests.support import Account, register

LONGEST = "x" * (MAX_VALUE_BYTES - 2)
NIL = "00000000-0000-0000-0000-000000000000"


async def test_everyone_has_only_their_own(account: Account) -> None:
    """The same names, numbers and devices mean something else to everybody."""
    stranger, phone = await register(account.client), device()
    await change(account, {"language": "de", "x-secret": "mine"})
    await put(account, "x-secret", "mine too", on=phone)
    assert await values(stranger) == await values(stranger, on=phone) == {}
    assert (await feed(stranger))["items"] == []
    assert (await history(stranger, "x-secret"))["items"] == []
    assert (await stranger.get(f"{PATH}/devices")).json() == []
    for answer in (await stranger.get(f"{PATH}/x-secret"), await unset(stranger, "x-secret")):
        assert told(answer) == (404, "preference_not_found")
    assert told(await undo(stranger, 2)) == (404, "preference_change_not_found")
    forgotten = await stranger.request("DELETE", f"{PATH}/devices/{phone}")
    assert told(forgotten) == (404, "preference_device_not_found")
    assert "mine" not in (await stranger.get(f"{PATH}/effective", params={"device_id": phone})).text
    await put(stranger, "x-secret", "theirs")
    assert await values(account) == {"language": "de", "x-secret": "mine"}
    assert (await feed(stranger))["items"][0]["seq"] == 1, "numbers tell nothing of others"


async def test_another_ones_cursor_leads_to_nothing_of_theirs(account: Account) -> None:
    stranger = await register(account.client)
    for value in ("de", "fr"):
        await put(account, "language", value)
    cursor = (await history(account, "language", limit=1))["next_cursor"]
    assert (await history(stranger, "language", cursor=cursor))["items"] == []


async def test_machines_have_none(admin: Account) -> None:
    """Every built-in role has the permissions, no service account can be given them."""
    own = {"preferences:read", "preferences:write"}
    assert all(own <= permissions_of(role, is_superuser=False) for role in Role)
    for permission in own:
        answer = await make_service(admin, [permission])
        assert answer.json()["code"] == "personal_permission"


async def test_an_account_keeps_a_bounded_number(account: Account) -> None:
    """On all devices together: a device is but a number that the client makes up."""
    for _ in range(MAX_PREFERENCES // MAX_BATCH):
        full = await change(account, {f"x-{number}": 1 for number in range(MAX_BATCH)}, on=device())
        assert full.status_code == 200
    assert told(await put(account, "x-new", 1)) == (409, "too_many_preferences")
    assert told(await change(account, {"x-new": 1}, on=device())) == (409, "too_many_preferences")
    on = (await account.get(f"{PATH}/devices")).json()[0]["device_id"]
    assert (await put(account, "x-0", 2, on=on)).status_code == 200, "what is set can be changed"
    assert (await change(account, {"x-0": None, "x-new": 1}, on=on)).status_code == 200, "and one put for another"
    await account.request("DELETE", f"{PATH}/devices/{on}")
    assert (await put(account, "x-new", 1)).status_code == 200
    assert told(await change(account, {f"x-{number}": 1 for number in range(MAX_BATCH)})) == (
        409,
        "too_many_preferences",
    )
    assert await values(account) == {"x-new": 1}


@pytest.mark.parametrize("value", [LONGEST, "é" * (MAX_VALUE_BYTES // 2 - 1), [[[[[[[[1]]]]]]]]])
async def test_the_largest_values_are_stored(account: Account, value: Any) -> None:
    assert (await put(account, "x-a", value)).status_code == 200
    assert await values(account) == {"x-a": value}


TOO_MUCH: list[Any] = [
    LONGEST + "x",
    [LONGEST],
    [[[[[[[[[1]]]]]]]]],
    {"a" * MAX_VALUE_BYTES: 1},
    [5e-324] * 40,
    "\x00",
    {"\x00": 1},
    2**63,
    10**400,
    1e16,
    1e300,
]


@pytest.mark.parametrize("value", TOO_MUCH, ids=range(len(TOO_MUCH)))
async def test_what_no_database_should_get_is_refused(account: Account, value: Any) -> None:
    """By both ways in; nothing of the batch is stored."""
    assert faults_raw(await change(account, {"x-good": 1, "x-bad": value})) == ["x-bad"]
    assert faults_raw(await put(account, "x-bad", value)) == ["value"]
    assert await values(account) == {}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", r'"\ud800"', r'{"\udfff": 1}', "[" * 5000])
async def test_json_that_is_none(account: Account, text: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await account.request("PATCH", PATH, content=f'{{"x-bad": {text}}}'.encode(), headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert await values(account) == {}


def faults_raw(answer: Any) -> list[Any]:
    """The keys at fault, of a refusal that does not quote their values."""
    assert "xxxx" not in answer.text
    return [place[1] for place, _ in faults(answer)]


BODIES: list[tuple[Any, str]] = [
    ({}, "too_short"),
    ({f"x-{number}": 1 for number in range(MAX_BATCH + 1)}, "too_long"),
    ([], "dict_type"),
    ("text", "dict_type"),
    ({"": 1}, "too_short"),
    ({"x" * 101: 1}, "too_long"),
    ({"x-\x00": 1}, "value_error"),
    ({"__proto__": 1}, "preference_unknown"),
    ({"appearance.theme ": "dark"}, "preference_unknown"),
    ({"Appearance.Theme": "dark"}, "preference_unknown"),
]


@pytest.mark.parametrize(("body", "rule"), BODIES, ids=range(len(BODIES)))
async def test_a_body_that_is_no_batch(account: Account, body: Any, rule: str) -> None:
    assert rule in {found for _, found in faults(await change(account, body))}
    assert await values(account) == {}


async def test_hundreds_of_faults_are_told_in_a_short_answer(account: Account) -> None:
    answer = await change(account, {f"no.such{number}": 1 for number in range(MAX_BATCH)})
    assert len(faults(answer)) == 20


async def test_places_that_are_none(account: Account) -> None:
    for on in (NIL, "x", "", "'; DROP TABLE users; --"):
        assert told(await change(account, {"x-a": 1}, on=on)) == (422, "validation_failed")
        assert told(await account.get(PATH, params={"device_id": on})) == (422, "validation_failed")
    assert told(await account.request("DELETE", f"{PATH}/devices/{NIL}")) == (422, "validation_failed")
    for since in ("-1", str(2**31), "1.5", "x", ""):
        assert told(await account.get(f"{PATH}/changes", params={"since": since})) == (422, "validation_failed")
    for seq in ("0", "-1", str(2**31), "x"):
        answer = await account.request("POST", f"{PATH}/changes/{seq}/undo")
        assert told(answer) == (422, "validation_failed")
    for key in ("x" * 101, "x-%00", "x-%1b"):
        assert told(await account.get(f"{PATH}/{key}")) == (422, "validation_failed")
    for key in ("%27%20OR%201=1", "x-a%20", "..%2f..", "devices"):
        assert (await put(account, key, 1)).status_code in {404, 405}
    for limit in ("0", "101"):
        assert told(await account.get(f"{PATH}/changes", params={"limit": limit})) == (422, "validation_failed")
