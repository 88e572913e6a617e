"""Making, listing and revoking personal access tokens, and who may not."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.errors import InvalidTokenError
from app.auth.personal_tokens.service import PersonalTokenService
from app.auth.secret_texts import pattern_of
from app.auth.sessions import SessionManager
from app.auth.types import Client, Principal, PrincipalKind, SessionEndReason
from app.core.ids import new_id
from app.main import Services
from tests.auth.credentials import Bearer, make_token, token_of
from tests.auth.scenarios import as_bytes, claims_of, events_of, in_parallel, log_in, session_of, spellings, stored_rows
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.support import PASSWORD, Account, ManualClock, register

TOKENS = "/users/me/tokens"


async def items_of(account: Account, path: str = TOKENS) -> list[dict[str, Any]]:
    answer = await account.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


async def test_a_token_is_shown_once(account: Account) -> None:
    """K1: its text is in the answer to its making, which no cache may keep, and nowhere else."""
    made = await make_token(account, "profile:read", "profile:write", name="  nightly report ")
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    body = made.json()
    assert re.fullmatch(pattern_of("pat"), body["text"])
    assert body["token"]["name"] == "nightly report"
    assert body["token"]["scopes"] == ["profile:read", "profile:write"]
    assert body["token"]["last_used_at"] is body["token"]["last_used_address"] is None
    listed = await account.get(TOKENS)
    assert listed.json() == {"items": [body["token"]], "next_cursor": None}
    assert body["text"][30:] not in listed.text


async def test_a_dump_holds_nothing_to_present(app: FastAPI, account: Account) -> None:
    """F7, K1: only the SHA-256 is stored, and no part of the token that matters, in no usual spelling."""
    token = await token_of(account)
    assert (await token.get("/users/me")).is_success
    secret = token.text.rpartition("_")[2]
    dump = as_bytes(await stored_rows(app))
    assert b"script" in dump  # it is the right haystack
    for part in (token.text, secret, secret[:54], secret[:43]):
        assert not any(spelling in dump for spelling in spellings(part.encode()))


async def test_it_lives_as_long_as_asked(account: Account, clock: ManualClock) -> None:
    """90 days by default, a year at most; from then on it is as dead as an unknown one."""
    clock.stop()
    by_default, longest = await token_of(account), await token_of(account, expires_in_days=365)
    lives = [datetime.fromisoformat(item["expires_at"]) - clock.now() for item in await items_of(account)]
    assert lives == [timedelta(days=365), timedelta(days=90)]
    clock.advance(days=90, seconds=-1)
    assert (await by_default.get("/users/me")).is_success
    clock.advance(seconds=1)
    assert code_of(await by_default.get("/users/me")) == (401, "invalid_token")
    clock.advance(days=275, seconds=-1)
    assert (await longest.get("/users/me")).is_success
    clock.advance(seconds=1)
    assert code_of(await longest.get("/users/me")) == (401, "invalid_token")


@pytest.mark.parametrize(
    "members",
    [
        {"expires_in_days": 0},
        {"expires_in_days": 366},
        {"expires_in_days": 10**30},
        {"expires_in_days": None},
        {"scopes": []},
        {"scopes": "profile:read"},
        {"scopes": [""]},
        {"scopes": ["profile:read"] * 101},
        {"scopes": ["x" * 65]},
        {"scopes": ["a\ud800"]},
        {"name": " "},
        {"name": "x" * 101},
        {"name": "two\nlines"},
        {"name": "nul\x00"},
        {"id": "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"},
        {"user_id": "0199c2a4-7d1e-7c3a-9f52-6b1d2e8f4a01"},
        {"token_hash": "x"},
    ],
)
async def test_bad_input_is_refused(account: Account, members: dict[str, Any]) -> None:
    """Whatever does not fit is a 422, and makes nothing."""
    body = {"name": "script", "scopes": ["profile:read"], **members}
    content = repr(body).replace("'", '"').replace("None", "null").encode("utf-8", "surrogatepass")
    answer = await account.request("POST", TOKENS, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert await items_of(account) == []


async def test_scopes_are_part_of_what_the_maker_may_do(account: Account, admin: Account) -> None:
    """K2 at its making: neither an unknown permission nor one that the maker lacks, alone or beside others."""
    for scopes in (["users:read"], ["profile:read", "users:write"]):
        assert code_of(await make_token(account, *scopes)) == (403, "permission_not_held"), scopes
    for scopes in (["nothing:such"], ["profile:read", "x"], ["profile:read profile:write"]):
        assert code_of(await make_token(account, *scopes)) == (400, "invalid_scope"), scopes
    assert await items_of(account) == []
    token = await token_of(admin, "users:read", "users:read")
    assert (await token.get("/admin/users")).is_success


async def test_a_narrowed_session_makes_only_narrowed_tokens(client: httpx.AsyncClient, admin: Account) -> None:
    """An administrator's session for the profile alone cannot widen itself through a token."""
    narrow = await session_of(admin)
    assert (await narrow.login(scope="profile:write")).is_success
    assert code_of(await make_token(narrow, "users:write")) == (403, "permission_not_held")
    assert code_of(await make_token(narrow, "profile:read")) == (403, "permission_not_held")
    assert (await make_token(narrow, "profile:write")).is_success
    assert (await narrow.login(scope="profile:read")).is_success
    assert code_of(await make_token(narrow, "profile:read")) == (403, "insufficient_scope")


async def test_making_one_needs_a_fresh_login(account: Account, clock: ManualClock) -> None:
    """M4: five minutes after the login it is refused; listing and revoking are not."""
    token = await token_of(account)
    clock.advance(seconds=301)
    answer = await make_token(account)
    assert code_of(answer) == (401, "insufficient_user_authentication")
    assert 'max_age="300"' in answer.headers["WWW-Authenticate"]
    assert len(await items_of(account)) == 1
    assert (await account.request("DELETE", f"{TOKENS}/{token.id}")).status_code == 204


async def test_another_user_s_token_is_as_absent_as_none(account: Account) -> None:
    """404 alike, and it lives on."""
    token, stranger = await token_of(account), await register(account.client)
    foreign = await stranger.request("DELETE", f"{TOKENS}/{token.id}")
    unknown = await stranger.request("DELETE", f"{TOKENS}/{new_id()}")
    assert code_of(foreign) == code_of(unknown) == (404, "token_not_found")
    assert await items_of(stranger) == []
    assert (await token.get("/users/me")).is_success
    session = await account.request("DELETE", f"/users/me/sessions/{token.id}")
    assert code_of(session) == (404, "session_not_found")


async def test_the_number_is_bounded(make_app: AppFactory, clock: ManualClock) -> None:
    """MAX_PERSONAL_TOKENS_PER_USER: parallel requests cannot pass it; what is revoked or expired does not count."""
    async with make_app(max_personal_tokens_per_user=3) as app, client_of(app) as client:
        account, other = await register(client), await register(client)
        answers = await in_parallel(make_token(account, expires_in_days=30) for _ in range(12))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 9
        assert {code_of(answer) for answer in answers if answer.is_error} == {(409, "too_many_tokens")}
        assert (await make_token(other)).is_success
        first = (await items_of(account))[0]["id"]
        assert (await account.request("DELETE", f"{TOKENS}/{first}")).is_success
        assert (await make_token(account)).is_success
        clock.advance(days=31)
        await account.login()
        assert (await make_token(account)).is_success


async def test_a_list_comes_in_pages(account: Account) -> None:
    made = [(await token_of(account, name=f"script {n}")).id for n in range(5)]
    found, cursor = [], None
    for _ in range(3):
        query = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = (await account.get(TOKENS, params=query)).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert found == made[::-1]
    assert code_of(await account.get(TOKENS, params={"cursor": "x"})) == (422, "invalid_cursor")


async def test_every_step_is_an_event(app: FastAPI, account: Account, admin: Account) -> None:
    """A3: making and revoking, by the owner and by an administrator, with the token's id and never its text."""
    first = await token_of(account, name="one")
    second = await token_of(account, name="two")
    await account.request("DELETE", f"{TOKENS}/{first.id}")
    await admin.request("DELETE", f"/admin/users/{account.id}/tokens")
    found = [event for event in await events_of(app, account.id) if "personal_token" in event.action]
    assert [(event.action, event.detail.get("token_id")) for event in found] == [
        ("personal_token_created", first.id),
        ("personal_token_created", second.id),
        ("personal_token_revoked", first.id),
        ("personal_token_revoked", second.id),
    ]
    assert [event.detail.get("reason") for event in found[2:]] == ["ended_by_owner", "ended_by_admin"]
    assert [str(event.actor_id) for event in found] == [account.id] * 3 + [admin.id]
    assert found[0].detail["name"] == "one"
    assert found[0].detail["scopes"] == ["profile:read"]
    assert found[0].request_id
    assert not any(token.text in repr(event.detail) for token in (first, second) for event in found)


async def test_administrators_see_and_revoke_anyone_s(account: Account, admin: Account) -> None:
    """And nobody else does; an unknown account is a 404."""
    token = await token_of(account)
    mine = await token_of(admin)
    path = f"/admin/users/{account.id}/tokens"
    assert [item["id"] for item in await items_of(admin, path)] == [token.id]
    for method in ("GET", "DELETE"):
        refused = await account.request(method, f"/admin/users/{admin.id}/tokens")
        assert code_of(refused) == (403, "insufficient_scope")
        assert code_of(await admin.request(method, f"/admin/users/{new_id()}/tokens")) == (404, "user_not_found")
    for _ in range(2):
        assert (await admin.request("DELETE", path)).status_code == 204
        assert code_of(await token.get("/users/me")) == (401, "invalid_token")
        assert await items_of(account) == []
    assert (await mine.get("/users/me")).is_success


async def test_a_superuser_s_tokens_are_revoked_by_superusers_only(
    client: httpx.AsyncClient, admin: Account, make_admin: Any
) -> None:
    superuser = await make_admin(await register(client), is_superuser=True)
    token = await token_of(superuser)
    answer = await admin.request("DELETE", f"/admin/users/{superuser.id}/tokens")
    assert code_of(answer) == (403, "superuser_protected")
    assert (await token.get("/users/me")).is_success
    assert (await superuser.request("DELETE", f"/admin/users/{superuser.id}/tokens")).status_code == 204
    assert code_of(await token.get("/users/me")) == (401, "invalid_token")


async def end_everything(services: Services, account: Account) -> None:
    """What a reset of the password does: all sessions and all personal tokens of the account end."""
    async with services.database.session() as session:
        user_id, reason = UUID(account.id), SessionEndReason.PASSWORD_CHANGED
        await PersonalTokenService(session, services.auth).revoke_all(user_id, Client(), reason)
        await SessionManager(session, services.auth).end_all(user_id, reason, Client())
        await session.commit()


async def test_all_of_an_account_die_together(services: Services, account: Account) -> None:
    """P8: what a reset of the password calls; other accounts keep theirs."""
    other = await register(account.client)
    tokens, kept = [await token_of(account) for _ in range(3)], await token_of(other)
    for token in (*tokens, kept):
        assert (await token.get("/users/me")).is_success
    await end_everything(services, account)
    for token in tokens:
        assert code_of(await token.get("/users/me")) == (401, "invalid_token")
    assert (await kept.get("/users/me")).is_success
    await account.login()
    assert await items_of(account) == []


async def test_none_is_made_while_all_end(services: Services, account: Account) -> None:
    """P8: requests that were let in before the end, and come to their turn after it, make nothing that lives."""
    await token_of(account)
    made, _ = await asyncio.gather(
        in_parallel(make_token(account) for _ in range(10)), end_everything(services, account)
    )
    assert {answer.status_code for answer in made} <= {201, 401}
    for answer in made:
        if answer.is_success:
            token = Bearer(account.client, answer.json()["token"]["id"], answer.json()["text"])
            assert code_of(await token.get("/users/me")) == (401, "invalid_token")
    await account.login()
    assert await items_of(account) == []


async def test_a_caller_whose_session_has_ended_makes_none(services: Services, account: Account) -> None:
    """The caller is looked at again under the lock: the session may have ended since the request was let in."""
    claims = claims_of(services, account.access_token)
    auth_time = services.clock.now()
    principal = Principal(PrincipalKind.SESSION, claims.sub, claims.sid, "merit", claims.scope, auth_time)
    await account.request("POST", "/auth/logout")
    async with services.database.session() as session:
        service = PersonalTokenService(session, services.auth)
        with pytest.raises(InvalidTokenError):
            await service.create(
                principal, name="late", scopes=["profile:read"], lifetime=timedelta(days=1), client=Client()
            )
        await session.rollback()
    await account.login()
    assert await items_of(account) == []


async def test_a_change_of_password_keeps_them(account: Account) -> None:
    """A decision: a script goes on; a reset, after a loss of control, ends it."""
    token = await token_of(account)
    body = {"current_password": PASSWORD, "new_password": "another passphrase 43"}
    assert (await account.request("POST", "/users/me/password", json=body)).status_code == 204
    assert (await token.get("/users/me")).is_success
    assert (await log_in(account.client, account.email, "another passphrase 43")).is_success


async def test_expired_ones_go_after_a_month(services: Services, account: Account, clock: ManualClock) -> None:
    """Until then their owner finds them in the list, and sees when they were last used."""
    clock.stop()
    await token_of(account, expires_in_days=1)
    for days, number in ((30.9, 1), (0.2, 0)):
        clock.advance(days=days)
        await services.jobs.run_due()
        await account.login()
        assert len(await items_of(account)) == number
