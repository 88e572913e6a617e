"""Service accounts and their secrets, as administrators make and change them."""

import re
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.repository import UserRepository
from app.auth.secret_texts import pattern_of
from app.core.ids import new_id
from app.main import Services
from tests.auth.credentials import SERVICES, grant, make_secret, make_service, service_of, token_of, with_secret
from tests.auth.scenarios import as_bytes, events_of, in_parallel, spellings, stored_rows
from tests.auth.stage import code_of
from tests.support import Account, ManualClock, register

DEAD = (401, "invalid_token")


async def secrets_of(admin: Account, service_id: str) -> list[dict[str, Any]]:
    answer = await admin.get(f"{SERVICES}/{service_id}/secrets")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


async def test_an_account_is_made_listed_changed_and_deleted(admin: Account) -> None:
    """The whole life of one, with its ETag."""
    made = await make_service(admin, ["users:write", "users:read"], description="imports questions")
    assert made.status_code == 201
    body = made.json()
    assert body["name"] == "importer"
    assert body["description"] == "imports questions"
    assert body["permissions"] == ["users:read", "users:write"]
    assert body["is_active"] is True
    assert body["created_by"] == admin.id
    path = f"{SERVICES}/{body['id']}"
    found = await admin.get(path)
    assert found.json() == body
    assert (await admin.get(SERVICES)).json() == {"items": [body], "next_cursor": None}
    changes: dict[str, Any] = {"name": "exporter", "description": None, "is_active": False, "permissions": []}
    headers = {"If-Match": found.headers["ETag"]}
    changed = await admin.request("PATCH", path, json=changes, headers=headers)
    assert changed.status_code == 200
    assert changes.items() <= changed.json().items()
    assert changed.headers["ETag"] != found.headers["ETag"]
    stale = await admin.request("PATCH", path, json={"name": "late"}, headers=headers)
    assert code_of(stale) == (412, "precondition_failed")
    assert (await admin.request("DELETE", path)).status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        gone = await admin.request(method, path, json={})
        assert code_of(gone) == (404, "service_account_not_found")
    assert (await admin.get(SERVICES)).json()["items"] == []


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"permissions": ["nothing:such"]}, (422, "unknown_permission")),
        ({"permissions": ["profile:read"]}, (422, "personal_permission")),
        ({"permissions": ["users:read", "profile:write"]}, (422, "personal_permission")),
        ({"permissions": ["users:read users:write"]}, (422, "unknown_permission")),
        ({"permissions": "users:read"}, (422, "validation_failed")),
        ({"permissions": ["x" * 65]}, (422, "validation_failed")),
        ({"permissions": None}, (422, "validation_failed")),
        ({"name": "two\nlines"}, (422, "validation_failed")),
        ({"name": "x" * 101}, (422, "validation_failed")),
        ({"name": None}, (422, "validation_failed")),
        ({"auth_version": 9}, (422, "validation_failed")),
        ({"id": "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"}, (422, "validation_failed")),
        ({"created_by": None}, (422, "validation_failed")),
    ],
)
async def test_bad_input_is_refused(admin: Account, members: dict[str, Any], expected: tuple[int, str]) -> None:
    """At its making and at a change alike; nothing is made or changed."""
    service = (await make_service(admin)).json()
    made = await admin.request("POST", SERVICES, json={"name": "other", "permissions": [], **members})
    changed = await admin.request("PATCH", f"{SERVICES}/{service['id']}", json=members)
    assert code_of(made) == code_of(changed) == expected
    assert (await admin.get(SERVICES)).json()["items"] == [service]


async def test_nobody_gives_a_machine_more_than_they_have(admin: Account) -> None:
    """Neither at its making, nor at a change, nor by a secret of one that may do more."""
    strong = (await make_service(admin, ["users:read", "users:write"])).json()
    weak = (await make_service(admin, [])).json()
    assert (await admin.login(scope="services:read services:write users:read")).is_success
    refused = (403, "permission_not_held")
    assert code_of(await make_service(admin, ["users:read", "users:write"])) == refused
    path = f"{SERVICES}/{weak['id']}"
    assert code_of(await admin.request("PATCH", path, json={"permissions": ["users:write"]})) == refused
    assert code_of(await make_secret(admin, strong["id"])) == refused
    assert (await admin.request("PATCH", path, json={"permissions": ["users:read"]})).is_success
    assert (await make_secret(admin, weak["id"])).is_success
    # What it has already may stay, and may be taken away.
    path = f"{SERVICES}/{strong['id']}"
    assert (await admin.request("PATCH", path, json={"permissions": ["users:read", "users:write"]})).is_success
    assert (await admin.request("PATCH", path, json={"permissions": ["users:read"]})).is_success
    assert code_of(await admin.request("PATCH", path, json={"permissions": ["users:write"]})) == refused


async def test_others_see_nothing(account: Account, admin: Account) -> None:
    """Without the permission every path is closed, whether the account exists or not."""
    service = await service_of(admin)
    for method, path in (
        ("GET", SERVICES),
        ("POST", SERVICES),
        ("GET", f"{SERVICES}/{service.id}"),
        ("PATCH", f"{SERVICES}/{service.id}"),
        ("DELETE", f"{SERVICES}/{service.id}"),
        ("GET", f"{SERVICES}/{service.id}/secrets"),
        ("POST", f"{SERVICES}/{service.id}/secrets"),
        ("DELETE", f"{SERVICES}/{service.id}/secrets/{service.secret_id}"),
    ):
        answer = await account.request(method, path, json={})
        assert code_of(answer) == (403, "insufficient_scope"), (method, path)
        answer = await account.client.request(method, f"/api/v1{path}", json={})
        assert code_of(answer) == (401, "not_authenticated")


async def test_no_token_makes_machines(admin: Account) -> None:
    """K3: an administrator's token and a service account itself may look, and change nothing."""
    strong = ["services:read", "services:write"]
    service = await service_of(admin, strong)
    for bearer in (await token_of(admin, *strong), await service.bearer()):
        assert (await bearer.get(SERVICES)).is_success
        assert (await bearer.get(f"{SERVICES}/{service.id}/secrets")).is_success
        for method, path in (
            ("POST", SERVICES),
            ("PATCH", f"{SERVICES}/{service.id}"),
            ("DELETE", f"{SERVICES}/{service.id}"),
            ("POST", f"{SERVICES}/{service.id}/secrets"),
            ("DELETE", f"{SERVICES}/{service.id}/secrets/{service.secret_id}"),
        ):
            answer = await bearer.request(method, path, json={})
            assert code_of(answer) == (403, "session_required"), (method, path)


async def test_a_secret_is_shown_once(app: FastAPI, admin: Account) -> None:
    """K4, F7: with a prefix and a checksum, not cached, and stored as SHA-256 only."""
    service = (await make_service(admin)).json()
    made = await make_secret(admin, service["id"], expires_in_days=30)
    assert made.headers["Cache-Control"] == "no-store"
    text = made.json()["text"]
    assert re.fullmatch(pattern_of("sas"), text)
    listed = await admin.get(f"{SERVICES}/{service['id']}/secrets")
    assert listed.json()["items"] == [made.json()["secret"]]
    assert text[30:] not in listed.text
    assert (await grant(admin.client, client_id=service["id"], client_secret=text)).is_success
    dump = as_bytes(await stored_rows(app))
    assert b"importer" in dump  # it is the right haystack
    secret = text.rpartition("_")[2]
    for part in (text, secret, secret[:54], secret[:43]):
        assert not any(spelling in dump for spelling in spellings(part.encode()))


async def test_making_a_secret_needs_a_fresh_login(admin: Account, clock: ManualClock) -> None:
    """M4: a credential is made by someone who has just logged in."""
    service = (await make_service(admin)).json()
    clock.advance(seconds=301)
    assert code_of(await make_secret(admin, service["id"])) == (401, "insufficient_user_authentication")
    assert (await make_service(admin)).is_success
    await admin.login()
    assert (await make_secret(admin, service["id"])).is_success


async def test_two_secrets_serve_a_change(admin: Account, clock: ManualClock) -> None:
    """K4: the next works beside the last, a third has no place; revoking one ends its tokens and no others."""
    first = await service_of(admin)
    second = await with_secret(admin, first.id, expires_in_days=1)
    assert code_of(await make_secret(admin, first.id)) == (409, "too_many_secrets")
    by_first, by_second = await first.bearer(), await second.bearer()
    path = f"{SERVICES}/{first.id}/secrets/{first.secret_id}"
    assert (await admin.request("DELETE", path)).status_code == 204
    assert code_of(await by_first.get("/admin/users")) == DEAD
    assert (await by_second.get("/admin/users")).is_success
    assert (await first.ask()).status_code == 401
    assert (await second.ask()).is_success
    third = await with_secret(admin, first.id)
    assert code_of(await make_secret(admin, first.id)) == (409, "too_many_secrets")
    clock.advance(days=1)
    await admin.login()
    assert (await second.ask()).status_code == 401  # expired, which makes room for another
    assert (await third.ask()).is_success
    assert (await make_secret(admin, first.id)).is_success
    assert len(await secrets_of(admin, first.id)) == 3


async def test_parallel_requests_make_no_third_secret(admin: Account) -> None:
    service = (await make_service(admin)).json()
    answers = await in_parallel(make_secret(admin, service["id"]) for _ in range(8))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 6


async def test_a_secret_is_its_account_s_only(admin: Account) -> None:
    """By the id of another account it is neither good nor to be revoked; unknown ids are a 404."""
    one, two = await service_of(admin), await service_of(admin)
    assert (await grant(admin.client, client_id=two.id, client_secret=one.secret)).status_code == 401
    foreign = await admin.request("DELETE", f"{SERVICES}/{two.id}/secrets/{one.secret_id}")
    unknown = await admin.request("DELETE", f"{SERVICES}/{two.id}/secrets/{new_id()}")
    assert code_of(foreign) == code_of(unknown) == (404, "secret_not_found")
    for method, path in (("GET", "secrets"), ("POST", "secrets"), ("DELETE", f"secrets/{one.secret_id}")):
        answer = await admin.request(method, f"{SERVICES}/{new_id()}/{path}", json={})
        assert code_of(answer) == (404, "service_account_not_found")
    assert (await one.ask()).is_success


@pytest.mark.parametrize("days", [0, -1, 3651, 10**20, "x"])
async def test_the_life_of_a_secret_is_bounded(admin: Account, days: Any) -> None:
    service = (await make_service(admin)).json()
    assert code_of(await make_secret(admin, service["id"], expires_in_days=days)) == (422, "validation_failed")


async def test_every_step_is_an_event(app: FastAPI, admin: Account) -> None:
    """A3: who made, changed and deleted which account, and each token it got; secrets by their ids."""
    service = await service_of(admin)
    await service.bearer()
    await grant(admin.client, client_id=service.id, client_secret="wrong")
    await admin.request("PATCH", f"{SERVICES}/{service.id}", json={"name": "other"})
    await admin.request("DELETE", f"{SERVICES}/{service.id}/secrets/{service.secret_id}")
    await admin.request("DELETE", f"{SERVICES}/{service.id}")
    found = await events_of(app, service.id)
    assert [event.action for event in found] == [
        "service_created",
        "service_secret_created",
        "service_token_issued",
        "service_login_failed",
        "service_updated",
        "service_secret_revoked",
        "service_deleted",
    ]
    assert [str(event.actor_id) for event in found] == [admin.id, admin.id, service.id, service.id, *[admin.id] * 3]
    assert [event.outcome for event in found] == ["success"] * 3 + ["failure"] + ["success"] * 3
    assert found[1].detail["secret_id"] == found[5].detail["secret_id"] == service.secret_id
    assert str(found[2].session_id) == service.secret_id
    assert not any(service.secret in repr(event.detail) for event in found)


async def test_a_list_comes_in_pages(admin: Account) -> None:
    made = [(await make_service(admin, name=f"service {n}")).json()["id"] for n in range(5)]
    found, cursor = [], None
    for _ in range(3):
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = (await admin.get(SERVICES, params=query)).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == made[::-1]
    assert code_of(await admin.get(SERVICES, params={"cursor": "x"})) == (422, "invalid_cursor")


async def test_its_maker_may_go(client: httpx.AsyncClient, services: Services, admin: Account, make_admin: Any) -> None:
    """A service account belongs to the service: it outlives the administrator who made it."""
    maker = await make_admin(await register(client))
    service = await service_of(maker)
    bearer = await service.bearer()
    assert (await admin.request("POST", f"/admin/users/{maker.id}/disable")).is_success
    assert (await bearer.get("/admin/users")).is_success
    async with services.database.session() as session:
        assert await UserRepository(session, services.clock).delete(UUID(maker.id))
        await session.commit()
    assert (await service.ask()).is_success
    assert (await admin.get(f"{SERVICES}/{service.id}")).json()["created_by"] is None


async def test_expired_secrets_go_after_a_month(services: Services, admin: Account, clock: ManualClock) -> None:
    """Those that do not expire stay."""
    clock.stop()
    service = await service_of(admin)
    await with_secret(admin, service.id, expires_in_days=1)
    for days, number in ((30.9, 2), (0.2, 1)):
        clock.advance(days=days)
        await services.jobs.run_due()
        await admin.login()
        assert len(await secrets_of(admin, service.id)) == number


async def test_nobody_enables_a_machine_that_may_do_more(admin: Account) -> None:
    """What was switched off stays off, whatever else is changed with it, until someone comes who has all that it has.

    Its secrets are out there: to enable it is to give their holders what it may do.
    """
    strong = await service_of(admin, ["users:read", "users:write"])
    path = f"{SERVICES}/{strong.id}"
    assert (await admin.request("PATCH", path, json={"is_active": False})).is_success
    assert (await admin.login(scope="services:read services:write users:read")).is_success
    for also in ({}, {"permissions": ["users:read", "users:write"]}, {"name": "mine"}):
        answer = await admin.request("PATCH", path, json={"is_active": True, **also})
        assert code_of(answer) == (403, "permission_not_held")
    assert (await strong.ask()).status_code == 401
    # Less, or switched off as before, is no gift.
    assert (await admin.request("PATCH", path, json={"is_active": False, "name": "mine"})).is_success
    assert (await admin.request("PATCH", path, json={"is_active": True, "permissions": ["users:read"]})).is_success
    assert (await strong.ask()).json()["scope"] == "users:read"
    assert (await admin.request("PATCH", path, json={"is_active": True})).is_success
