"""`GET /users/me/events`: a person's own security timeline, and nothing of anyone else."""

from typing import Any
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.bootstrap import create_admin
from app.auth.types import COMMAND_LINE, OPERATOR, AuditAction, Client
from app.auth.user_admin import UserAdminService
from app.main import Services
from tests.auth.audit.trails import FIREFOX
from tests.auth.scenarios import WRONG_PASSWORD, log_in, refresh
from tests.support import API, PASSWORD, Account, ManualClock, register

EVENTS = "/users/me/events"
MEMBERS = {"id", "occurred_at", "action", "outcome", "by", "session_id", "address", "device"}


async def timeline(account: Account, **query: Any) -> list[dict[str, Any]]:
    """The newest events."""
    answer = await account.get(EVENTS, params={"limit": 100, **query})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    assert all(item.keys() == MEMBERS for item in items)
    return items


async def test_a_person_sees_what_happened_to_the_account(account: Account) -> None:
    """What, how it ended, when, from where and on which device, the newest first."""
    body = {"email": account.email, "password": PASSWORD}
    answer = await account.client.post(f"{API}/auth/login", json=body, headers={"User-Agent": FIREFOX})
    session_id = answer.json()["refresh_token"].split(".")[1]
    login, *_, registered = await timeline(account)
    assert (login["action"], login["outcome"], login["by"]) == ("login", "success", "you")
    assert (login["address"], login["device"]) == ("127.0.0.1", "Firefox on Linux")
    assert login["session_id"].replace("-", "") == session_id.replace("-", "")
    assert (registered["action"], registered["by"]) == ("registered", "you")


async def test_whoever_proved_nothing_is_unknown(account: Account, clock: ManualClock) -> None:
    """A failed login or a copied token is not the owner's doing, but where it came from is shown."""
    await log_in(account.client, account.email, WRONG_PASSWORD)
    (failed, *_) = await timeline(account)
    assert (failed["action"], failed["outcome"], failed["by"]) == ("login_failed", "failure", "unknown")
    assert failed["address"] == "127.0.0.1"
    assert failed["device"] is not None
    old = account.refresh_token
    assert (await refresh(account.client, old)).is_success
    clock.advance(seconds=31)
    assert (await refresh(account.client, old)).status_code == 400
    assert (await account.login()).is_success
    by = {event["action"]: event["by"] for event in await timeline(account)}
    assert (by["refresh_reused"], by["session_ended"]) == ("unknown", "system")


async def test_administrators_stay_unseen_but_for_their_deeds(account: Account, admin: Account) -> None:
    """No id, address, device or request of theirs: not even that two deeds were one administrator's."""
    await admin.request("PATCH", f"/admin/users/{account.id}", json={"full_name": "Changed"})
    await admin.request("DELETE", f"/admin/users/{account.id}/sessions")
    assert (await account.login()).is_success
    answer = await account.get(EVENTS)
    deeds = [event for event in answer.json()["items"] if event["by"] == "administrator"]
    assert {event["action"] for event in deeds} == {"user_updated", "session_ended", "user_sessions_ended"}
    assert {(event["address"], event["device"]) for event in deeds} == {(None, None)}
    assert admin.id not in answer.text
    assert admin.email not in answer.text


async def test_what_no_request_did_is_the_systems(services: Services, account: Account) -> None:
    """Commands and jobs have no address, and are nobody."""
    await create_admin(services.database, services.auth, email="chief@example.net", password=PASSWORD)
    chief = Account(account.client, "", "chief@example.net", PASSWORD, None)
    assert (await chief.login()).is_success
    events = await timeline(chief)
    assert [(event["action"], event["by"]) for event in events] == [("login", "you"), ("admin_created", "system")]
    assert events[1]["address"] is None


async def test_what_an_operator_did_is_the_systems(services: Services, account: Account) -> None:
    """A command changes accounts like an administrator, and is none."""
    async with services.database.session() as session:
        await UserAdminService(session, services.auth).end_sessions(OPERATOR, UUID(account.id), COMMAND_LINE)
        await session.commit()
    assert (await account.login()).is_success
    (ended,) = [event for event in await timeline(account) if event["action"] == "session_ended"]
    assert (ended["by"], ended["address"], ended["device"]) == ("system", None, None)


async def test_only_ones_own_events_are_there(services: Services, account: Account, admin: Account) -> None:
    """Neither another's, nor nobody's, nor those that one did to others; however one asks."""
    stranger = await register(account.client)
    await log_in(account.client, "nobody@example.com", PASSWORD)
    await admin.request("PATCH", f"/admin/users/{stranger.id}", json={"full_name": "Changed"})
    mine = [event["id"] for event in await timeline(account)]
    for query in ({"user_id": stranger.id}, {"actor_id": admin.id}):
        assert [event["id"] for event in await timeline(account, **query)] == mine
    assert {event["action"] for event in await timeline(admin)} == {"registered", "login"}
    assert {event["id"] for event in await timeline(stranger)}.isdisjoint(mine)
    async with services.database.session() as session:
        await AuditTrail(session, services.auth).record(AuditAction.LOGIN_FAILED, Client(), user_id=None)
        await session.commit()
    assert [event["id"] for event in await timeline(account)] == mine


async def test_pages_hold_each_event_once(account: Account) -> None:
    """Keyset pages; a position from the administrators' list or another person shows nothing foreign."""
    for number in range(7):
        await account.request("PATCH", "/users/me", json={"full_name": f"Name {number}"})
    whole = [event["id"] for event in await timeline(account)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 4}
    while True:
        page = (await account.get(EVENTS, params=query)).json()
        seen += [event["id"] for event in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == whole
    assert len(whole) == 9
    stranger = await register(account.client)
    foreign = (await stranger.get(EVENTS, params={"cursor": query["cursor"]})).json()["items"]
    assert {event["id"] for event in foreign}.isdisjoint(whole)
    assert (await account.get(EVENTS, params={"cursor": "x"})).status_code == 422


async def test_a_narrowed_token_reads_it_with_the_profile(account: Account) -> None:
    assert (await account.login(scope="profile:read")).is_success
    assert (await account.get(EVENTS)).status_code == 200
    assert (await account.login(scope="profile:write")).is_success
    assert (await account.get(EVENTS)).status_code == 403


async def test_a_reset_that_an_administrator_sent_hides_where_they_are(account: Account, admin: Account) -> None:
    """A reset can be asked for by anyone who proves nothing, but this one was not."""
    answer = await admin.request("POST", f"/admin/users/{account.id}/send-reset")
    assert answer.status_code == 202
    (event,) = [event for event in await timeline(account) if event["action"] == "password_reset_requested"]
    assert (event["by"], event["address"], event["device"]) == ("administrator", None, None)
