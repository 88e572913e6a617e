"""One's own preferences: setting and unsetting, layers, versions, and what holds in the end."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from app.main import Services
from app.preferences.catalogue import CHAT_DEFAULT_MODEL, EDITOR_FONT_SIZE, NOTIFICATIONS_MAIL, THEME
from app.preferences.models import UserPreference
from app.preferences.registry import all_preferences
from app.preferences.service import PreferenceService
from app.preferences.types import ACCOUNT_LAYER
from tests.auth.credentials import token_of
from tests.preferences.stage import PATH, change, device, effective, faults, feed, put, told, undo, unset, values
from tests.support import Account

THEME_KEY = THEME.key


async def test_nothing_is_set_in_the_beginning(account: Account) -> None:
    answer = await account.get(PATH)
    assert answer.json() == {"seq": 0, "device_id": None, "preferences": {}}
    assert answer.headers["etag"] == '"0"'
    assert await effective(account, THEME_KEY) == ("system", "default")
    assert told(await account.get(f"{PATH}/{THEME_KEY}")) == (404, "preference_not_found")


async def test_a_batch_sets_and_unsets(account: Account) -> None:
    first = await change(account, {THEME_KEY: "dark", "language": "de", "x-app.panel": {"width": 3}})
    assert first.status_code == 200
    assert first.headers["etag"] == '"3"'
    assert first.json() == (await account.get(PATH)).json()
    second = await change(account, {THEME_KEY: None, "language": "fr", "time_zone": "UTC"})
    assert second.json()["seq"] == 6
    assert await values(account) == {"language": "fr", "time_zone": "UTC", "x-app.panel": {"width": 3}}
    assert list(second.json()["preferences"]) == ["language", "time_zone", "x-app.panel"]


async def test_a_batch_is_all_or_nothing(account: Account) -> None:
    answer = await change(account, {THEME_KEY: "dark", "language": 5, "no.such": 1, "x-": 1})
    assert faults(answer) == [
        (["body", "language"], "type"),
        (["body", "no.such"], "preference_unknown"),
        (["body", "x-"], "preference_unknown"),
    ]
    assert await values(account) == {}
    assert (await feed(account))["items"] == []


async def test_one_preference(account: Account) -> None:
    made = await put(account, THEME_KEY, "dark")
    assert made.status_code == 200
    assert (made.json()["value"], made.json()["version"], made.headers["etag"]) == ("dark", 1, '"1"')
    read = await account.get(f"{PATH}/{THEME_KEY}")
    assert (read.json(), read.headers["etag"]) == (made.json(), '"1"')
    assert (await unset(account, THEME_KEY)).status_code == 204
    assert told(await unset(account, THEME_KEY)) == (404, "preference_not_found")
    assert told(await account.get(f"{PATH}/{THEME_KEY}")) == (404, "preference_not_found")


async def test_a_value_that_is_invalid_alone(account: Account) -> None:
    assert faults(await put(account, THEME_KEY, "blue")) == [(["body", "value"], "enum")]
    assert faults(await put(account, THEME_KEY, None)) == [(["body", "value"], "value_error")]
    assert told(await put(account, "no.such", 1)) == (404, "preference_not_found")
    assert faults(await account.request("PUT", f"{PATH}/{THEME_KEY}", json={})) == [(["body", "value"], "missing")]
    extra = await account.request("PUT", f"{PATH}/{THEME_KEY}", json={"value": "dark", "version": 3})
    assert faults(extra) == [(["body", "version"], "extra_forbidden")]


async def test_what_is_so_already_is_no_change(account: Account) -> None:
    """So that clients which write everything they know do not fill the history."""
    await change(account, {THEME_KEY: "dark", "x-object": {"a": 1, "b": [2]}})
    again = await change(account, {THEME_KEY: "dark", "x-object": {"b": [2], "a": 1}, "language": None})
    assert again.json()["seq"] == 2
    assert (await put(account, THEME_KEY, "dark")).headers["etag"] == '"1"'
    assert len((await feed(account))["items"]) == 2


KINDS: list[Any] = [
    1,
    1.0,
    True,
    0,
    False,
    "1",
    "",
    [],
    {},
    [None],
    1e-7,
    0.1,
    -5,
    2**53 + 1,
    "ё\U0001f600\x01",
    {"": {"": 1}},
]


async def test_every_json_value_comes_back_as_it_was(account: Account) -> None:
    """1, 1.0 and true are three values, and a change from one to the other is one."""
    for seq, value in enumerate(KINDS, start=1):
        answer = await put(account, "x-value", value)
        assert answer.json()["version"] == seq, value
        read = (await account.get(f"{PATH}/x-value")).json()["value"]
        assert (type(read), read) == (type(value), value)
    listed = (await feed(account))["items"]
    assert [(type(item["new_value"]), item["new_value"]) for item in listed] == [(type(one), one) for one in KINDS]
    assert [item["old_value"] for item in listed] == [None, *KINDS[:-1]]


async def test_a_device_hides_the_account_and_the_account_the_default(account: Account) -> None:
    phone, tablet = device(), device()
    await change(account, {THEME_KEY: "light"})
    assert (await change(account, {THEME_KEY: "dark", "x-zoom": 2}, on=phone)).json()["device_id"] == phone
    assert await effective(account, THEME_KEY) == ("light", "user")
    assert await effective(account, THEME_KEY, on=tablet) == ("light", "user")
    assert await effective(account, THEME_KEY, on=phone) == ("dark", "device")
    assert await effective(account, "x-zoom", on=phone) == (2, "device")
    assert await values(account) == {THEME_KEY: "light"}
    assert await values(account, on=phone) == {THEME_KEY: "dark", "x-zoom": 2}
    await unset(account, THEME_KEY, on=phone)
    assert await effective(account, THEME_KEY, on=phone) == ("light", "user")
    await unset(account, THEME_KEY)
    assert await effective(account, THEME_KEY, on=phone) == ("system", "default")


async def test_some_preferences_are_the_same_on_every_device(account: Account) -> None:
    key, phone = NOTIFICATIONS_MAIL.key, device()
    assert faults(await change(account, {key: False}, on=phone)) == [(["body", key], "preference_scope")]
    assert faults(await put(account, key, value=False, on=phone)) == [(["body", "value"], "preference_scope")]
    assert (await change(account, {key: None}, on=phone)).status_code == 200
    assert (await put(account, key, value=False)).status_code == 200


async def test_devices_are_listed_and_forgotten(account: Account) -> None:
    phone, tablet = device(), device()
    await change(account, {THEME_KEY: "light"})
    await change(account, {THEME_KEY: "dark", "x-a": 1}, on=phone)
    await change(account, {"x-a": 1}, on=tablet)
    listed = (await account.get(f"{PATH}/devices")).json()
    assert [(one["device_id"], one["preferences"]) for one in listed] == [(tablet, 1), (phone, 2)]
    assert listed[0]["updated_at"] > listed[1]["updated_at"]
    assert (await account.request("DELETE", f"{PATH}/devices/{phone}")).status_code == 204
    answer = await account.request("DELETE", f"{PATH}/devices/{phone}")
    assert told(answer) == (404, "preference_device_not_found")
    assert [one["device_id"] for one in (await account.get(f"{PATH}/devices")).json()] == [tablet]
    assert await values(account) == {THEME_KEY: "light"}
    assert [item["new_value"] for item in (await feed(account, 4))["items"]] == [None, None], "as changes like others"


async def test_a_stale_version_is_refused(account: Account) -> None:
    """M1: for one preference, whatever happens to others."""
    version = (await put(account, THEME_KEY, "dark", if_match=0)).json()["version"]
    await put(account, "language", "de")
    assert told(await put(account, THEME_KEY, "light", if_match=0)) == (412, "precondition_failed")
    newer = (await put(account, THEME_KEY, "light", if_match=version)).json()["version"]
    assert told(await put(account, THEME_KEY, "dark", if_match=version)) == (412, "precondition_failed")
    assert told(await unset(account, THEME_KEY, if_match=version)) == (412, "precondition_failed")
    assert await values(account) == {THEME_KEY: "light", "language": "de"}
    assert (await unset(account, THEME_KEY, if_match=newer)).status_code == 204
    assert told(await unset(account, THEME_KEY, if_match=newer)) == (412, "precondition_failed")
    assert told(await unset(account, THEME_KEY, if_match=0)) == (404, "preference_not_found")


async def test_a_version_never_comes_again(account: Account) -> None:
    """Unset and set to the same value, a preference is not the one that was read: somebody has changed it twice."""
    version = (await put(account, THEME_KEY, "dark")).json()["version"]
    await unset(account, THEME_KEY)
    await put(account, THEME_KEY, "dark")
    assert told(await put(account, THEME_KEY, "light", if_match=version)) == (412, "precondition_failed")


async def test_a_batch_can_be_based_on_all_that_was_read(account: Account) -> None:
    seq = (await account.get(PATH)).json()["seq"]
    assert (await change(account, {THEME_KEY: "dark"}, if_match=seq)).headers["etag"] == '"1"'
    assert told(await change(account, {"language": "de"}, if_match=seq)) == (412, "precondition_failed")
    assert told(await change(account, {THEME_KEY: "dark"}, if_match=seq)) == (412, "precondition_failed")
    assert (await change(account, {"language": "de"})).status_code == 200, "without it the last writer wins"
    assert told(await change(account, {"language": "de"}, if_match="x")) == (412, "precondition_failed")


async def test_the_schema_tells_what_there_is(account: Account) -> None:
    told_ = (await account.get(f"{PATH}/schema")).json()
    assert [one["key"] for one in told_["definitions"]] == list(all_preferences())
    [theme] = [one for one in told_["definitions"] if one["key"] == THEME_KEY]
    assert theme == {
        "key": THEME_KEY,
        "description": THEME.description,
        "schema": {"enum": ["system", "light", "dark"]},
        "default": "system",
        "scopes": ["user", "device"],
        "since": "0.1.0",
        "deprecated_by": None,
    }
    assert told_["custom"] == {"prefix": "x-", "max_bytes": 8192, "max_depth": 8}


async def keep(services: Services, account: Account, key: str, value: Any, layer: UUID = ACCOUNT_LAYER) -> None:
    """Store a preference past the service, as an older release may have."""
    row = {"user_id": UUID(account.id), "device_id": layer, "key": key, "value": value, "seq": 1}
    async with services.database.writer.begin() as connection:
        await connection.execute(insert(UserPreference).values(**row, updated_at=services.clock.now()))


async def test_what_an_older_release_allowed_is_shown_but_does_not_hold(account: Account, services: Services) -> None:
    phone = device()
    await keep(services, account, THEME_KEY, "sepia")
    await keep(services, account, "gone.key", 1)
    await keep(services, account, NOTIFICATIONS_MAIL.key, value=False, layer=UUID(phone))
    assert await values(account) == {THEME_KEY: "sepia", "gone.key": 1}
    found = (await account.get(f"{PATH}/effective", params={"device_id": phone})).json()["preferences"]
    assert found[THEME_KEY] == {"value": "system", "origin": "default"}
    assert found[NOTIFICATIONS_MAIL.key] == {"value": True, "origin": "default"}
    assert "gone.key" not in found
    assert (await unset(account, "gone.key")).status_code == 204
    assert (await put(account, THEME_KEY, "dark")).status_code == 200
    [_, second] = (await feed(account))["items"]
    assert second["old_value"] == "sepia"
    assert faults(await undo(account, 2)) == [(["path", "seq"], "enum")], "nor does it come back"
    assert faults(await undo(account, 1)) == [(["path", "seq"], "preference_unknown")]


async def test_other_domains_ask_for_one_value(account: Account, services: Services) -> None:
    user_id, phone = UUID(account.id), device()
    async with services.database.read_session() as session:
        service = PreferenceService(session, services.auth)
        assert await service.value_of(user_id, CHAT_DEFAULT_MODEL) is None
        assert await service.value_of(user_id, EDITOR_FONT_SIZE, UUID(phone)) == 14
    await change(account, {CHAT_DEFAULT_MODEL.key: "merit/echo", EDITOR_FONT_SIZE.key: 12})
    await change(account, {EDITOR_FONT_SIZE.key: 20}, on=phone)
    await keep(services, account, THEME_KEY, "sepia")
    async with services.database.read_session() as session:
        service = PreferenceService(session, services.auth)
        assert await service.value_of(user_id, CHAT_DEFAULT_MODEL, UUID(phone)) == "merit/echo"
        assert await service.value_of(user_id, EDITOR_FONT_SIZE, UUID(phone)) == 20
        assert await service.value_of(user_id, EDITOR_FONT_SIZE) == 12
        assert await service.value_of(user_id, THEME) == "system", "an invalid one does not hold"


@pytest.mark.parametrize("scopes", [["preferences:read"], ["preferences:read", "preferences:write"]])
async def test_a_script_of_a_person_acts_for_it(account: Account, scopes: list[str]) -> None:
    token = await token_of(account, *scopes)
    answer = await account.client.patch(f"/api/v1{PATH}", json={THEME_KEY: "dark"}, headers=token.headers)
    assert answer.status_code == (200 if len(scopes) == 2 else 403)
    if answer.is_success:
        [item] = (await feed(account))["items"]
        assert item["changed_by"] == token.id
