"""`POST /auth/refresh`: rotation, its grace window, and what becomes of a stolen token."""

from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.models import AuthSession
from app.auth.permissions import all_permissions
from app.auth.repository import AuthSessionRepository
from app.main import Services
from tests.auth.scenarios import (
    actions_of,
    claims_of,
    events_of,
    in_parallel,
    is_alive,
    log_in,
    log_in_by_form,
    refresh,
    session_of,
)
from tests.conftest import AppFactory, client_of
from tests.support import API, OWN, Account, ManualClock


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """The grace window closes only when the test says so."""
    clock.stop()


async def row_of(services: Services, account: Account) -> AuthSession:
    """The stored session of an account's refresh token."""
    async with services.database.read_session() as session:
        found = await AuthSessionRepository(session, services.clock).get(UUID(account.refresh_token.split(".")[1]))
    assert found is not None
    return found


def refusal_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


INVALID = (400, "invalid_grant")


async def test_gives_new_tokens_of_the_same_session(account: Account, services: Services, clock: ManualClock) -> None:
    before = claims_of(services, account.access_token)
    clock.advance(minutes=9)
    answer = await refresh(account.client, account.refresh_token)
    assert answer.status_code == 200
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    body = answer.json()
    after = claims_of(services, body["access_token"])
    assert (after.sub, after.sid, after.scope, after.client_id) == (
        before.sub, before.sid, before.scope, before.client_id,
    )  # fmt: skip
    assert after.jti != before.jti
    # A refresh is no proof of presence: the login's own time stays (RFC 9470).
    assert after.auth_time == before.auth_time
    assert after.iat >= before.iat + 540
    assert body["refresh_token"].split(".")[1:3] == [str(before.sid), "2"]
    assert await is_alive(account.client, body["access_token"])


async def test_thirty_parallel_uses_make_one_step(account: Account, services: Services) -> None:
    """F1: one generation, one successor, everyone is answered."""
    answers = await in_parallel(refresh(account.client, account.refresh_token) for _ in range(30))
    assert [answer.status_code for answer in answers] == [200] * 30
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert (await row_of(services, account)).rt_generation == 2
    (successor,) = successors
    assert (await refresh(account.client, successor)).is_success


async def test_a_lost_answer_can_be_asked_for_again_for_half_a_minute(
    app: FastAPI, account: Account, clock: ManualClock
) -> None:
    """F2: at +29 s the same successor; at +31 s the session ends, with all its tokens and an event."""
    first = (await refresh(account.client, account.refresh_token)).json()
    clock.advance(seconds=29)
    again = (await refresh(account.client, account.refresh_token)).json()
    assert again["refresh_token"] == first["refresh_token"]
    assert await is_alive(account.client, again["access_token"])
    clock.advance(seconds=2)
    assert refusal_of(await refresh(account.client, account.refresh_token)) == INVALID
    for pair in (first, again):
        assert refusal_of(await refresh(account.client, pair["refresh_token"])) == INVALID
        assert not await is_alive(account.client, pair["access_token"])
    assert not await is_alive(account.client, account.access_token)
    reused, ended = (await events_of(app, account.id))[-2:]
    assert (reused.action, reused.outcome, reused.detail) == ("refresh_reused", "failure", {"generation": 1})
    assert (ended.action, ended.detail) == ("session_ended", {"reason": "refresh_reused"})
    assert reused.session_id == ended.session_id


async def test_repeating_does_not_prolong_the_window(account: Account, clock: ManualClock) -> None:
    """F2: whoever repeats every 20 seconds is not let in for ever."""
    await refresh(account.client, account.refresh_token)
    clock.advance(seconds=20)
    assert (await refresh(account.client, account.refresh_token)).is_success
    clock.advance(seconds=20)
    assert refusal_of(await refresh(account.client, account.refresh_token)) == INVALID


async def test_a_token_two_generations_old_ends_the_session_at_once(app: FastAPI, account: Account) -> None:
    """F3: even inside the window; other sessions of the account live on."""
    other = await session_of(account)
    second = (await refresh(account.client, account.refresh_token)).json()
    third = (await refresh(account.client, second["refresh_token"])).json()
    assert refusal_of(await refresh(account.client, account.refresh_token)) == INVALID
    for pair in (second, third):
        assert refusal_of(await refresh(account.client, pair["refresh_token"])) == INVALID
        assert not await is_alive(account.client, pair["access_token"])
    assert (await actions_of(app, account.id)).count("refresh_reused") == 1
    assert (await refresh(account.client, other.refresh_token)).is_success


async def test_a_thief_cannot_try_a_token_without_being_noticed(account: Account, clock: ManualClock) -> None:
    """F2: a used-up token with a scope that is refused anyway ends the session all the same."""
    current = (await refresh(account.client, account.refresh_token)).json()
    clock.advance(seconds=31)
    assert refusal_of(await refresh(account.client, account.refresh_token, scope="everything")) == INVALID
    assert refusal_of(await refresh(account.client, current["refresh_token"])) == INVALID


async def test_forged_tokens_neither_work_nor_harm_the_session(
    app: FastAPI, account: Account, services: Services
) -> None:
    """F4: whoever knows a session's id can neither renew it nor end it; nothing is even written."""
    _, sid, generation, secret, tag = account.refresh_token.split(".")
    other = await session_of(account)
    _, other_sid, _, other_secret, other_tag = other.refresh_token.split(".")
    before, row = await actions_of(app), await row_of(services, account)
    forgeries = [
        "", "rt1", account.access_token, "\0", "ü", "a" * 256,
        f"rt1.{sid}.{generation}.{'A' * 43}.{tag}",
        f"rt1.{sid}.{generation}.{secret}.{'A' * 22}",
        f"rt1.{sid}.2.{secret}.{tag}",
        f"rt1.{sid}.0.{secret}.{tag}",
        f"rt1.{sid}.{generation}.{secret}.",
        f"rt1.{sid}.{generation}.{secret}",
        f"rt2.{sid}.{generation}.{secret}.{tag}",
        f"rt1.{sid.upper()}.{generation}.{secret}.{tag}",
        f"rt1.{sid}.0{generation}.{secret}.{tag}",
        f"rt1.{sid}.{generation}.{secret}=.{tag}",
        f"rt1.{other_sid}.{generation}.{secret}.{tag}",
        f"rt1.{sid}.{generation}.{other_secret}.{other_tag}",
        f" {account.refresh_token}", f"{account.refresh_token}\n", account.refresh_token[:-1],
    ]  # fmt: skip
    for forgery in forgeries:
        for answer in (
            await refresh(account.client, forgery),
            await log_in_by_form(account.client, grant_type="refresh_token", refresh_token=forgery),
            await account.client.post(f"{API}/auth/logout", json={"refresh_token": forgery, "scope": "all"}),
        ):
            assert answer.status_code in {204, 400, 422}, (forgery, answer.text)
            assert len(forgery) < 10 or forgery not in answer.text
        assert (await refresh(account.client, forgery)).json()["code"] in {"invalid_grant", "validation_failed"}
    assert await actions_of(app) == before
    assert (await row_of(services, account)).__dict__ == row.__dict__
    assert (await refresh(account.client, account.refresh_token)).is_success


async def test_no_token_works_after_a_revocation_has_returned(account: Account) -> None:
    """F5: a hundred times refresh and logout at the same time, either first."""
    client = account.client
    for n in range(100):
        pair = (await log_in(client, account.email, account.password)).json()
        presented = pair["refresh_token"]
        if n % 4 == 3:  # on the way of the grace window too
            pair = (await refresh(client, presented)).json()
        headers = {"Authorization": f"Bearer {pair['access_token']}"}
        calls = [refresh(client, presented), client.post(f"{API}/auth/logout", headers=headers)]
        answers = await in_parallel(reversed(calls) if n % 2 else calls)
        renewed, ended = sorted(answers, key=lambda answer: str(answer.url.path), reverse=True)
        assert ended.status_code == 204
        assert renewed.is_success or refusal_of(renewed) == INVALID
        latest = renewed.json() if renewed.is_success else pair
        assert not await is_alive(client, latest["access_token"])
        assert not await is_alive(client, pair["access_token"])
        assert refusal_of(await refresh(client, latest["refresh_token"])) == INVALID


async def test_a_session_left_alone_for_thirty_days_ends(account: Account, clock: ManualClock) -> None:
    """F6: idle; a used session lives on."""
    other = await session_of(account)
    clock.advance(days=29, hours=23)
    account.refresh_token = (await refresh(account.client, account.refresh_token)).json()["refresh_token"]
    clock.advance(hours=2)
    assert refusal_of(await refresh(account.client, other.refresh_token)) == INVALID
    assert (await refresh(account.client, account.refresh_token)).is_success


async def test_no_rotation_prolongs_a_session_beyond_ninety_days(
    account: Account, services: Services, clock: ManualClock
) -> None:
    """F6: absolute."""
    row = await row_of(services, account)
    absolute = row.absolute_expires_at
    for _ in range(4):
        clock.advance(days=20)
        account.refresh_token = (await refresh(account.client, account.refresh_token)).json()["refresh_token"]
        row = await row_of(services, account)
        assert row.absolute_expires_at == absolute
        assert row.expires_at <= absolute
    assert row.expires_at == absolute
    assert absolute - row.created_at == timedelta(days=90)
    clock.advance(days=10, seconds=-60)
    last = (await refresh(account.client, account.refresh_token)).json()
    assert last["expires_in"] <= 60  # nor does an access token outlive them
    account.refresh_token = last["refresh_token"]
    clock.advance(seconds=61)
    assert refusal_of(await refresh(account.client, account.refresh_token)) == INVALID


async def test_the_scope_may_shrink_and_never_grows(account: Account, services: Services) -> None:
    """F8: not beyond the login's, not by any spelling, and a refusal uses nothing up."""

    async def granted(scope: str | None) -> str:
        answer = await refresh(account.client, account.refresh_token, scope=scope)
        if not answer.is_success:
            return str(answer.json()["code"])
        account.refresh_token = answer.json()["refresh_token"]
        assert set(answer.json()["scope"].split()) == claims_of(services, answer.json()["access_token"]).scope
        return str(answer.json()["scope"])

    await account.login(scope="profile:read")
    assert await granted(None) == "profile:read"
    for wider in ("profile:write", "profile:read profile:write", "users:read", "everything", "Profile:Read"):
        assert await granted(wider) == "invalid_scope"
    assert await granted("profile:read") == "profile:read"
    await account.login()
    assert await granted("profile:read") == "profile:read"
    # The refresh token keeps the scope of the login (RFC 6749 section 6).
    assert await granted(None) == " ".join(sorted(OWN))
    assert await granted("users:write profile:read") == "invalid_scope"


async def test_a_lost_role_takes_its_scope_along(account: Account, admin: Account) -> None:
    """F8: a refresh gives what the account may do now; a narrowed login gains nothing from a promotion."""
    narrow = await session_of(account)
    await narrow.login(scope="profile:read users:read")
    path = f"/admin/users/{account.id}"
    assert (await admin.request("PATCH", path, json={"role": "admin"})).is_success
    wide = (await refresh(account.client, account.refresh_token)).json()
    assert wide["scope"] == " ".join(sorted(all_permissions()))
    still_narrow = (await refresh(account.client, narrow.refresh_token)).json()
    assert still_narrow["scope"] == "profile:read"
    assert (await admin.request("PATCH", path, json={"role": "user"})).is_success
    assert not await is_alive(account.client, wide["access_token"])
    again = (await refresh(account.client, wide["refresh_token"])).json()
    assert again["scope"] == " ".join(sorted(OWN))


async def test_a_token_belongs_to_its_client(app: FastAPI, account: Account, services: Services) -> None:
    """F8: another client's id is refused, in JSON and by form, and does no harm."""
    await account.login(client_id="tablet")
    assert claims_of(services, account.access_token).client_id == "tablet"
    before = await actions_of(app, account.id)
    for client_id in ("merit", "Tablet", "tablet2"):
        assert refusal_of(await refresh(account.client, account.refresh_token, client_id=client_id)) == INVALID
    assert refusal_of(await refresh(account.client, account.refresh_token)) == INVALID
    answer = await log_in_by_form(
        account.client, grant_type="refresh_token", refresh_token=account.refresh_token, client_id="merit"
    )
    assert (answer.status_code, answer.json()["error"]) == INVALID
    assert await actions_of(app, account.id) == before
    answer = await refresh(account.client, account.refresh_token, client_id="tablet")
    assert claims_of(services, answer.json()["access_token"]).client_id == "tablet"


async def test_a_disabled_account_cannot_refresh(account: Account, admin: Account) -> None:
    """F9, S5: nor does enabling it bring its sessions back."""
    assert (await admin.request("POST", f"/admin/users/{account.id}/disable")).is_success
    assert refusal_of(await refresh(account.client, account.refresh_token)) == INVALID
    assert not await is_alive(account.client, account.access_token)
    assert (await admin.request("POST", f"/admin/users/{account.id}/enable")).is_success
    assert refusal_of(await refresh(account.client, account.refresh_token)) == INVALID
    assert not await is_alive(account.client, account.access_token)
    assert (await account.login()).is_success


async def test_a_session_that_is_gone_cannot_be_refreshed(account: Account, services: Services) -> None:
    """F9: the row itself deleted."""
    async with services.database.session() as session:
        sessions = AuthSessionRepository(session, services.clock)
        assert await sessions.delete(UUID(account.refresh_token.split(".")[1]))
        await session.commit()
    assert refusal_of(await refresh(account.client, account.refresh_token)) == INVALID


async def test_a_token_from_the_future_does_no_harm(app: FastAPI, account: Account, services: Services) -> None:
    """After a restored backup a client may hold a later generation than the row: refused, but no theft."""
    old = await row_of(services, account)
    later = (await refresh(account.client, account.refresh_token)).json()["refresh_token"]
    async with services.database.session() as session:
        restored = {AuthSession.rt_hash: old.rt_hash, AuthSession.rt_generation: 1, AuthSession.previous_rt_hash: None}
        assert await AuthSessionRepository(session, services.clock).update(old.id, restored)
        await session.commit()
    assert refusal_of(await refresh(account.client, later)) == INVALID
    assert "refresh_reused" not in await actions_of(app, account.id)
    assert (await refresh(account.client, account.refresh_token)).is_success


async def test_another_secret_key_knows_none_of_our_tokens(make_app: AppFactory, account: Account) -> None:
    """F4: tokens of another installation are noise, even over the same database."""
    other_key = "qWm4-another-random-key-8Zr1Lx7Vb2Ny5Tc9"
    async with make_app(secret_key=other_key, jwt_algorithm="HS256") as app, client_of(app) as client:
        assert refusal_of(await refresh(client, account.refresh_token)) == INVALID
        assert not await is_alive(client, account.access_token)
    assert (await refresh(account.client, account.refresh_token)).is_success
