"""REGISTRATION=verified under attack: an account is made by whoever reads the mailbox *and* began the registration."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from app.auth.errors import HashQueueFullError
from app.auth.models import User
from app.auth.one_time_tokens.types import MAX_CODE_TRIES
from app.main import Services
from tests.auth.mail_flows.flows import post, register, token_of, token_to
from tests.auth.scenarios import in_parallel, log_in
from tests.auth.stage import code_of
from tests.conftest import AppFactory, client_of
from tests.mailbox import Mailbox, links_in, text_of
from tests.support import PASSWORD, ManualClock

VICTIM = "victim@example.com"
EVIL = "the attackers phrase 9"
INVALID = (400, "code_invalid")


@pytest.fixture(autouse=True)
def _stopped_clock(clock: ManualClock) -> None:
    """Links grow old only when the test says so."""
    clock.stop()


@pytest.fixture
async def verified(make_app: AppFactory) -> AsyncIterator[FastAPI]:
    """An application with REGISTRATION=verified."""
    async with make_app(registration="verified") as app:
        yield app


@pytest.fixture
async def visitor(verified: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `verified`."""
    async with client_of(verified) as client:
        yield client


@pytest.fixture
def inbox(verified: FastAPI) -> Mailbox:
    """The mails that `verified` has sent."""
    return Mailbox(verified.state.merit)


async def complete(client: httpx.AsyncClient, token: str, password: str | None = PASSWORD) -> httpx.Response:
    return await post(client, "/auth/verify-email", token=token, **({} if password is None else {"password": password}))


async def count_users(services: Services) -> int:
    async with services.database.read_session() as session:
        return int(await session.scalar(select(func.count()).select_from(User)) or 0)


async def test_a_link_of_someone_elses_registration_makes_no_account(
    verified: FastAPI, visitor: httpx.AsyncClient, inbox: Mailbox
) -> None:
    """Pre-hijacking: the attacker registers last, the owner follows the newest link with the password of his own."""
    await register(visitor, VICTIM)
    mine = await token_to(inbox, VICTIM)
    await register(visitor, VICTIM, password=EVIL, username="evil")
    attackers = await token_to(inbox, VICTIM)
    assert code_of(await complete(visitor, attackers, None)) == (422, "password_required")
    assert code_of(await complete(visitor, attackers)) == INVALID
    assert await count_users(verified.state.merit) == 0
    assert (await complete(visitor, mine)).status_code == 204
    assert (await log_in(visitor, VICTIM, PASSWORD)).is_success
    assert (await log_in(visitor, VICTIM, EVIL)).status_code == 401
    assert code_of(await complete(visitor, attackers, EVIL)) == (400, "token_unknown")


async def test_nor_does_its_code(verified: FastAPI, visitor: httpx.AsyncClient, inbox: Mailbox) -> None:
    """A right code with the wrong password is answered like a wrong code."""
    await register(visitor, VICTIM, password=EVIL)
    code = await inbox.code(VICTIM)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    proof = {"email": VICTIM, "code": code}
    assert code_of(await post(visitor, "/auth/verify-email", **proof)) == (422, "password_required")
    answers = [
        await post(visitor, "/auth/verify-email", **proof, password=PASSWORD),
        await post(visitor, "/auth/verify-email", email=VICTIM, code=wrong, password=EVIL),
    ]
    assert len({str({**answer.json(), "request_id": None}) for answer in answers}) == 1
    assert {code_of(answer) for answer in answers} == {INVALID}
    assert await count_users(verified.state.merit) == 0


async def test_a_mistyped_password_leaves_the_link_alive(visitor: httpx.AsyncClient, inbox: Mailbox) -> None:
    await register(visitor, VICTIM)
    token = await token_to(inbox, VICTIM)
    for _ in range(MAX_CODE_TRIES - 1):
        assert code_of(await complete(visitor, token, EVIL)) == INVALID
    assert (await complete(visitor, token)).status_code == 204


async def test_the_password_cannot_be_guessed(visitor: httpx.AsyncClient, inbox: Mailbox, clock: ManualClock) -> None:
    """Five wrong ones, by link and code together, end a registration; asking for the mail again is no help."""
    await register(visitor, VICTIM)
    token, code = await token_to(inbox, VICTIM), await inbox.code(VICTIM)
    for _ in range(MAX_CODE_TRIES - 1):
        assert code_of(await complete(visitor, token, EVIL)) == INVALID
    by_code = {"email": VICTIM, "code": code}
    assert code_of(await post(visitor, "/auth/verify-email", **by_code, password=EVIL)) == INVALID
    assert code_of(await complete(visitor, token)) == INVALID
    assert code_of(await post(visitor, "/auth/verify-email", **by_code, password=PASSWORD)) == INVALID
    clock.advance(hours=23)
    await post(visitor, "/auth/verify-email/resend", email=VICTIM)
    assert await token_to(inbox, VICTIM) == token
    assert code_of(await complete(visitor, token)) == INVALID


async def test_twenty_guesses_at_once_are_five(
    verified: FastAPI, visitor: httpx.AsyncClient, inbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brute force in parallel: a try is counted before it is looked at."""
    await register(visitor, VICTIM)
    token = await token_to(inbox, VICTIM)
    hasher = verified.state.merit.auth.hasher
    looked_at, verify = [], hasher.verify

    async def look(password: str, hashed: str | None) -> object:
        looked_at.append(password)
        return await verify(password, hashed)

    monkeypatch.setattr(hasher, "verify", look)
    answers = await in_parallel(complete(visitor, token, f"a guess of many {n}") for n in range(20))
    assert {code_of(answer) for answer in answers} == {INVALID}
    assert len(looked_at) == MAX_CODE_TRIES


async def test_guesses_of_strangers_do_not_spend_the_owners_tries(visitor: httpx.AsyncClient, inbox: Mailbox) -> None:
    """Wrong codes and forged links can come from anyone: they lock no link out."""
    await register(visitor, VICTIM)
    token = await token_to(inbox, VICTIM)
    for n in range(8):
        await post(visitor, "/auth/verify-email", email=VICTIM, code=f"{n:06}", password=EVIL)
        await complete(visitor, token[:-1] + ("a" if token[-1] != "a" else "b"), EVIL)
    assert (await complete(visitor, token)).status_code == 204


async def test_a_try_that_nobody_looked_at_does_not_count(
    verified: FastAPI, visitor: httpx.AsyncClient, inbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await register(visitor, VICTIM)
    token = await token_to(inbox, VICTIM)

    async def refuse(*_: object) -> None:
        raise HashQueueFullError

    with monkeypatch.context() as patch:
        patch.setattr(verified.state.merit.auth.hasher, "verify", refuse)
        for _ in range(MAX_CODE_TRIES + 2):
            assert code_of(await complete(visitor, token)) == (503, "hash_queue_full")
    assert (await complete(visitor, token)).status_code == 204


async def test_the_page_asks_for_the_password(visitor: httpx.AsyncClient, inbox: Mailbox) -> None:
    """The link in the mail leads to it; a wrong one is refused in words beside the form, and not shown again."""
    await register(visitor, VICTIM)
    mail = await inbox.latest(VICTIM)
    assert "with the password that you chose" in text_of(mail)
    link = links_in(mail)[0]
    shown = await visitor.get(link)
    assert "The password that you chose" in shown.text
    assert 'autocomplete="current-password"' in shown.text
    fields = {"token": token_of(link), "password": EVIL}
    refused = await visitor.post("/account/register", data=fields)
    assert refused.status_code == 400
    assert "This is not the password that you chose" in refused.text
    assert "<form" in refused.text
    assert EVIL not in refused.text
    assert (await visitor.post("/account/register", data={"token": fields["token"]})).status_code == 422
    assert "Welcome!" in (await visitor.post("/account/register", data={**fields, "password": PASSWORD})).text
    assert (await log_in(visitor, VICTIM, PASSWORD)).is_success
