"""A4: whatever is done to the stored trail is found, on every database, by whoever holds the key and nobody's leave."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import create_engine, delete, func, insert, select, update
from structlog.testing import capture_logs

from app.auth.audit import verification
from app.auth.audit.chain import COVERED_COLUMNS, AuditChain
from app.auth.audit.models import AuditHead
from app.auth.audit.repository import ChainRepository
from app.auth.audit.types import BEFORE_FIRST, Fault, FaultKind, Link
from app.auth.audit.verification import AuditVerifier
from app.auth.models import AuditEvent
from app.core.ids import new_id
from app.core.settings import Settings
from app.db import migrations
from app.db.url import database_url as read_url
from app.main import Services
from tests.auth.audit.trails import execute, faults, record, stored, tamper, verify
from tests.auth.scenarios import in_parallel
from tests.auth.stage import running
from tests.db.rows import row_of
from tests.support import Account, ManualClock, make_settings
from tools.databases import fresh_database

# What each column is changed to; the event before has other values, or none, in all of them.
CHANGES: dict[str, Any] = {
    "id": new_id(),
    "occurred_at": timedelta(microseconds=1),
    "action": "login",
    "outcome": "failure",
    "user_id": new_id(),
    "actor_id": None,
    "session_id": new_id(),
    "address": "203.0.113.8",
    "user_agent": None,
    "request_id": "",
    "detail": {"members": ["Full_name"]},
    "mac": bytes(32),
}


async def test_an_untouched_trail_is_intact(services: Services, account: Account) -> None:
    """A4: events of requests and of transactions of many, however they were spread."""
    await record(services, 5)
    report = await verify(services)
    assert (report.is_intact, report.events, report.before_chain, report.faults) == (True, 7, 0, ())
    assert report.end is not None
    assert report.end.sequence == 7


async def test_an_empty_trail_is_intact(services: Services) -> None:
    report = await verify(services)
    assert (report.is_intact, report.events, report.end) == (True, 0, BEFORE_FIRST)


@pytest.mark.parametrize("column", [*CHANGES])
@pytest.mark.parametrize("sequence", [1, 3, 5])
async def test_a_change_of_any_column_of_any_event_is_found(services: Services, column: str, sequence: int) -> None:
    """A4: first, middle and last event; the very event is named, and the trail heals when the value comes back."""
    await record(services, 5)
    old = (await stored(services))[sequence - 1]
    new = CHANGES[column]
    await tamper(services, sequence, **{column: old.occurred_at + new if isinstance(new, timedelta) else new})
    found = await faults(services)
    assert found[0] == (FaultKind.CHANGED, sequence)
    assert found[1:] == ([(FaultKind.CHANGED, sequence + 1)] if column == "mac" and sequence < 5 else [])
    await tamper(services, sequence, **{column: getattr(old, column)})
    assert await faults(services) == []


def test_every_column_is_tried() -> None:
    """A new column fails this test until the one above changes it too; `sequence` has its own tests."""
    assert {*CHANGES, "sequence"} == {*COVERED_COLUMNS, "mac"} == set(AuditEvent.__table__.c.keys())


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [(1, Fault(FaultKind.MISSING, 1, 1)), (3, Fault(FaultKind.MISSING, 3, 3)), (5, Fault(FaultKind.CUT_OFF, 5, 5))],
)
async def test_a_removed_event_is_found(services: Services, sequence: int, expected: Fault) -> None:
    """A4: wherever it stood, the last one too."""
    await record(services, 5)
    await delete_events(services, AuditEvent.sequence == sequence)
    assert (await verify(services)).faults == (expected,)


async def test_a_removed_range_is_one_fault(services: Services) -> None:
    await record(services, 9)
    await delete_events(services, AuditEvent.sequence.between(3, 6))
    assert (await verify(services)).faults == (Fault(FaultKind.MISSING, 3, 6),)
    await delete_events(services, AuditEvent.sequence >= 3)
    assert (await verify(services)).faults == (Fault(FaultKind.CUT_OFF, 3, 9),)
    await delete_events(services, AuditEvent.sequence >= 1)
    assert (await verify(services)).faults == (Fault(FaultKind.CUT_OFF, 1, 9),)


async def test_a_removed_event_whose_followers_move_up_is_found(services: Services) -> None:
    """A4: closing the gap changes what is authenticated."""
    await record(services, 5)
    await delete_events(services, AuditEvent.sequence == 3)
    for sequence in (4, 5):
        await tamper(services, sequence, sequence=sequence - 1)
    assert (await faults(services))[0] == (FaultKind.CHANGED, 3)


async def test_exchanged_events_are_found(services: Services) -> None:
    """A4: reordered."""
    await record(services, 5)
    for old, new in ((2, 99), (4, 2), (99, 4)):
        await tamper(services, old, sequence=new)
    assert [sequence for _, sequence in await faults(services)] == [2, 3, 4, 5]


async def test_an_event_put_in_is_found(services: Services) -> None:
    """A4: behind the end, in the place of another, and without a place; a copy of a genuine MAC does not help."""
    await record(services, 3)
    mac = (await stored(services))[-1].mac
    await insert_event(services, forged(services, sequence=4, mac=mac))
    assert await faults(services) == [(FaultKind.BEHIND_HEAD, 4)]
    await delete_events(services, AuditEvent.sequence == 4)
    await delete_events(services, AuditEvent.sequence == 2)
    await insert_event(services, forged(services, sequence=2, mac=mac))
    assert (await faults(services))[0] == (FaultKind.CHANGED, 2)


async def test_the_end_cannot_be_cut_off(services: Services) -> None:
    """A4: with the last events gone and the head set back to the one before, which shows its own MAC."""
    await record(services, 5)
    kept = (await stored(services))[2]
    await delete_events(services, AuditEvent.sequence > 3)
    await change_head(services, sequence=3, mac=kept.mac)
    assert await faults(services) == [(FaultKind.HEAD_CHANGED, 3)]
    await execute(services, "DELETE FROM audit_heads")
    assert await faults(services) == [(FaultKind.HEAD_MISSING, 3)]
    await record(services)
    assert await faults(services) == [(FaultKind.MISSING, 4)]


@pytest.mark.parametrize("column", ["sequence", "mac", "seal", "before_chain", "before_chain_seal"])
async def test_a_changed_head_is_found(services: Services, column: str) -> None:
    """A4: each column of it."""
    await record(services, 3)
    await change_head(services, **{column: 2 if column in {"sequence", "before_chain"} else bytes(32)})
    assert (FaultKind.HEAD_CHANGED, 2 if column == "sequence" else 3) in await faults(services)


async def test_an_old_head_that_was_kept_shows_as_an_anchor(services: Services) -> None:
    """A4: a genuine head of before, put back with its end of the trail, is known by a link kept elsewhere only."""
    await record(services, 3)
    head = await the_head(services)
    await record(services, 2)
    last = await the_head(services)
    anchor = (await verify(services)).end
    assert anchor is not None
    assert anchor.sequence == 5
    await delete_events(services, AuditEvent.sequence > 3)
    await change_head(services, **head)
    assert await faults(services) == []
    assert (await verify(services, anchor)).faults == (Fault(FaultKind.ANCHOR, 5),)
    await record(services, 2)
    assert await faults(services) == []
    assert (await verify(services, anchor)).faults[0] == Fault(FaultKind.ANCHOR, 5)
    await change_head(services, **last)
    assert await faults(services) == [(FaultKind.HEAD_CHANGED, 5)]


async def test_a_verification_goes_on_where_another_ended(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumable: each link that the progress tells of is a place to begin at."""
    monkeypatch.setattr(verification, "_BATCH_SIZE", 3)
    await record(services, 8)
    told: list[Link] = []
    whole = await verify(services, progress=told.append)
    assert [link.sequence for link in told] == [3, 6, 8]
    assert told[-1] == whole.end
    await tamper(services, 2, address="203.0.113.9")
    for link in told:
        report = await verify(services, link)
        assert (report.is_intact, report.events) == (True, 8 - link.sequence)
    await tamper(services, 7, address="203.0.113.9")
    assert (await verify(services, told[0])).faults == (Fault(FaultKind.CHANGED, 7),)
    assert not (await verify(services, Link(3, bytes(32)))).is_intact
    assert not (await verify(services, Link(0, bytes([1]) * 32))).is_intact


async def test_memory_is_bounded_and_every_fault_counted(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many faults there are, the first are kept and all are counted; no batch is larger than its limit."""
    monkeypatch.setattr(verification, "_BATCH_SIZE", 10)
    monkeypatch.setattr(verification, "_KEPT_FAULTS", 4)
    await record(services, 25)
    await execute(services, "UPDATE audit_events SET address = NULL")
    report = await verify(services)
    assert [fault.sequence for fault in report.faults] == [1, 2, 3, 4]
    assert (report.fault_count, report.events) == (25, 25)


async def test_events_older_than_the_chain_are_counted_and_others_refused(services: Services) -> None:
    """Those from before the migration have no place in the chain; nobody adds to them, or takes some, afterwards."""
    begun = services.clock.now()
    old = [row_of(AuditEvent.__table__, n) | {"sequence": None, "mac": None} for n in range(3)]
    for row in old:
        await insert_event(services, row | {"occurred_at": begun - timedelta(days=1)})
    assert await faults(services) == [(FaultKind.UNCHAINED, None)]
    await change_head(services, before_chain=3, before_chain_seal=services.auth.audit_chain.seal_before_chain(3))
    report = await verify(services)
    assert (report.is_intact, report.before_chain, report.events) == (True, 3, 0)
    await record(services, 2)
    report = await verify(services)
    assert (report.is_intact, report.before_chain, report.events) == (True, 3, 2)
    await insert_event(services, old[0] | {"id": new_id(), "occurred_at": services.clock.now()})
    report = await verify(services)
    assert (report.faults, report.before_chain) == ((Fault(FaultKind.UNCHAINED, None),), 3)
    await delete_events(services, AuditEvent.id == old[0]["id"])  # one for another
    assert await faults(services) == [(FaultKind.UNCHAINED, None)]
    await delete_events(services, AuditEvent.sequence.is_(None))
    assert await faults(services) == [(FaultKind.UNCHAINED, None)]
    await change_head(services, before_chain=0)
    assert await faults(services) == [(FaultKind.HEAD_CHANGED, 2)]


async def test_a_backdated_event_is_found(services: Services) -> None:
    """A4: an installation that never had events without a number has none afterwards, whenever they claim to be of."""
    await record(services, 2)
    await insert_event(services, forged(services, occurred_at=services.clock.now() - timedelta(days=30)))
    assert await faults(services) == [(FaultKind.UNCHAINED, None)]


@pytest.mark.parametrize("sequence", [0, -1, -5])
async def test_a_number_that_the_chain_never_gave_is_found(services: Services, account: Account, sequence: int) -> None:
    """A4: below the first one too, and it hides no other event that was put in."""
    await record(services, 2)
    late = services.clock.now() + timedelta(days=400)
    await insert_event(services, forged(services, sequence=sequence, mac=bytes(32), occurred_at=late))
    assert await faults(services) == [(FaultKind.UNCHAINED, None)]
    await insert_event(services, forged(services, occurred_at=services.clock.now()))
    report = await verify(services, (await verify(services)).end or BEFORE_FIRST)
    assert report.faults == (Fault(FaultKind.UNCHAINED, None),)
    assert report.before_chain == 0


async def test_a_forged_number_does_not_lead_the_chain_astray(services: Services) -> None:
    """A4: in an empty trail the first event is still number 1."""
    await insert_event(services, forged(services, sequence=-5, mac=bytes(32)))
    assert await faults(services) == [(FaultKind.UNCHAINED, None)]
    await record(services, 2)
    assert [event.sequence for event in await stored(services)] == [-5, 1, 2]
    await delete_events(services, AuditEvent.sequence == -5)
    assert await faults(services) == []


async def test_an_event_taken_out_of_the_chain_is_found(services: Services) -> None:
    """A4: without its number it is missing where it stood, and refused where it is."""
    await record(services, 3)
    await tamper(services, 2, sequence=None, mac=None)
    assert await faults(services) == [(FaultKind.MISSING, 2), (FaultKind.UNCHAINED, None)]


async def test_another_key_vouches_for_nothing(services: Services) -> None:
    """A4: without `SECRET_KEY` nobody writes a MAC that fits, nor reads this one as right."""
    await record(services, 2)
    other = services.settings.model_copy(update={"secret_key": type(services.settings.secret_key)("another key" * 4)})
    chain = AuditChain(other.secret_key, services.clock)
    report = await AuditVerifier(services.database, chain, services.clock).verify()
    assert [fault.kind for fault in report.faults] == [FaultKind.CHANGED, FaultKind.CHANGED, FaultKind.HEAD_CHANGED]


@pytest.mark.parametrize(
    ("column", "value"),
    [("detail", "'{\"a\": '"), ("occurred_at", "'noon'"), ("user_id", "x'00'"), ("address", "x'ff00'"), ("mac", "NULL"),
     ("action", "'not_an_action'"), ("detail", "'7'")],
)  # fmt: skip
async def test_what_was_never_written_breaks_no_verification(services: Services, column: str, value: str) -> None:
    """A4: a value of another type, where the database lets it in, is a fault like any other."""
    await record(services, 3)
    backend = services.database.url.backend
    takes_it = backend == "sqlite" or column in {"mac", "action"} or (column == "detail" and value == "'7'")
    if not takes_it:
        return
    await execute(services, f"UPDATE audit_events SET {column} = {value} WHERE sequence = 2")
    (found, *_) = await faults(services)
    assert found in {(FaultKind.CHANGED, 2), (FaultKind.UNREADABLE, 2)}


async def test_a_verification_runs_beside_writers(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written meanwhile is neither missing nor behind the end."""
    monkeypatch.setattr(verification, "_BATCH_SIZE", 2)
    await record(services, 6)
    writing: list[int] = []
    original = ChainRepository.list_chained

    async def list_and_write(self: Any, *args: Any, **options: Any) -> Any:
        if len(writing) < 3:
            writing.append(1)
            await record(services, 2)
        return await original(self, *args, **options)

    monkeypatch.setattr(ChainRepository, "list_chained", list_and_write)
    report = await verify(services)
    assert (report.is_intact, report.events, len(writing)) == (True, 6, 3)
    assert (await verify(services)).events == 12


async def test_the_log_tells_no_secret(services: Services) -> None:
    with capture_logs() as lines:
        await record(services)
    assert all(set(line) <= {"event", "log_level", "action", "outcome", "user_id", "session_id"} for line in lines)


async def delete_events(services: Services, *where: Any) -> None:
    async with services.database.writer.begin() as connection:
        await connection.execute(delete(AuditEvent).where(*where))


async def insert_event(services: Services, row: dict[str, Any]) -> None:
    async with services.database.writer.begin() as connection:
        await connection.execute(insert(AuditEvent).values(row))


def forged(services: Services, **values: Any) -> dict[str, Any]:
    """An event that the service never wrote."""
    row = row_of(AuditEvent.__table__, 0)
    return {**row, "id": new_id(), "occurred_at": services.clock.now(), "sequence": None, "mac": None, **values}


async def change_head(services: Services, **values: Any) -> None:
    async with services.database.writer.begin() as connection:
        assert await connection.scalar(select(func.count()).select_from(AuditHead)) == 1
        await connection.execute(update(AuditHead).values(values))


async def the_head(services: Services) -> dict[str, Any]:
    async with services.database.reader.connect() as connection:
        return dict((await connection.execute(select(*AuditHead.__table__.c))).one()._mapping)


async def test_a_removed_trail_cannot_begin_anew(services: Services, account: Account) -> None:
    """A4: with events and head gone, the trail is no empty one, and the next event shows for ever what happened."""
    await record(services, 3)
    for table in ("audit_events", "audit_heads"):
        await execute(services, f"DELETE FROM {table}")
    assert await faults(services) == [(FaultKind.HEAD_MISSING, 0)]
    assert (await account.request("PATCH", "/users/me", json={"full_name": "Changed"})).is_success
    await record(services, 2)
    assert (await verify(services)).faults == (Fault(FaultKind.MISSING, 1, 1),)
    assert [event.sequence for event in await stored(services)] == [2, 3, 4]


async def test_transactions_that_find_no_head_agree_on_one(services: Services) -> None:
    """A4: whichever comes first leaves the gap out; the others go on behind it."""
    await execute(services, "DELETE FROM audit_heads")
    await in_parallel(record(services) for _ in range(6))
    assert [event.sequence for event in await stored(services)] == [2, 3, 4, 5, 6, 7]
    assert await faults(services) == [(FaultKind.MISSING, 1)]


async def test_the_first_head_is_that_of_the_migration(app: FastAPI, tmp_path: Path, database_url: str) -> None:
    """A new database begins with a head that the service takes for its own: the first event is number 1.

    What an upgraded one has without a number is counted once, and is all that may be there.
    """
    is_sqlite = database_url.startswith("sqlite")
    with fresh_database(None if is_sqlite else database_url) as url:
        settings = make_settings(url, tmp_path)
        migrations.upgrade(settings, "285128ed0f3e")
        await asyncio.to_thread(insert_unnumbered, settings, app.state.merit.clock.now() - timedelta(days=1))
        migrations.upgrade(settings)
        async with running(url, tmp_path, ManualClock()) as fresh:
            services: Services = fresh.state.merit
            report = await verify(services)
            assert (report.is_intact, report.end, report.before_chain) == (True, BEFORE_FIRST, 2)
            await record(services)
            report = await verify(services)
            assert (report.is_intact, report.events, report.before_chain) == (True, 1, 2)
            await insert_event(services, forged(services, occurred_at=services.clock.now() - timedelta(days=30)))
            assert await faults(services) == [(FaultKind.UNCHAINED, None)]


def insert_unnumbered(settings: Settings, occurred_at: datetime) -> None:
    """Two events as releases without the chain wrote them."""
    engine = create_engine(read_url(settings).synchronous)
    table = AuditEvent.__table__
    rows = [row_of(table, n) | {"occurred_at": occurred_at, "sequence": None, "mac": None} for n in range(2)]
    with engine.begin() as connection:
        connection.execute(insert(table), rows)
    engine.dispose()
