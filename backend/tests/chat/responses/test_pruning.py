"""The events of old replies are deleted, and replies without any are not looked through again."""

from datetime import timedelta

from sqlalchemy import func, select, update

from app.chat.responses.models import Response, ResponseEvent
from app.chat.responses.pruning import EventPruning
from app.main import Services
from tests.architecture.estates import Estate, settle
from tests.chat.stage import make_guest, owner_of
from tests.statements import recorded_sql
from tests.support import Account, ManualClock

KEEP = timedelta(days=1)


async def test_what_was_pruned_is_left_alone(services: Services, account: Account, clock: ManualClock) -> None:
    pruning = EventPruning(services.database, clock, keep=KEEP)
    estate = Estate(owner_of(account))
    await settle(services.database, estate, count=3)
    async with services.database.writer.begin() as connection:
        times = {"created_at": clock.now(), "completed_at": clock.now()}
        await connection.execute(update(Response).values(times))
        await connection.execute(update(ResponseEvent).values(created_at=clock.now()))
    await pruning.run(None)  # type: ignore[arg-type] # it needs nothing of its job
    assert await events(services) == 4
    clock.advance(days=2)
    with recorded_sql(services.database) as first:
        await pruning.run(None)  # type: ignore[arg-type]
    assert await events(services) == 0
    with recorded_sql(services.database) as second:
        await pruning.run(None)  # type: ignore[arg-type]
    assert any("FROM responses" in statement for statement in first)
    assert not any("FROM responses" in statement for statement in second)
    await prune_beside_a_young_one(services, account, clock, pruning)


async def prune_beside_a_young_one(
    services: Services, account: Account, clock: ManualClock, pruning: EventPruning
) -> None:
    """The look begins at the oldest reply that has events, and not at the first there ever was."""
    begin = clock.now()
    young = Estate(owner_of(await make_guest(account.client)), number=10)
    await settle(services.database, young, count=1)
    async with services.database.writer.begin() as connection:
        is_young = Response.id == young.first("responses")
        await connection.execute(update(Response).where(is_young).values(completed_at=begin))
        await connection.execute(update(ResponseEvent).values(created_at=begin))
    with recorded_sql(services.database) as sent:
        await pruning.run(None)  # type: ignore[arg-type]
    (look,) = [statement for statement in sent if "FROM responses" in statement]
    assert "responses.completed_at >= " in look
    assert await events(services) == 2


async def events(services: Services) -> int:
    """How many there are."""
    async with services.database.read_session() as session:
        return int(await session.scalar(select(func.count()).select_from(ResponseEvent)) or 0)
