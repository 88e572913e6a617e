"""A request that comes twice is done once."""

import asyncio
import re

import httpx
import pytest
from fastapi import FastAPI

from app.auth.types import AuditAction
from app.db.engine import Session
from app.idempotency import repository, service
from app.main import Services
from tests.auth.guests.stage import HEADER, visitor
from tests.auth.scenarios import actions_of
from tests.auth.stage import code_of
from tests.idempotency.stage import KEY, REPLAYED, count_roles, kept, made, make_role
from tests.statements import recorded_sql
from tests.support import API, Account, ManualClock

OF_THE_MOMENT = {"x-request-id", "date", "idempotency-replayed"}


def lasting(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """Everything of an answer that its repetition must have too."""
    headers = {name: value for name, value in answer.headers.items() if name not in OF_THE_MOMENT}
    return answer.status_code, answer.content, headers


async def test_a_repetition_gets_the_first_answer(admin: Account, services: Services) -> None:
    """Status, body and headers; nothing is made twice, and nothing recorded twice."""
    first, *others = [await make_role(admin, "Helpers", "a-1") for _ in range(3)]
    assert (first.status_code, first.headers["ETag"]) == (201, '"1"')
    assert REPLAYED not in first.headers
    for other in others:
        assert lasting(other) == lasting(first)
        assert other.headers[REPLAYED] == "true"
    assert await count_roles(services) == 1
    assert len(await kept(services)) == 1


async def test_an_answer_is_the_same_with_and_without_a_key(admin: Account) -> None:
    with_key, without = await make_role(admin, "Helpers", "a-1"), await make_role(admin, "Others")
    assert lasting(with_key)[2].keys() == lasting(without)[2].keys()
    assert with_key.json().keys() == without.json().keys()
    assert with_key.headers["Content-Type"] == without.headers["Content-Type"]
    got = await admin.get(f"/admin/roles/{with_key.json()['id']}")
    assert (got.json(), got.headers["ETag"]) == (with_key.json(), with_key.headers["ETag"])


async def test_without_a_key_a_request_is_done_each_time(admin: Account, services: Services) -> None:
    assert (await make_role(admin, "Helpers")).is_success
    assert code_of(await make_role(admin, "Helpers")) == (409, "role_name_taken")
    assert await kept(services) == []


async def test_the_first_answer_stands_though_things_have_changed(admin: Account) -> None:
    first = await make_role(admin, "Helpers", "a-1")
    assert (await admin.request("DELETE", f"/admin/roles/{first.json()['id']}")).is_success
    assert lasting(await make_role(admin, "Helpers", "a-1")) == lasting(first)


async def test_every_kept_operation_can_be_repeated(admin: Account) -> None:
    """Those that exist, by their own rules: an invitation is mailed once."""
    requests = {
        "/admin/invitations": {"email": "friend@example.com"},
        "/admin/service-accounts": {"name": "importer", "permissions": []},
    }
    for path, body in requests.items():
        first, second = [await admin.request("POST", path, json=body, headers={KEY: "same"}) for _ in range(2)]
        assert lasting(second) == lasting(first), path
        assert (first.status_code, second.headers[REPLAYED]) == (201, "true")


async def test_another_request_cannot_have_the_key(admin: Account, services: Services) -> None:
    await make_role(admin, "Helpers", "a-1")
    for name, permissions in (("Others", ()), ("Helpers", ("users:read",))):
        assert code_of(await make_role(admin, name, "a-1", permissions)) == (422, "idempotency_key_reused")
    assert await count_roles(services) == 1


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{ "permissions":[ ],"name" :\t"Helpers"}', 201),
        ('{"name":"\\u0048elpers","permissions":[]}', 201),
        ('{"name":" Helpers ","permissions":[]}', 201),  # what is trimmed anyway
        ('{"name":"Helpers","permissions":[],"description":null}', 422),  # more than was said before
        ('{"name":"helpers","permissions":[]}', 422),
    ],
)
async def test_what_counts_is_what_is_said(admin: Account, text: str, status: int) -> None:
    """A client may write the same JSON in another way."""
    await make_role(admin, "Helpers", "a-1")
    headers = {KEY: "a-1", "Content-Type": "application/json"}
    answer = await admin.request("POST", "/admin/roles", content=text, headers=headers)
    assert answer.status_code == status, answer.text


async def test_a_key_counts_for_one_operation_and_one_place(maker: Account) -> None:
    headers, body = {KEY: "a-1"}, {"text": "x"}
    assert (await maker.request("POST", "/workshop/works", json=body, headers=headers)).status_code == 201
    first = await maker.request("POST", "/workshop/streams/a", json=body, headers=headers)
    assert first.is_success
    other = await maker.request("POST", "/workshop/streams/b", json=body, headers=headers)
    assert code_of(other) == (422, "idempotency_key_reused")
    again = await maker.request("POST", "/workshop/streams/a?x=1", json=body, headers=headers)
    assert code_of(again) == (422, "idempotency_key_reused")
    assert len(made) == 2


async def test_nobody_gets_anothers_answer(maker: Account, visitor_client: httpx.AsyncClient) -> None:
    """Keys are guessed easily: many clients count. They are told apart by the owner, guests among them."""
    guest, rival = await visitor(visitor_client), await visitor(visitor_client)
    callers = [maker.headers, guest.headers, rival.headers]
    body, path = {"text": "x"}, f"{API}/workshop/works"
    ids = set()
    for headers in callers:
        for _ in range(2):
            answer = await visitor_client.post(path, json=body, headers={**headers, KEY: "1"})
            assert answer.status_code == 201
            ids.add(answer.json()["id"])
    assert len(ids) == len(made) == 3
    assert {HEADER} == set(guest.headers)


async def test_a_repetition_needs_the_same_rights(admin: Account) -> None:
    """An answer is no longer told to whoever may not ask any more."""
    await make_role(admin, "Helpers", "a-1")
    await admin.request("POST", "/auth/logout")
    assert code_of(await make_role(admin, "Helpers", "a-1")) == (401, "invalid_token")
    await admin.login(scope="profile:read")
    assert code_of(await make_role(admin, "Helpers", "a-1")) == (403, "insufficient_scope")
    await admin.login()
    assert (await make_role(admin, "Helpers", "a-1")).headers[REPLAYED] == "true"


async def test_a_refusal_is_not_kept(admin: Account, services: Services) -> None:
    """It has changed nothing; put right, the request may come with the same key."""
    refused = await make_role(admin, "Helpers", "a-1", ("no:such",))
    assert code_of(refused) == (422, "unknown_permission")
    assert await kept(services) == []
    assert (await make_role(admin, "Helpers", "a-1")).status_code == 201


async def test_a_crash_leaves_neither_the_thing_nor_the_key(
    admin: Account, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are of one transaction. What was committed before an answer was lost is there with its answer."""
    commit = Session.commit

    async def crash(self: Session) -> None:
        raise OSError("the line is cut")

    async def lose_the_answer(self: Session) -> None:
        await commit(self)
        raise OSError("the line is cut")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "commit", crash)
        assert (await make_role(admin, "Helpers", "a-1")).status_code == 503
    assert (await count_roles(services), await kept(services)) == (0, [])
    with monkeypatch.context() as patch:
        patch.setattr(Session, "commit", lose_the_answer)
        assert (await make_role(admin, "Helpers", "a-1")).status_code == 503
    answer = await make_role(admin, "Helpers", "a-1")
    assert (answer.status_code, answer.headers[REPLAYED]) == (201, "true")
    assert await count_roles(services) == 1


async def test_many_at_once_make_one_thing(admin: Account, services: Services, app: FastAPI) -> None:
    """The others wait for the first, and get its answer."""
    answers = await asyncio.gather(*(make_role(admin, "Helpers", "a-1") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sorted(answer.headers.get(REPLAYED, "") for answer in answers) == ["", *["true"] * 7]
    assert await count_roles(services) == 1
    assert (await actions_of(app)).count(AuditAction.ROLE_CREATED) == 1


async def test_of_many_different_ones_at_once_one_has_the_key(admin: Account, services: Services) -> None:
    answers = await asyncio.gather(*(make_role(admin, f"Role {n}", "a-1") for n in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422, 422, 422]
    assert await count_roles(services) == 1


async def test_many_at_once_are_refused_as_one_would_be(admin: Account, services: Services) -> None:
    """Also where the first one fails, whom all others have waited for: nobody is told that the service is down."""
    answers = await asyncio.gather(*(make_role(admin, "Helpers", "a-1", ("no:such",)) for _ in range(8)))
    assert {code_of(answer) for answer in answers} == {(422, "unknown_permission")}
    assert await kept(services) == []


async def test_many_at_once_a_day_later_make_one_thing(admin: Account, services: Services, clock: ManualClock) -> None:
    await make_role(admin, "Helpers", "a-1")
    clock.advance(hours=25)
    await admin.login()
    answers = await asyncio.gather(*(make_role(admin, "Others", "a-1") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert await count_roles(services) == 2


async def test_a_day_later_the_key_is_free(admin: Account, services: Services, clock: ManualClock) -> None:
    """Also before it is pruned."""
    first = await make_role(admin, "Helpers", "a-1")
    clock.advance(hours=23, minutes=59)
    await admin.login()
    assert lasting(await make_role(admin, "Helpers", "a-1")) == lasting(first)
    clock.advance(minutes=2)
    other = await make_role(admin, "Others", "a-1")
    assert (other.status_code, REPLAYED in other.headers) == (201, False)
    (row,) = await kept(services)
    assert row.expires_at > clock.now()


async def test_old_keys_are_pruned(
    admin: Account, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some a transaction, so that nobody waits; a run has an end."""
    monkeypatch.setattr(service, "_PRUNED_AT_ONCE", 2)
    monkeypatch.setattr(service, "_PRUNED_IN_ALL", 2)
    for n in range(5):
        await make_role(admin, f"Role {n}", f"a-{n}")
    clock.advance(hours=24, seconds=1)
    await services.jobs.run_due()
    assert [row.key for row in await kept(services)] == ["a-4"]
    clock.advance(minutes=11)
    await services.jobs.run_due()
    assert await kept(services) == []


async def test_an_owner_has_a_bounded_number(
    maker: Account, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest stay, and so do everybody else's."""
    monkeypatch.setattr(service, "TRIM_EVERY", 1)
    monkeypatch.setattr(repository, "KEPT_PER_OWNER", 3)
    other = await visitor(maker.client)
    await other.request("POST", "/workshop/works", json={"text": "x"}, headers={KEY: "a-0"})
    for n in range(5):
        await maker.request("POST", "/workshop/works", json={"text": "x"}, headers={KEY: f"a-{n}"})
    rows = await kept(services)
    assert sorted(row.key for row in rows if str(row.owner_id) == maker.id) == ["a-2", "a-3", "a-4"]
    assert [row.key for row in rows if str(row.owner_id) == other.id] == ["a-0"]


async def test_an_answer_too_long_to_keep_is_not_repeated(
    maker: Account, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is done twice; the client learns that it is done, and looks for itself."""
    monkeypatch.setattr(service, "MAX_ANSWER_BYTES", 100)
    for n, (text, code) in enumerate((("x" * 10, None), ("x" * 100, "idempotency_answer_not_kept"))):
        order = {"json": {"text": text}, "headers": {KEY: f"a-{n}"}}
        first = await maker.request("POST", "/workshop/works", **order)
        assert (first.status_code, first.json()["text"]) == (201, text)
        again = await maker.request("POST", "/workshop/works", **order)
        assert (again.json().get("code"), again.status_code) == (code, 201 if code is None else 409)
    assert len(made) == 2


async def test_headers_and_bodies_of_any_kind_come_back(maker: Account) -> None:
    text = "ё\U0001f600\u2028\x7f\x85 \\u0000"
    answers = [
        await maker.request("POST", "/workshop/works", json={"text": text}, headers={KEY: "a-1"}) for _ in range(2)
    ]
    assert answers[1].json() == answers[0].json() == {"id": str(made[0]), "text": text}
    assert answers[1].headers["Location"] == answers[0].headers["Location"] == f"/works/{made[0]}"
    raw = [await maker.request("POST", "/workshop/raw", headers={KEY: "a-1"}) for _ in range(2)]
    assert [(answer.status_code, answer.json()) for answer in raw] == [(200, {"count": 2})] * 2


async def test_a_key_may_stand_for_a_thing(maker: Account) -> None:
    """For answers that are streams: the same thing each time, and the endpoint knows whether it is to be made."""
    path, body = "/workshop/streams/a", {"text": "x"}
    answers = [await maker.request("POST", path, json=body, headers={KEY: "a-1"}) for _ in range(3)]
    answers += await asyncio.gather(*(maker.request("POST", path, json=body, headers={KEY: "a-2"}) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.headers.get(REPLAYED) for answer in answers[:3]] == [None, "true", "true"]
    assert len(made) == 2
    assert {answer.json()["id"] for answer in answers} == {str(id_) for id_ in made}
    other = await maker.request("POST", path, json={"text": "y"}, headers={KEY: "a-1"})
    assert code_of(other) == (422, "idempotency_key_reused")
    for _ in range(2):
        await maker.request("POST", path, json=body)
    assert len(made) == 4


async def test_what_a_key_costs(admin: Account, services: Services) -> None:
    """Two statements beside the request's own, one for a repetition; none without a key."""
    costs = []
    for key in (None, "a-1", "a-1"):
        with recorded_sql(services.database) as statements:
            await make_role(admin, f"Role {key}", key)
        costs.append(sum(bool(re.search("idempotency_keys", text)) for text in statements))
    assert costs[0] == 0
    assert costs[1] in {2, 3}  # now and then the oldest keys are looked after
    assert costs[2] == 2  # who has it, and how it was answered
