"""What an `Idempotency-Key` may be, what it is compared by, and what is remembered of it."""

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from app.core.ids import new_id
from app.idempotency.errors import IdempotencyInProgressError
from app.idempotency.models import IdempotencyKey
from app.idempotency.repository import IdempotencyKeyRepository
from app.idempotency.service import IdempotencyService, fingerprint
from app.idempotency.types import Answer, Named, Request
from app.main import Services
from tests.auth.guests.stage import visitor
from tests.auth.stage import code_of
from tests.idempotency.stage import KEY, REPLAYED, kept, make_role
from tests.support import Account

SECRET = SecretStr("k" * 40)
PLACE = ("POST", "/things", "")


@pytest.mark.parametrize(
    "key", ["a", "x" * 128, "8e03978e-40d5-43dd-bc93-6894a57f9324", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"]
)
async def test_a_key_is_visible_ascii(admin: Account, key: str) -> None:
    """With the quotes that the draft demands (RFC 8941 section 3.3.3), or bare as most clients send it."""
    answers = [await make_role(admin, "Helpers", form) for form in (key, f'"{key}"', f' "{key}" ')]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert [answer.headers.get(REPLAYED) for answer in answers] == [None, "true", "true"]


@pytest.mark.parametrize(
    "key",
    ["", '""', '"', "x" * 129, "a b", 'a"b', "a\\b", '"a', '"a\\"b"', "é", "a\x00", "a\x7f", "\xa0", "a\tb", '"a";p=1'],
)
async def test_anything_else_is_refused_before_anything_happens(admin: Account, services: Services, key: str) -> None:
    headers = [(KEY.encode(), key.encode("latin-1")), (b"authorization", admin.headers["Authorization"].encode())]
    body = {"name": "Helpers", "permissions": []}
    answer = await admin.client.post("/api/v1/admin/roles", json=body, headers=headers)
    assert code_of(answer) == (400, "malformed_idempotency_key")
    assert await kept(services) == []


async def test_two_keys_are_none(admin: Account) -> None:
    headers = [(KEY, "a"), (KEY, "a"), ("Authorization", admin.headers["Authorization"])]
    answer = await admin.client.post("/api/v1/admin/roles", json={"name": "A role", "permissions": []}, headers=headers)
    assert code_of(answer) == (400, "malformed_idempotency_key")


async def test_keys_differ_by_case_and_by_what_looks_like_nothing(admin: Account) -> None:
    """Also where the database compares other texts without regard to that."""
    for n, key in enumerate(("abc", "ABC", "abc-", "abc.")):
        answer = await make_role(admin, f"Role {n}", key)
        assert (answer.status_code, REPLAYED in answer.headers) == (201, False)


async def test_no_random_key_makes_the_service_fail(admin: Account) -> None:
    """Bytes that a header can hold: taken or refused, never a fault of ours."""
    numbers = random.Random(7)  # noqa: S311 - the same texts each time
    for _ in range(60):
        text = bytes(numbers.choice([*range(0x20, 0x7F), 0xE9, 0xFF]) for _ in range(numbers.randint(1, 20)))
        headers = [(KEY.encode(), text), (b"authorization", admin.headers["Authorization"].encode())]
        answer = await admin.client.post("/api/v1/admin/roles", json={"name": ""}, headers=headers)
        assert answer.status_code in {400, 422}


async def test_nobody_without_rights_writes_a_key(admin: Account, account: Account, services: Services) -> None:
    guest = await visitor(account.client)
    assert (await make_role(account, "Helpers", "a-1")).status_code == 403
    body = {"name": "Helpers", "permissions": []}
    assert (await guest.request("POST", "/admin/roles", json=body, headers={KEY: "a-1"})).status_code == 401
    assert await kept(services) == []


class Body(BaseModel):
    """Something with everything that JSON has no form for."""

    text: str = "x"
    secret: SecretStr | None = None
    names: frozenset[str] = frozenset()
    parts: dict[int, bytes | None] = {}


def test_a_fingerprint_tells_requests_apart() -> None:
    """Also those that differ in a secret alone, or only in where one part ends and the next begins."""
    prints = [
        fingerprint(SECRET, PLACE, None),
        fingerprint(SECRET, PLACE, b""),
        fingerprint(SECRET, ("POST", "/things", "x"), b""),
        fingerprint(SECRET, ("POST", "/thing", "sx"), b""),
        fingerprint(SECRET, ("POST", "/things\0", ""), b""),
        fingerprint(SECRET, ("POST", "/things", "\0"), b""),
        fingerprint(SECRET, PLACE, Body()),
        fingerprint(SECRET, PLACE, Body(text="x")),
        fingerprint(SECRET, PLACE, Body(secret=SecretStr("one"))),
        fingerprint(SECRET, PLACE, Body(secret=SecretStr("two"))),
        fingerprint(SECRET, PLACE, Body(names=frozenset({"a", "b"}))),
        fingerprint(SECRET, PLACE, Body(parts={1: None})),
        fingerprint(SECRET, PLACE, Body(parts={1: b"x"})),
        fingerprint(SecretStr("j" * 40), PLACE, None),
    ]
    assert len(set(prints)) == len(prints)
    assert {len(one) for one in prints} == {32}
    assert fingerprint(SECRET, PLACE, Body(names=frozenset("abc"))) == fingerprint(
        SECRET, PLACE, Body(names=frozenset("cba"))
    )


def request_of(owner_id: UUID | None = None) -> Request:
    return Request(owner_id or new_id(), "make", "a-1", bytes(32))


async def test_what_was_left_without_an_answer_is_under_way(services: Services) -> None:
    """A service that commits in the middle and dies: nobody does it again behind its back."""
    request = request_of()
    async with services.database.session() as session:
        keys = IdempotencyService(session, services.clock)
        id_ = await keys.begin(request)
        await session.commit()
        for _ in range(2):
            with pytest.raises(IdempotencyInProgressError):
                await keys.begin(request)
            with pytest.raises(IdempotencyInProgressError):
                await keys.name(request, new_id())
        assert not isinstance(id_, Answer)
        await keys.finish(id_, Answer(200, {}, b"{}"))
        assert await keys.begin(request) == Answer(200, {}, b"{}")
        await session.rollback()


async def test_a_name_is_given_once(services: Services) -> None:
    request, first = request_of(), new_id()
    async with services.database.session() as session:
        keys = IdempotencyService(session, services.clock)
        assert await keys.name(request, first) == Named(first, is_new=True)
        assert await keys.name(request, new_id()) == Named(first, is_new=False)
        with pytest.raises(IdempotencyInProgressError):
            await keys.begin(request)
        await session.rollback()


async def test_a_key_that_is_pruned_in_between_is_taken_anew(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where somebody else is always faster, the caller is told to come back."""
    request = request_of()
    async with services.database.session() as session:
        keys = IdempotencyService(session, services.clock)
        await keys.begin(request)
        take = IdempotencyKeyRepository.take
        looks: list[IdempotencyKey | None] = []

        async def take_late(self: IdempotencyKeyRepository, *asked: Any) -> IdempotencyKey | None:
            looks.append(await take(self, *asked))
            if len(looks) == 1:
                await self.delete_of(request.owner_id)
            return looks[-1] if len(looks) == 2 else None

        monkeypatch.setattr(IdempotencyKeyRepository, "take", take_late)
        assert not isinstance(await keys.begin(request), Answer)
        with pytest.raises(IdempotencyInProgressError):
            await keys.begin(request)
        await session.rollback()


async def test_a_guest_who_goes_takes_the_keys_along(account: Account, services: Services) -> None:
    """Kept answers tell what somebody made."""
    guest = await visitor(account.client)
    async with services.database.session() as session:
        keys = IdempotencyService(session, services.clock)
        await keys.begin(request_of(UUID(guest.id)))
        await keys.begin(request_of())
        await session.commit()
    assert (await guest.request("DELETE", "/guests/me")).is_success
    assert len(await kept(services)) == 1


async def test_workers_with_the_same_expired_key_do_not_lock_each_other_up(services: Services) -> None:
    if services.database.url.backend == "sqlite":  # writers come one after the other
        return
    request = request_of()
    async with services.database.session() as session:
        await IdempotencyService(session, services.clock).name(request, new_id())
        await session.execute(update(IdempotencyKey).values(expires_at=services.clock.now()))
        await session.commit()
    names = await asyncio.gather(*(named(services, request) for _ in range(4)))
    assert [name.is_new for name in names].count(True) == 1
    assert len({name.id for name in names}) == 1


async def test_those_who_wait_for_a_request_that_fails_do_not_fail_with_it(services: Services) -> None:
    if services.database.url.backend == "sqlite":
        return
    request = request_of()
    async with services.database.session() as session:
        await IdempotencyService(session, services.clock).name(request, new_id())
        waiting = [asyncio.create_task(named(services, request)) for _ in range(3)]
        await asyncio.sleep(0.15)
        await session.rollback()
    names = await asyncio.gather(*waiting)
    assert [name.is_new for name in names].count(True) == 1
    assert len({name.id for name in names}) == 1


async def named(services: Services, request: Request) -> Named:
    """What a request's key stands for, asked by another worker."""
    async with services.database.session() as session:
        name = await IdempotencyService(session, services.clock).name(request, new_id())
        await session.commit()
        return name


class Refused(Exception):  # noqa: N818 - of a driver
    """What a driver raises."""


@pytest.mark.parametrize(("number", "is_retried"), [(1213, True), (1040, False)])
async def test_only_a_deadlock_is_tried_again(
    services: Services, monkeypatch: pytest.MonkeyPatch, number: int, is_retried: bool
) -> None:
    take = IdempotencyKeyRepository.take
    faults = [DBAPIError("INSERT", {}, Refused(number, "refused"))]

    async def take_late(self: IdempotencyKeyRepository, *asked: Any) -> IdempotencyKey | None:
        if faults:
            raise faults.pop()
        return await take(self, *asked)

    monkeypatch.setattr(IdempotencyKeyRepository, "take", take_late)
    asking = named(services, request_of())
    if is_retried:
        assert (await asking).is_new
    else:
        with pytest.raises(DBAPIError):
            await asking
