"""`POST /auth/register`: who gets an account, and what an attacker gets instead."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from app.auth.models import User
from app.auth.passwords import PasswordHasher
from app.main import Services
from tests.auth.scenarios import WRONG_PASSWORD, actions_of, events_of, in_parallel, log_in
from tests.conftest import AppFactory, client_of
from tests.support import API, PASSWORD, Account, register

URL = f"{API}/auth/register"


async def post(client: httpx.AsyncClient, **members: Any) -> httpx.Response:
    return await client.post(URL, json={"email": "ada@example.com", "password": PASSWORD, **members})


async def count_users(services: Services) -> int:
    async with services.database.read_session() as session:
        return int(await session.scalar(select(func.count()).select_from(User)) or 0)


def faults_of(answer: httpx.Response) -> list[tuple[list[Any], str]]:
    assert answer.status_code == 422, answer.text
    return [(fault["loc"], fault["type"]) for fault in answer.json()["errors"]]


async def test_answers_with_the_account_and_never_a_hash(app: FastAPI, client: httpx.AsyncClient) -> None:
    answer = await post(client, username="Ada", full_name=" Ada Lovelace ")
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {
        "id", "email", "username", "full_name", "role", "is_active", "is_superuser", "email_verified_at",
        "last_login_at", "created_at", "updated_at",
    }  # fmt: skip
    assert (body["email"], body["username"], body["full_name"]) == ("ada@example.com", "Ada", "Ada Lovelace")
    assert (body["role"], body["is_active"], body["is_superuser"]) == ("user", True, False)
    assert body["email_verified_at"] is None
    assert body["last_login_at"] is None
    (event,) = await events_of(app, body["id"])
    assert (event.action, event.outcome, str(event.actor_id)) == ("registered", "success", body["id"])
    assert event.request_id == answer.headers["x-request-id"]


@pytest.mark.parametrize("count", [20, 100])
async def test_parallel_registrations_of_one_address_make_one_account(
    app: FastAPI, client: httpx.AsyncClient, services: Services, count: int
) -> None:
    """R2: one row, no 5xx, and all refusals alike, however the address is written."""
    spellings = ["ada@example.com", "ADA@example.com", "Ada@Example.COM", "ａda@example.com"]  # noqa: RUF001
    answers = await in_parallel(post(client, email=spellings[n % len(spellings)]) for n in range(count))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (count - 1)
    refusals = [answer.json() for answer in answers if answer.status_code == 409]
    assert {refusal["code"] for refusal in refusals} == {"email_taken"}
    assert len({str({**refusal, "request_id": None}) for refusal in refusals}) == 1
    assert await count_users(services) == 1
    assert await actions_of(app) == ["registered"]


@pytest.mark.parametrize("count", [20, 100])
async def test_parallel_registrations_of_one_user_name_make_one_account(
    client: httpx.AsyncClient, services: Services, count: int
) -> None:
    """R2, for user names."""
    names = ["ada", "ADA", "Ada"]
    answers = await in_parallel(
        post(client, email=f"ada{n}@example.com", username=names[n % len(names)]) for n in range(count)
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (count - 1)
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"username_taken"}
    assert await count_users(services) == 1


async def test_an_address_is_one_account_however_it_is_written(client: httpx.AsyncClient) -> None:
    """R3: case, compatibility forms and IDNA do not make another account; the display form keeps its case."""
    first = await register(client, email="FIona.B@BÜCHER.de")
    for spelling in ("fiona.b@bücher.de", "FIONA.B@xn--bcher-kva.de", "fiona․b@Bücher。de"):  # noqa: RUF001
        answer = await post(client, email=spelling)
        assert (answer.status_code, answer.json()["code"]) == (409, "email_taken"), spelling
        assert (await log_in(client, spelling, PASSWORD)).is_success, spelling
    me = (await first.get("/users/me")).json()
    assert me["email"] == "FIona.B@BÜCHER.de"
    # Characters that only look alike stay different.
    assert (await post(client, email="fıona.b@bücher.de")).status_code == 201  # noqa: RUF001


async def test_a_user_name_is_one_account_however_it_is_written(client: httpx.AsyncClient) -> None:
    """R3, for user names."""
    await register(client, username="Ada.Lovelace")
    answer = await post(client, username="ada.LOVELACE")
    assert (answer.status_code, answer.json()["code"]) == (409, "username_taken")
    for spelling in ("ADA.lovelace", "ａｄａ.lovelace"):  # noqa: RUF001
        assert (await log_in(client, spelling, PASSWORD)).is_success


@pytest.mark.parametrize(
    "member",
    [
        {"is_admin": True}, {"roles": ["admin"]}, {"role": "admin"}, {"is_superuser": True}, {"email_verified": True},
        {"email_verified_at": "2026-01-01T00:00:00Z"}, {"id": "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"},
        {"is_active": False}, {"hashed_password": "x"}, {"auth_version": 9}, {"row_version": 9},
        {"email_normalized": "root@example.com"}, {"__proto__": {"role": "admin"}},
    ],
    ids=lambda member: next(iter(member)),
)  # fmt: skip
async def test_nobody_gives_themselves_more_than_an_account(
    client: httpx.AsyncClient, services: Services, member: dict[str, Any]
) -> None:
    """R5: unknown members are refused by name, and nothing is made."""
    assert faults_of(await post(client, **member)) == [(["body", next(iter(member))], "extra_forbidden")]
    assert await count_users(services) == 0


@pytest.mark.parametrize(
    ("members", "field", "fault"),
    [
        ({"email": "no address"}, "email", "value_error"),
        ({"email": "ada@"}, "email", "value_error"),
        ({"email": "a" * 250 + "@example.com"}, "email", "too_long"),
        ({"email": "ﷺ" * 20 + "@example.com"}, "email", "value_error"),  # 18 times as long once it is normalised
        ({"email": "ada\n@example.com"}, "email", "value_error"),
        ({"email": "ada\u202e@example.com"}, "email", "value_error"),
        ({"email": None}, "email", "string_type"),
        ({"email": ["ada@example.com"]}, "email", "string_type"),
        ({"password": None}, "password", "string_type"),
        ({"password": 12345678901}, "password", "string_type"),
        ({"password": "short"}, "password", "too_short"),
        ({"password": ""}, "password", "too_short"),
        ({"password": "p" * 257}, "password", "too_long"),
        ({"password": "a long\0passphrase"}, "password", "value_error"),
        ({"username": "ab"}, "username", "string_too_short"),
        ({"username": "a" * 33}, "username", "string_too_long"),
        ({"username": "root@example.com"}, "username", "string_pattern_mismatch"),
        ({"username": "аdmin"}, "username", "string_pattern_mismatch"),  # noqa: RUF001 - the first letter is Cyrillic
        ({"username": "ad\u200bmin"}, "username", "string_pattern_mismatch"),
        ({"username": ".ada"}, "username", "string_pattern_mismatch"),
        ({"full_name": " \t "}, "full_name", "string_too_short"),
        ({"full_name": "Ada\nLovelace"}, "full_name", "value_error"),
        ({"full_name": "A" * 201}, "full_name", "too_long"),
        ({"full_name": "Ada \x1b[2J"}, "full_name", "value_error"),
    ],
)  # fmt: skip
async def test_a_refusal_names_the_field(
    client: httpx.AsyncClient, services: Services, members: dict[str, Any], field: str, fault: str
) -> None:
    """P4, P5 and the issue: 422 with the field, and no account."""
    ((place, kind),) = faults_of(await post(client, **members))
    assert (place, kind) == (["body", field], fault)
    assert await count_users(services) == 0


async def test_a_name_may_be_longer_once_it_is_normalised(client: httpx.AsyncClient) -> None:
    """Every database takes a name whose search form is longer than the name itself."""
    answer = await post(client, full_name="ﷺ" * 200)
    assert answer.status_code == 201, answer.text
    assert answer.json()["full_name"] == "ﷺ" * 200


async def test_a_missing_field_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json={})
    assert faults_of(answer) == [(["body", "email"], "missing"), (["body", "password"], "missing")]


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("Password1", "common"),
        ("qwertyuiop", "too_simple"),
        ("ada.lovelace", "contains_email"),
        ("my Countess9 word", "contains_username"),
        ("MERIT forever", "contains_product_name"),
    ],
)
async def test_a_guessable_password_is_refused_with_its_rule(
    client: httpx.AsyncClient, password: str, rule: str
) -> None:
    """P5: the reason is machine-readable, and the password is not in it."""
    answer = await post(client, email="ada.lovelace@example.com", username="countess9", password=password)
    assert (answer.json()["code"], answer.json()["rule"]) == ("weak_password", rule)
    assert rule in {kind for _, kind in faults_of(answer)}
    assert password not in answer.text


async def test_a_password_counts_to_its_last_character(client: httpx.AsyncClient) -> None:
    """P2: 64 characters of four bytes each, and one that differs only at the end."""
    password = "\U0001f600\U0001f680" * 32
    account = await register(client, password=password)
    assert (await log_in(client, account.email, password[:-1] + "\U0001f681")).status_code == 401
    assert (await log_in(client, account.email, password[:-1])).status_code == 401
    assert (await log_in(client, account.email, password)).is_success


@pytest.mark.parametrize("path", ["register", "login"])
async def test_an_overlong_password_is_refused_without_hashing(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """P3: nothing is handed to the threads that hash."""
    monkeypatch.delattr(PasswordHasher, "_run")
    answer = await client.post(f"{API}/auth/{path}", json={"email": "ada@example.com", "password": "é" * 257})
    assert faults_of(answer) == [(["body", "password"], "too_long")]


@pytest.mark.parametrize(
    "body",
    [
        rb'{"email": "ada@example.com", "password": "a long \u0000 passphrase"}',
        rb'{"email": "ada@example.com", "password": "a long \ud800 passphrase"}',
        rb'{"email": "ada@example.com", "password": "a long passphrase", "\ud800": 1}',
        b'{"email": "ada@example.com", "password": "\xed\xa0\x80 passphrase"}',
        b'{"email": "ada@example.com", "password": "\xff\xfe"}',
        b'{"email": "ada@example.com", "password": ' + b"1" * 5000 + b"}",
        b"[" * 100_000,
        b'{"email": "ada@example.com", "password": "' + b"p" * 10_000_000 + b'"}',
        b"",
        b"null",
        b"\x00",
        "{}".encode("utf-16"),
    ],
    ids=["nul", "surrogate", "surrogate-name", "surrogate-bytes", "not-utf8", "number", "deep", "10MB", "empty",
         "null", "nul-byte", "utf16"],
)  # fmt: skip
async def test_a_hostile_body_is_the_callers_fault(client: httpx.AsyncClient, body: bytes) -> None:
    """P4: never a 5xx, and never an echo of what came."""
    for path in ("register", "login", "refresh", "logout", "token"):
        answer = await client.post(f"{API}/auth/{path}", content=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, answer.text
        assert "passphrase" not in answer.text
        assert len(answer.content) < 5_000


async def test_an_invalid_password_is_not_echoed(client: httpx.AsyncClient) -> None:
    """R6: neither a wrong type nor a broken rule nor a fault elsewhere brings the password back."""
    secret = "Zq-Unmistakable-7731"  # not a secret: sought in the answers
    hostile: list[dict[str, Any]] = [
        {"email": "no address"}, {"password": [secret]}, {"password": {"value": secret}}, {"password": secret * 20},
        {"password": f"{secret}\0"}, {"email": f"{secret}@example.com", "password": secret}, {"extra": secret},
    ]  # fmt: skip
    for members in hostile:
        answer = await post(client, **{"password": secret, **members})
        assert answer.status_code == 422, members
        assert secret not in answer.text
        assert secret not in str(answer.headers)


async def test_closed_registration_makes_no_account_and_tells_nothing(
    make_app: AppFactory, account: Account, services: Services
) -> None:
    """REGISTRATION=closed: the same refusal for new, known and weak, so that nobody learns who has an account."""
    async with make_app(registration="closed") as app, client_of(app) as client:
        answers = [
            await post(client, email="new@example.com"),
            await post(client, email=account.email),
            await post(client, email="new@example.com", username=account.username),
            await post(client, email="new@example.com", password="password"),
        ]
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "registration_closed")}
        assert len({str({**answer.json(), "request_id": None}) for answer in answers}) == 1
        assert (await log_in(client, account.email, account.password)).is_success
    assert await count_users(services) == 1


async def test_a_new_account_cannot_be_entered_with_another_password(client: httpx.AsyncClient) -> None:
    """A second registration never changes the first one's password."""
    account = await register(client)
    assert (await post(client, email=account.email, password=WRONG_PASSWORD)).status_code == 409
    assert (await log_in(client, account.email, WRONG_PASSWORD)).status_code == 401
    assert (await log_in(client, account.email, PASSWORD)).is_success
