"""What people try with guest tokens, and with other people's."""

from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from app.main import Services
from tests.auth.credentials import Bearer, token_of
from tests.auth.guests.stage import GONE, HEADER, Visitor, claim, make_thing, owners, visitor
from tests.auth.stage import code_of
from tests.statements import recorded_sql
from tests.support import API, PASSWORD, Account, ManualClock, register

PROBE = f"{API}/probe"
NOBODY = (401, "not_authenticated")


@pytest.mark.parametrize("where", ["Guest-Token", "guest_token", "token", "access_token", "mgt"])
async def test_a_token_in_the_address_counts_for_nothing(guest: Visitor, where: str) -> None:
    """Addresses are logged, and whoever sends someone a link must not become, or plant, a guest by it."""
    answer = await guest.client.get(PROBE, params={where: guest.token})
    assert code_of(answer) == NOBODY


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "Guest-Token={text}; guest_token={text}; __Host-merit_guest={text}"},
        {"X-Guest-Token": "{text}"},
        {"Authorization": "Guest {text}"},
        {"Authorization": "Basic {text}"},
    ],
)
async def test_no_other_header_carries_it(guest: Visitor, headers: dict[str, str]) -> None:
    """A cookie least of all: other sites' requests, and neighbouring domains, could plant one (session fixation)."""
    filled = {name: value.format(text=guest.token) for name, value in headers.items()}
    assert code_of(await guest.client.get(PROBE, headers=filled)) == NOBODY


async def test_it_is_no_bearer_token(guest: Visitor) -> None:
    for path in ("/probe", "/users/me", "/guests/me"):
        answer = await Bearer(guest.client, "", guest.token).get(path)
        assert answer.status_code == 401, path
    login = {"email": "ada@example.com", "password": guest.token}
    assert code_of(await guest.client.post(f"{API}/auth/login", json=login)) == (401, "invalid_credentials")


async def test_no_other_secret_is_one(stranger: httpx.AsyncClient, account: Account) -> None:
    """Neither a personal token nor an access token, also not in a guest's clothes."""
    personal = await token_of(account)
    for text in (account.access_token, account.refresh_token, personal.text, "mgt" + personal.text[3:]):
        assert code_of(await stranger.get(PROBE, headers={HEADER: text})) == GONE


@pytest.mark.parametrize(
    "change", ["{}x", "x{}", '"{}"', "Bearer {}", "{},{}", "{}=", "{}\xa0", "", "mgt_", "MGT{}", "mgt_{}_", "%6dgt"]
)
async def test_nothing_around_it_is_forgiven(guest: Visitor, services: Services, change: str) -> None:
    """All get one answer, and none costs a statement."""
    value = change.replace("{}", guest.token).encode("latin-1")
    with recorded_sql(services.database) as statements:
        answer = await guest.client.get(PROBE, headers=[(HEADER.encode(), value)])
    assert code_of(answer) == GONE
    assert "detail" not in answer.json()
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="merit"'
    assert statements == []


async def test_two_tokens_are_none(guest: Visitor, stranger: httpx.AsyncClient) -> None:
    other = await visitor(stranger)
    answer = await stranger.get(PROBE, headers=[(HEADER, guest.token), (HEADER, other.token)])
    assert code_of(answer) == GONE


async def test_every_dead_token_gets_the_same_answer(
    guest: Visitor, stranger: httpx.AsyncClient, services: Services, account: Account, clock: ManualClock
) -> None:
    """Whoever tries tokens does not learn whether somebody claimed, deleted or forgot them, or whether they were."""
    claimed, deleted = await visitor(stranger), await visitor(stranger)
    assert (await claim(account, claimed.token)).is_success
    assert (await deleted.request("DELETE", "/guests/me")).is_success
    made_up = services.auth.guests.codec.new(UUID(guest.id)).text  # ours by its form, and of a guest who exists
    answers = {(await guest.client.get(PROBE, headers={HEADER: text})).text for text in (made_up[:-1], "mgt_1_2")}
    for text in (claimed.token, deleted.token, made_up):
        answer = await stranger.get(PROBE, headers={HEADER: text})
        assert code_of(answer) == GONE
        answers.add(answer.text)
    clock.advance(days=31)
    answers.add((await guest.get("/probe")).text)
    assert len({text.partition('"request_id"')[0] for text in answers}) == 1


async def test_the_id_alone_claims_nothing(guest: Visitor, services: Services, account: Account) -> None:
    """Ids of guests are no secret: neither one, nor a token around one, makes things change hands."""
    thing = await make_thing(services, guest_id=guest.id)
    made_up = services.auth.guests.codec.new(UUID(guest.id)).text
    for text in (guest.id, UUID(guest.id).hex, f"mgt_{guest.id}", made_up):
        assert code_of(await claim(account, text)) == (404, "guest_not_found")
        body = {"guest_id": guest.id, "id": guest.id, "token": guest.token}
        refused = await account.request("POST", "/guests/claim", json=body, params=body)
        assert code_of(refused) == (422, "validation_failed"), "the header is what counts"
        assert (await account.login()).is_success
    assert (await owners(services))[thing] == (None, guest.id)
    assert (await guest.get("/probe")).is_success


async def test_a_guest_claims_nothing_for_itself(guest: Visitor, stranger: httpx.AsyncClient) -> None:
    """Claiming needs an account, and one that has logged in: no other guest, and no program with a token of it."""
    other = await visitor(stranger)
    assert code_of(await other.request("POST", "/guests/claim")) == NOBODY
    account = await register(stranger)
    script = await token_of(account, "profile:write")
    answer = await script.request("POST", "/guests/claim", headers={HEADER: guest.token})
    assert code_of(answer) == (403, "session_required")
    await account.login(scope="profile:read")
    assert code_of(await claim(account, guest.token)) == (403, "insufficient_scope")


async def test_a_planted_guest_is_lost_to_whoever_planted_it(
    guest: Visitor, services: Services, account: Account, stranger: httpx.AsyncClient
) -> None:
    """Session fixation: the victim logs in with the attacker's token, and writes on. The attacker reads none of it."""
    planted = await make_thing(services, guest_id=guest.id)
    victim = {"email": account.email, "password": account.password}
    assert (await stranger.post(f"{API}/auth/login", json=victim, headers=guest.headers)).is_success
    assert (await owners(services))[planted] == (account.id, None)
    assert code_of(await guest.get("/probe")) == GONE
    attacker = await register(stranger)
    assert code_of(await claim(attacker, guest.token)) == (409, "guest_claimed")


async def test_a_failed_login_claims_nothing(guest: Visitor, services: Services, account: Account) -> None:
    """A guest token is moved by who proves an account, never by who names one."""
    thing = await make_thing(services, guest_id=guest.id)
    for body in ({"email": account.email, "password": "wrong"}, {"email": "nobody@example.com", "password": PASSWORD}):
        answer = await guest.client.post(f"{API}/auth/login", json=body, headers=guest.headers)
        assert code_of(answer) == (401, "invalid_credentials")
    scope = {"email": account.email, "password": account.password, "scope": "everything"}
    assert (await guest.client.post(f"{API}/auth/login", json=scope, headers=guest.headers)).status_code == 400
    taken = {"email": account.email, "password": PASSWORD}
    assert (await guest.client.post(f"{API}/auth/register", json=taken, headers=guest.headers)).status_code == 409
    assert (await owners(services))[thing] == (None, guest.id)


async def test_networks_make_a_bounded_number_of_guests(stranger: httpx.AsyncClient, clock: ManualClock) -> None:
    """A row each, for nothing: after a hundred an hour, one a second, then ever fewer."""
    clock.stop()
    for _ in range(101):
        assert (await stranger.post(f"{API}/guests")).status_code == 201
    refused = await stranger.post(f"{API}/guests")
    assert code_of(refused) == (429, "guests_throttled")
    assert refused.headers["Retry-After"] == "1"
    clock.advance(seconds=2)
    assert (await stranger.post(f"{API}/guests")).is_success
    assert (await stranger.post(f"{API}/guests")).headers["Retry-After"] == "2"
    clock.advance(hours=1, seconds=5)
    assert (await stranger.post(f"{API}/guests")).is_success


async def test_the_secret_is_kept_as_a_digest(guest: Visitor, services: Services) -> None:
    """Whoever reads the table is no guest by it."""
    async with services.database.reader.connect() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM guests")).all()
    assert guest.token.rpartition("_")[2] not in repr(rows)
    assert len(rows) == 1


async def test_a_guest_who_was_away_too_long_is_gone_before_the_broom_comes(
    guest: Visitor, services: Services, account: Account, clock: ManualClock
) -> None:
    clock.advance(days=30, seconds=1)
    await account.login()
    assert code_of(await guest.get("/guests/me")) == GONE
    assert code_of(await guest.request("POST", "/probe")) == GONE
    assert code_of(await claim(account, guest.token)) == (404, "guest_not_found")
    assert clock.offset > timedelta(days=30)
    assert await owners(services) == {}
