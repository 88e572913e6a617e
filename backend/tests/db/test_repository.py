"""The generic repositories: rows as snapshots, keyset pages, owners, versions, bulk inserts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import UnmappedInstanceError

from app.auth.models import AuthSession, User
from app.auth.repository import AuthSessionRepository, UserRepository
from app.auth.types import SessionEndReason, UserSort
from app.core.errors import InvalidCursorError, PreconditionFailedError
from app.core.ids import new_id
from app.db.engine import ReadSession, Session
from app.db.query import select_by
from app.main import Services
from tests.db.rows import row_of
from tests.support import ManualClock

NOON = datetime(2026, 5, 6, 12, 0, 0, 123456, tzinfo=UTC)


def make_user(number: int, **values: Any) -> User:
    """An account that no test of this file logs in to."""
    row = row_of(User.__table__, number)
    return User(**{**row, "created_at": None, "updated_at": None, "row_version": 1, **values})


def make_session(user_id: UUID, number: int, **values: Any) -> AuthSession:
    row = row_of(AuthSession.__table__, number, {"users.id": [user_id]})
    return AuthSession(**{**row, **values})


@pytest.fixture
async def session(services: Services) -> AsyncIterator[Session]:
    """A unit of work that is rolled back."""
    async with services.database.session() as session:
        yield session
        await session.rollback()


@pytest.fixture
def users(session: Session, clock: ManualClock) -> UserRepository:
    return UserRepository(session, clock)


class IdSortedUsers(UserRepository):
    """A list in the order of the primary key alone."""

    sorts = {"id": User.id}  # noqa: RUF012 - as in every repository


async def test_a_row_is_added_read_changed_and_deleted(users: UserRepository, clock: ManualClock) -> None:
    user = await users.add(make_user(1))
    assert user.created_at == user.updated_at
    found = await users.get(user.id)
    assert found is not None
    for key in User.__table__.c.keys():  # noqa: SIM118 - iterating gives columns
        assert getattr(found, key) == getattr(user, key), key
    by_email = await users.get_by(User.email_normalized, user.email_normalized)
    assert by_email is not None
    assert by_email.id == user.id
    assert await users.exists(User.id == user.id)
    assert await users.count() == await users.count(User.id == user.id) == 1
    clock.advance(seconds=7)
    assert await users.update(user.id, {User.full_name: "Grace", User.is_active: False})
    changed = await users.get(user.id)
    assert changed is not None
    assert (changed.full_name, changed.is_active, changed.row_version) == ("Grace", False, 2)
    assert (changed.updated_at - user.updated_at).total_seconds() >= 7
    assert changed.created_at == user.created_at
    assert await users.delete(user.id)
    assert not await users.delete(user.id)
    assert await users.get(user.id) is None
    assert not await users.exists()
    assert await users.count() == 0


async def test_times_and_versions_that_a_caller_names_are_kept(users: UserRepository) -> None:
    user = await users.add(make_user(1, created_at=NOON))
    assert user.created_at == NOON
    assert user.updated_at > NOON
    await users.update_where(User.id == user.id, values={User.updated_at: NOON})
    found = await users.get(user.id)
    assert found is not None
    assert found.updated_at == NOON


async def test_what_is_not_there_is_none_or_false(users: UserRepository) -> None:
    nobody = new_id()
    assert await users.get(nobody) is None
    assert await users.get_by(User.username_normalized, "nobody") is None
    assert not await users.update(nobody, {User.full_name: "x"})
    assert not await users.update(nobody, {User.full_name: "x"}, expected_version=1)
    assert await users.delete_where(User.id == nobody) == 0
    assert await users.list_() == []
    assert await users.page(sort="email", limit=3) == ([], None)


async def test_an_update_of_a_stale_version_is_refused(users: UserRepository) -> None:
    """A5: of two editors who read the same version, the second is told."""
    user = await users.add(make_user(1))
    assert await users.update(user.id, {User.full_name: "first"}, expected_version=1)
    with pytest.raises(PreconditionFailedError):
        await users.update(user.id, {User.full_name: "second"}, expected_version=1)
    found = await users.get(user.id)
    assert found is not None
    assert (found.full_name, found.row_version) == ("first", 2)


async def test_a_matched_row_counts_even_where_nothing_changes(session: Session, clock: ManualClock) -> None:
    """MySQL's own count leaves out rows that already have the values; ours means matched ones everywhere."""
    owner = await UserRepository(session, clock).add(make_user(1))
    sessions = AuthSessionRepository(session, clock)
    row = await sessions.add(make_session(owner.id, 1))
    assert await sessions.update_where(AuthSession.id == row.id, values={AuthSession.method: row.method}) == 1


async def test_a_violated_constraint_surfaces_where_the_row_is_added(users: UserRepository) -> None:
    await users.add(make_user(1))
    with pytest.raises(IntegrityError):
        await users.add(make_user(1))


async def test_a_thousand_rows_take_few_statements(services: Services, users: UserRepository) -> None:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = services.database.writer.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await users.add_all(make_user(number) for number in range(1000))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert 1 <= len([statement for statement in statements if statement != "BEGIN IMMEDIATE"]) <= 2
    assert await users.count() == 1000
    assert len(await users.list_()) == 1000
    assert len(await users.list_(limit=7)) == 7


async def test_snapshots_are_read_like_entities_and_refuse_assignment(
    users: UserRepository, services: Services
) -> None:
    """Nothing would be written, so nothing may look as if it were."""
    user = await users.add(make_user(1))
    users.session.expunge_all()
    for found in (await users.get(user.id), *(await users.list_()), *(await users.page(sort="email", limit=1))[0]):
        assert isinstance(found, User)
        assert found.email == user.email
        with pytest.raises(AttributeError):
            found.email = "other@example.com"
        with pytest.raises(UnmappedInstanceError):
            users.session.add(found)
    assert not users.session.dirty


@pytest.mark.parametrize("sort", ["created_at", "-created_at"])
async def test_pages_show_every_row_once_though_times_tie(users: UserRepository, sort: str) -> None:
    """Keyset pages: the primary key breaks ties, in both directions."""
    ids = [new_id() for _ in range(11)]
    await users.add_all(
        make_user(number, id=id_, created_at=NOON + timedelta(microseconds=number // 4))
        for number, id_ in enumerate(ids)
    )
    expected = sorted(ids) if sort == "created_at" else sorted(ids, reverse=True)  # ids rise with time
    assert await walk(users, sort, limit=3) == expected
    assert await walk(users, sort, limit=11) == expected
    assert await walk(users, sort, limit=1) == expected


async def walk(users: UserRepository, sort: str, *, limit: int) -> list[UUID]:
    """The ids of all pages."""
    seen: list[UUID] = []
    after: list[Any] | None = None
    while True:
        rows, after = await users.page(sort=sort, limit=limit, after=after)
        assert len(rows) <= limit
        seen += [row.id for row in rows]
        if after is None:
            return seen


async def test_pages_are_stable_while_rows_come_and_go(users: UserRepository) -> None:
    """What is inserted or deleted elsewhere moves no row from one page to another."""
    made = [make_user(number, email_normalized=f"{number:03}") for number in range(0, 60, 10)]
    await users.add_all(made)
    first, after = await users.page(sort=UserSort.EMAIL, limit=3)
    assert [user.email_normalized for user in first] == ["000", "010", "020"]
    await users.add_all([make_user(5, email_normalized="005"), make_user(35, email_normalized="035")])
    await users.delete(made[2].id)
    rest, end = await users.page(sort=UserSort.EMAIL, limit=10, after=after)
    assert [user.email_normalized for user in rest] == ["030", "035", "040", "050"]
    assert end is None
    back, _ = await users.page(sort="-email", limit=2, after=after)
    assert [user.email_normalized for user in back] == ["010", "005"]


async def test_keys_are_ordered_by_code_point_on_every_database(users: UserRepository) -> None:
    """A cursor means the same position everywhere, whatever the server's locale."""
    keys = ["Z", "a", "a b", "a_", "ab", "z", "ä", "\uffee", "\U0001f600"]
    await users.add_all(make_user(n, email_normalized=key) for n, key in enumerate(reversed(keys)))
    rows, _ = await users.page(sort="email", limit=20)
    assert [row.email_normalized for row in rows] == keys


async def test_the_primary_key_alone_can_be_the_order(session: Session, clock: ManualClock) -> None:
    users = IdSortedUsers(session, clock)
    ids = [new_id() for _ in range(5)]
    await users.add_all(make_user(number, id=id_) for number, id_ in enumerate(ids))
    assert await walk(users, "id", limit=2) == ids
    assert await walk(users, "-id", limit=2) == ids[::-1]


@pytest.mark.parametrize(
    "position", [[], ["x"], [1, 2, 3], ["never", "0" * 32], [NOON.isoformat(), "no id"], [None, 5]]
)
async def test_a_position_of_another_kind_is_an_invalid_cursor(users: UserRepository, position: list[Any]) -> None:
    with pytest.raises(InvalidCursorError):
        await users.page(sort="created_at", limit=3, after=position)


async def test_foreign_rows_are_as_absent_as_unknown_ones(session: Session, clock: ManualClock) -> None:
    """Ownership is in the SQL of every method of an OwnedRepository."""
    users = UserRepository(session, clock)
    owner, stranger = await users.add(make_user(1)), await users.add(make_user(2))
    everyone = AuthSessionRepository(session, clock)
    mine = [await everyone.add(make_session(owner.id, number, created_at=NOON)) for number in range(3)]
    foreign = everyone.owned_by(stranger.id)
    id_, own = mine[0].id, everyone.owned_by(owner.id)
    assert await foreign.get(id_) is None
    assert await foreign.get_by(AuthSession.id, id_) is None
    assert await foreign.list_() == []
    assert await foreign.page(sort="created_at", limit=5) == ([], None)
    assert (await foreign.count(), await foreign.exists(AuthSession.id == id_)) == (0, False)
    assert not await foreign.update(id_, {AuthSession.device_name: "stolen"})
    assert await foreign.update_where(values={AuthSession.device_name: "stolen"}) == 0
    assert not await foreign.delete(id_)
    assert await foreign.delete_where() == 0
    assert await foreign.end([id_], SessionEndReason.LOGOUT) == 0
    assert await own.get(id_) is not None
    assert (await own.count(), await own.exists(AuthSession.id == id_)) == (3, True)
    rows, after = await own.page(sort="-created_at", limit=2)
    assert len(rows) == 2
    assert [row.id for row in (await own.page(sort="-created_at", limit=2, after=after))[0]] == [mine[0].id]
    assert everyone.scope == {}
    assert await own.owned_by(stranger.id).count() == 0
    assert await own.update(id_, {AuthSession.device_name: "mine"})
    assert await own.delete(id_)
    assert await everyone.count() == 2


async def test_both_read_paths_give_equal_rows(services: Services, users: UserRepository) -> None:
    """The direct path to the driver and the one through SQLAlchemy differ in nothing but their cost."""
    made = [make_user(1), make_user(2, username=None, username_normalized=None, last_login_at=None)]
    await users.add_all(made)
    await users.session.commit()
    query = select_by(User, User.id, User.is_active)
    reading = services.database.read_session()
    async with services.database.session() as writing:
        for user in made:
            (direct,) = await reading.fetch(query, {"id": user.id, "is_active": True})
            (through,) = await writing.fetch(query, {"id": user.id, "is_active": True})
            (bound,) = await ReadSession(await writing.connection(), failpoints=writing._failpoints).fetch(
                query, {"id": user.id, "is_active": True}
            )
            values = [{key: getattr(row, key) for key in query.keys} for row in (direct, through, bound, user)]
            assert values[0] == values[1] == values[2] == values[3]
            assert await reading.fetch(query, {"id": user.id, "is_active": False}) == []
    empty = select_by(User, User.username_normalized)
    assert await reading.fetch(empty, {"username_normalized": None}) == []  # as SQL has it: NULL equals nothing


async def test_the_direct_path_gives_its_connection_back_when_it_fails(services: Services) -> None:
    reading = services.database.read_session()
    query = select_by(User, User.id)
    for _ in range(40):  # more than the pool has
        with pytest.raises(Exception, match=r".+"):
            await reading.fetch(query, {"id": "no uuid"})
    assert await reading.fetch(query, {"id": new_id()}) == []
