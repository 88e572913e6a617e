"""Guests: made, seen, forgotten."""

import asyncio
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.auth.guests import sightings, upkeep
from app.auth.guests.dependencies import require_owner
from app.auth.guests.ownership import OwnerRepository
from app.auth.guests.types import Owner
from app.auth.permissions import PermissionDeclarationError, PermissionRegistry
from app.chat.models import Conversation
from app.core.ids import new_id
from app.db.engine import Session
from app.main import Services
from tests.auth.credentials import service_of, token_of
from tests.auth.guests.stage import (
    GONE,
    HEADER,
    Visitor,
    claim,
    guest_rows,
    make_thing,
    owners,
    set_seen,
    visitor,
)
from tests.auth.stage import at, code_of
from tests.conftest import AppFactory, client_of
from tests.statements import recorded_sql
from tests.support import API, Account, ManualClock, answers_of


async def test_a_guest_is_made_with_a_token_that_is_shown_once(
    stranger: httpx.AsyncClient, services: Services, clock: ManualClock
) -> None:
    clock.stop()
    answer = await stranger.post(f"{API}/guests")
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json()
    (row,) = await guest_rows(services)
    assert made["guest"].keys() == {"id", "created_at", "expires_at"}
    assert (str(row.id), row.created_at, row.last_seen_at) == (made["guest"]["id"], clock.now(), clock.now())
    assert (row.claimed_at, row.claimed_by_user_id) == (None, None)
    assert services.auth.guests.codec.decode(made["token"]) is not None
    again = await stranger.get(f"{API}/guests/me", headers={HEADER: made["token"]})
    assert again.json() == made["guest"]


async def test_a_guest_makes_and_finds_its_own_things(guest: Visitor, services: Services) -> None:
    assert (await guest.get("/probe")).json() == {"user_id": None, "guest_id": guest.id}
    made = await guest.request("POST", "/probe")
    assert (await owners(services))[made.json()] == (None, guest.id)


async def test_whoever_has_logged_in_is_no_guest(guest: Visitor, account: Account, probe_app: FastAPI) -> None:
    """Browsers may send both: a living access token wins, and a dead one is refused rather than made a guest's."""
    answer = await guest.get("/probe", headers=account.headers)
    assert answer.json() == {"user_id": account.id, "guest_id": None}
    await at(probe_app, account).request("POST", "/auth/logout")
    assert code_of(await guest.get("/probe", headers=account.headers)) == (401, "invalid_token")


async def test_accounts_own_by_any_token_of_theirs(
    stranger: httpx.AsyncClient, account: Account, admin: Account
) -> None:
    """But machines own nothing: a permission that guests have cannot be given to them."""
    script = await token_of(account)
    for headers in (account.headers, script.headers):
        answer = await stranger.get(f"{API}/probe", headers=headers)
        assert answer.json() == {"user_id": account.id, "guest_id": None}
    machine = await (await service_of(admin)).bearer()
    assert code_of(await stranger.get(f"{API}/probe", headers=machine.headers)) == (403, "insufficient_scope")
    assert code_of(await stranger.get(f"{API}/probe")) == (401, "not_authenticated")


async def test_recognising_a_guest_costs_one_statement(guest: Visitor, probe_services: Services) -> None:
    for method, costs in (("GET", 1), ("POST", 2)):
        with recorded_sql(probe_services.database) as statements:
            assert (await guest.request(method, "/probe")).is_success
            await asyncio.sleep(0)  # asyncpg tells of a query in the loop's next turn
        asked = [text for text in statements if text.lstrip().startswith(("SELECT", "INSERT", "UPDATE"))]
        assert len(asked) == costs, asked  # the other one makes the thing
        assert "guests" in asked[0]


async def test_a_guest_is_seen_once_an_hour(
    guest: Visitor, services: Services, probe_services: Services, clock: ManualClock
) -> None:
    """And reading writes nothing: what was seen is written by and by."""
    clock.stop()
    (made,) = await guest_rows(services)
    clock.advance(minutes=59)
    await guest.get("/probe")
    await probe_services.auth.guests.sightings.write()
    assert (await guest_rows(services))[0].last_seen_at == made.last_seen_at
    clock.advance(minutes=1)
    with recorded_sql(probe_services.database) as statements:
        await guest.get("/probe")
    assert not [text for text in statements if "UPDATE" in text and "FOR " not in text]
    await probe_services.auth.guests.sightings.write()
    assert (await guest_rows(services))[0].last_seen_at == clock.now()
    me = (await guest.get("/guests/me")).json()
    assert me["expires_at"] > me["created_at"]


async def test_sightings_outlive_the_process(
    guest: Visitor, services: Services, make_app: AppFactory, clock: ManualClock
) -> None:
    """They are written at its end, and by and by before it."""
    clock.advance(hours=2)
    async with make_app() as app, client_of(app) as client:
        await client.get(f"{API}/guests/me", headers=guest.headers)
        assert (await guest_rows(services))[0].last_seen_at < clock.now().replace(microsecond=0)
    (row,) = await guest_rows(services)
    assert (clock.now() - row.last_seen_at).total_seconds() < 60


async def test_what_cannot_be_written_is_no_disaster(
    guest: Visitor, probe_services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(hours=2)
    await guest.get("/probe")

    async def away(_self: Session) -> None:
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "commit", away)
        await probe_services.auth.guests.sightings._write_or_log()
    monkeypatch.setattr(sightings, "_BATCH_SIZE", 1)
    await guest.get("/probe")
    await probe_services.auth.guests.sightings.write()
    (row,) = await guest_rows(probe_services)
    assert (clock.now() - row.last_seen_at).total_seconds() < 60


async def test_a_guest_forgets_itself(guest: Visitor, stranger: httpx.AsyncClient, services: Services) -> None:
    """With all that it made, and nothing of anybody else's."""
    other = await visitor(stranger)
    await make_thing(services, guest_id=guest.id)
    kept = await make_thing(services, guest_id=other.id)
    assert (await guest.request("DELETE", "/guests/me")).status_code == 204
    assert set(await owners(services)) == {kept}
    assert code_of(await guest.request("DELETE", "/guests/me")) == GONE


async def test_idle_guests_are_pruned_with_what_they_made(
    guest: Visitor,
    stranger: httpx.AsyncClient,
    services: Services,
    account: Account,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In small transactions; what has come back stays, and so does what was claimed, with its account."""
    monkeypatch.setattr(upkeep, "_BATCH_SIZE", 2)
    idle = [await visitor(stranger) for _ in range(4)]
    for one in idle:
        await make_thing(services, guest_id=one.id)
    claimed = await make_thing(services, guest_id=idle[0].id)
    assert (await claim(account, idle[0].token)).is_success
    kept = await make_thing(services, guest_id=guest.id)
    clock.advance(days=30, minutes=1)
    await set_seen(services, guest.id, clock.now())
    await services.jobs.run_due()
    assert [str(row.id) for row in await guest_rows(services)] == [guest.id]
    found = await owners(services)
    assert found[kept] == (None, guest.id)
    assert found[claimed] == (account.id, None)
    assert len(found) == 3  # the two above, and the other thing of the claimed guest
    assert code_of(await claim(account, idle[1].token)) in {(401, "invalid_token"), (404, "guest_not_found")}


async def test_pruning_stops_somewhere(
    stranger: httpx.AsyncClient, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left over waits for the next hour: no job runs for ever."""
    monkeypatch.setattr(upkeep, "_BATCH_SIZE", 1)
    monkeypatch.setattr(upkeep, "_BATCHES", 2)
    for _ in range(3):
        await visitor(stranger)
    clock.advance(days=31)
    await services.jobs.run_due()
    assert len(await guest_rows(services)) == 1


async def test_a_service_without_guests(guest: Visitor, make_app: AppFactory, account: Account) -> None:
    """Nobody becomes one and nobody acts as one, but what earlier ones made can still be taken over."""
    async with make_app(guests="off") as app, client_of(app) as client:
        assert code_of(await client.post(f"{API}/guests")) == (403, "guests_off")
        assert code_of(await client.get(f"{API}/guests/me", headers=guest.headers)) == GONE
        headers = {**account.headers, **guest.headers}
        assert (await client.post(f"{API}/guests/claim", headers=headers)).is_success


async def test_guests_live_as_long_as_is_set(make_app: AppFactory, clock: ManualClock) -> None:
    async with make_app(guest_days=2) as app, client_of(app) as client:
        guest = await visitor(client)
        clock.advance(days=1, hours=23)
        assert (await guest.get("/guests/me")).is_success
        clock.advance(hours=26 * 24)
        assert code_of(await guest.get("/guests/me")) == GONE


def test_the_document_tells_of_both_tokens(probe_app: FastAPI) -> None:
    document = probe_app.openapi()
    schemes = document["components"]["securitySchemes"]
    assert (schemes["guest"]["type"], schemes["guest"]["in"], schemes["guest"]["name"]) == ("apiKey", "header", HEADER)
    both = document["paths"]["/api/v1/probe"]["get"]
    assert both["security"] == [{"account": ["profile:read"]}, {"guest": []}]
    assert both["description"].endswith("**Access:** permission `profile:read`, or a guest token.")
    assert "invalid_guest_token" in answers_of(document, both)["401"]["description"]
    alone = document["paths"]["/api/v1/guests/me"]["get"]
    assert alone["description"].endswith("**Access:** a guest token.")


async def test_scripts_of_permitted_origins_may_send_it(make_app: AppFactory) -> None:
    """Of no others: that is what keeps a guest token from being sent for somebody."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "Guest-Token, Idempotency-Key"}
    async with make_app(cors_origins=("https://app.example.com",)) as app, client_of(app) as client:
        for origin, status in (("https://app.example.com", 200), ("https://evil.example.com", 400)):
            answer = await client.options(f"{API}/guests", headers={"Origin": origin, **asked})
            assert answer.status_code == status
            assert ("Access-Control-Allow-Origin" in answer.headers) is (status == 200)


async def test_an_owners_rows_are_its_own(guest: Visitor, services: Services, account: Account) -> None:
    """An account's, a guest's, and nobody else's."""

    class Things(OwnerRepository[Conversation]):
        model = Conversation

    of_guest = await make_thing(services, guest_id=guest.id)
    of_account = await make_thing(services, user_id=account.id)
    owned = {Owner(guest_id=UUID(guest.id)): of_guest, Owner(user_id=UUID(account.id)): of_account}
    async with services.database.read_session() as session:
        for owner, thing in owned.items():
            found = await Things(session, services.clock).owned_by(owner).list_()
            assert [str(row.id) for row in found] == [thing]
        assert await Things(session, services.clock).owned_by(Owner(user_id=new_id())).list_() == []


def test_only_permissions_for_guests_let_them_in() -> None:
    registry = PermissionRegistry()
    for_guests = registry.declare("things:use", "Use things", guests=True)
    for_people = registry.declare("things:keep", "Keep things", personal=True)
    for_all = registry.declare("things:count", "Count things")
    assert (for_guests.is_personal, for_people.is_personal, for_all.is_personal) == (True, True, False)
    assert require_owner(for_guests).scopes == [for_guests]
    for permission in (for_people, for_all):
        with pytest.raises(PermissionDeclarationError):
            require_owner(permission)


def test_an_owner_is_an_account_or_a_guest() -> None:
    id_ = new_id()
    assert Owner(user_id=id_).id == Owner(guest_id=id_).id == id_
    for both in ({}, {"user_id": id_, "guest_id": id_}):
        with pytest.raises(ValueError, match="an account or a guest"):
            Owner(**both)
