"""The chain of the audit trail: contiguous whatever happens at once, and the same on every database."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import event
from structlog.testing import capture_logs

from app.auth.audit import AuditTrail
from app.auth.audit.chain import COVERED_COLUMNS, AuditChain
from app.auth.audit.types import BEFORE_FIRST, FaultKind, Link
from app.auth.models import AuditEvent
from app.auth.types import AuditAction, AuditOutcome, Client
from app.core.clock import Clock
from app.core.ids import new_id
from app.main import Services
from tests.auth.audit.trails import CLIENT, execute, faults, record, stored, verify
from tests.auth.scenarios import in_parallel, log_in
from tests.conftest import AppFactory, client_of
from tests.support import API, PASSWORD, Account, register

# What JSON and every database can hold: no NUL, no lone surrogates, integers of 64 bits.
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e16, 1e22, 1e23, 1e300, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2.0**63]),
    TEXTS,
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda moment: moment.replace(tzinfo=UTC)),  # noqa: DTZ001
    st.uuids(),
    st.sampled_from(AuditOutcome),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
DETAILS = st.dictionaries(TEXTS, VALUES, max_size=4)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(details=st.lists(DETAILS, min_size=1, max_size=20), agent=TEXTS.filter(lambda text: text.isprintable()))
async def test_whatever_an_event_holds_it_is_the_same_when_read(
    services: Services, details: list[dict[str, Any]], agent: str
) -> None:
    """A4: numbers, texts, key orders, moments and ids survive every database as what was authenticated."""
    async with services.database.session() as session:
        trail = AuditTrail(session, services.auth)
        for detail in details:
            client = Client(address="2001:db8::1", user_agent=agent, request_id=None)
            await trail.record(AuditAction.LOGIN, client, user_id=new_id(), detail=detail)
        await session.commit()
    assert await faults(services) == []


async def test_parallel_transactions_make_one_chain(services: Services) -> None:
    """Fifty transactions at once, every fifth rolled back: contiguous from 1, without a deadlock."""

    async def write(number: int) -> bool:
        async with services.database.session() as session:
            trail = AuditTrail(session, services.auth)
            for _ in range(number % 3 + 1):
                await trail.record(AuditAction.PROFILE_UPDATED, CLIENT, user_id=new_id(), detail={"number": number})
            if number % 5 == 0:
                await session.rollback()
                return False
            await session.commit()
            return True

    committed = await in_parallel([write(number) for number in range(50)])
    events = await stored(services)
    assert [found.sequence for found in events] == list(range(1, len(events) + 1))
    assert len(events) == sum(number % 3 + 1 for number, is_committed in enumerate(committed) if is_committed)
    numbers = [found.detail["number"] for found in events]
    assert len({*numbers}) == sum(committed) == 40
    assert all(numbers[at : at + number % 3 + 1].count(number) for at, number in enumerate(numbers))
    assert (await verify(services)).is_intact


async def test_requests_in_parallel_chain_without_a_refusal(app: FastAPI, services: Services, account: Account) -> None:
    """Logins, failed ones, changes and ends of sessions lock other rows first: none waits for another in a circle."""
    others = [await register(account.client) for _ in range(4)]
    calls = []
    for each in [account, *others]:
        calls += [log_in(each.client, each.email, PASSWORD), log_in(each.client, each.email, "not the passphrase")]
        calls += [each.request("PATCH", "/users/me", json={"full_name": f"Name {n}"}) for n in range(4)]
        calls += [each.request("POST", "/auth/logout", json={"scope": "others"})]
        calls += [
            each.client.post(f"{API}/auth/register", json={"email": f"{new_id()}@b.example", "password": PASSWORD})
        ]
        calls += [each.client.post(f"{API}/auth/refresh", json={"refresh_token": each.refresh_token})]
    answers: list[httpx.Response] = await in_parallel(calls)
    assert {answer.status_code for answer in answers} <= {200, 201, 204, 400, 401}
    report = await verify(services)
    assert report.is_intact
    assert report.events == len(await stored(services)) > 40


async def test_the_events_of_a_transaction_take_one_lock(services: Services) -> None:
    """One select, one insert and one update of the head, however many events there are."""
    await record(services)
    for count in (1, 30):
        with statements(services) as seen:
            await record(services, count)
        heads = [text.split()[0] for text in seen if "audit_" in text]
        assert heads == ["SELECT", "INSERT", "UPDATE"], seen


async def test_the_head_is_locked_last_and_only_where_there_are_events(
    app: FastAPI, services: Services, account: Account
) -> None:
    """Between the lock and the commit stand the insert and the update, nothing else."""
    with statements(services) as seen:
        assert (await account.login()).is_success
    assert ["audit" in text for text in seen][-3:] == [True] * 3
    assert sum("audit" in text for text in seen) == 3
    with statements(services) as seen:
        answer = await account.client.post(f"{API}/auth/refresh", json={"refresh_token": account.refresh_token})
        assert answer.is_success
    assert not [text for text in seen if "audit" in text]


@pytest.mark.parametrize("nth", [1, 2])
async def test_a_commit_that_fails_after_the_lock_leaves_no_gap(
    make_app: AppFactory, services: Services, account: Account, nth: int
) -> None:
    """The sequence number that was taken goes to the next one."""
    async with make_app(failpoints=f"before_commit:error:{nth}") as failing, client_of(failing) as client:
        body, headers = {"full_name": "Changed"}, account.headers
        statuses = [(await client.patch(f"{API}/users/me", json=body, headers=headers)).status_code for _ in range(3)]
    assert sorted(statuses) == [200, 200, 503]
    report = await verify(services)
    assert (report.is_intact, report.events) == (True, 4)


async def test_an_action_before_the_commit_that_fails_lets_nothing_stand(services: Services) -> None:
    """What precedes the commit belongs to it; a rollback forgets it, and no read session promises it."""
    ran: list[tuple[str, list[int]]] = []

    async def first(_session: Any, items: list[int]) -> None:
        ran.append(("first", items))

    async def second(session: Any, items: list[int]) -> None:
        ran.append(("second", items))
        if 3 in items:
            session.before_commit(first, 4)
        if 0 in items:
            raise ZeroDivisionError

    async with services.database.session() as session:
        session.before_commit(first, 1)
        session.before_commit(second, 2)
        session.before_commit(first, 3)
        await session.rollback()
        await session.commit()
        assert ran == []
        session.before_commit(second, 3)
        session.before_commit(first, 1)
        await session.commit()
        assert ran == [("second", [3]), ("first", [1, 4])]
        trail = AuditTrail(session, services.auth)
        await trail.record(AuditAction.LOGIN, CLIENT, user_id=new_id())
        session.before_commit(second, 0)
        with capture_logs() as lines, pytest.raises(ZeroDivisionError):
            await session.commit()
        await session.commit()
        assert [line["event"] for line in lines] == []
    assert await stored(services) == []
    async with services.database.read_session() as reading:
        with pytest.raises(RuntimeError, match="cannot write"):
            await AuditTrail(reading, services.auth).record(AuditAction.LOGIN, CLIENT, user_id=new_id())


@pytest.mark.parametrize(
    "loss",
    ["DELETE FROM audit_heads", "UPDATE audit_heads SET sequence = 1", "UPDATE audit_heads SET mac = seal"],
)
async def test_a_lost_head_stops_nothing_and_is_never_forgotten(
    services: Services, account: Account, loss: str
) -> None:
    """A4: who removes the head together with the last events cannot make the chain begin anew."""
    await record(services, 3)
    await execute(services, loss)
    with capture_logs() as lines:
        answer = await account.request("PATCH", "/users/me", json={"full_name": "Changed"})
        assert answer.status_code == 200
    assert [line["behind"] for line in lines if line["log_level"] == "error"] == [5]
    assert [found.sequence for found in await stored(services)] == [1, 2, 3, 4, 5, 7]
    await record(services)
    assert await faults(services) == [(FaultKind.MISSING, 6)]


def test_a_column_that_nobody_authenticates_is_noticed() -> None:
    """A new column needs a new format of the chain, or nothing vouches for it."""
    assert COVERED_COLUMNS == (
        "action", "actor_id", "address", "detail", "id", "occurred_at", "outcome", "request_id", "sequence",
        "session_id", "user_agent", "user_id",
    )  # fmt: skip
    assert {*COVERED_COLUMNS, "mac"} == set(AuditEvent.__table__.c.keys())


def test_the_format_is_the_documented_one() -> None:
    """A MAC of this release is one of every later release: the bytes are fixed here."""
    chain = AuditChain(SecretStr("k" * 32), Clock())
    values = dict.fromkeys(COVERED_COLUMNS) | {
        "occurred_at": datetime(2026, 1, 2, 4, 4, 5, 6, tzinfo=UTC), "action": AuditAction.LOGIN, "outcome": "success",
        "sequence": 1, "detail": {"b": 1.0, "a": ["é", 1e16, 0.5]},
    }  # fmt: skip
    mac = chain.mac(values, bytes(32))
    assert mac.hex() == "be98cb6e897f04c7445dc1ffb0c6be9fdfad69b8ab16f56c5b9350b246efc22a"
    moved = datetime.fromisoformat("2026-01-02T05:04:05.000006+01:00")
    assert chain.mac(values | {"occurred_at": moved, "detail": {"a": ["é", 10**16, 0.5], "b": 1}}, bytes(32)) == mac
    assert chain.seal(Link(1, mac)).hex() == "d51ec3564e2a503b44dd03c59b8b9c25788c72cc35dc8999af3b3b290b054286"
    assert chain.seal_before_chain(3).hex() == "d1da1f3560024f8e6c0c5ec9ade733e8bdcb6fad2c5dcd0051226953b139f924"
    assert AuditChain(SecretStr("l" * 32), Clock()).mac(values, bytes(32)) != mac


def test_a_link_is_read_as_it_is_written() -> None:
    link = Link(12, bytes(range(32)))
    assert Link.parse(str(link)) == link
    assert str(BEFORE_FIRST) == "0:" + "00" * 32
    for text in ("", "1", "1:", "x:" + "00" * 32, "-1:" + "00" * 32, "1:" + "00" * 31, "1:" + "zz" * 32):
        with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
            Link.parse(text)


@contextmanager
def statements(services: Services) -> Iterator[list[str]]:
    """The statements that write-sessions send meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = services.database.writer.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
