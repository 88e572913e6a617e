"""The generic repositories: every SQL statement of a domain starts here."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, select, update

from app.core.clock import Clock
from app.core.errors import InvalidCursorError, PreconditionFailedError
from app.db.engine import Session
from app.db.query import Column, ModelT, select_by, select_page, snapshot
from app.db.types import UtcDateTime

Values = Mapping[Column, Any]
RepositoryT = TypeVar("RepositoryT", bound="BaseRepository[Any]")


class BaseRepository(Generic[ModelT]):
    """Reads and writes the rows of one model within the caller's session. Never commits, knows no HTTP.

    Reads return snapshots (`app.db.query.snapshot`). `scope` limits every statement to rows with these values.
    """

    model: type[ModelT]
    sorts: ClassVar[Mapping[str, Column]] = {}

    def __init__(self, session: Session, clock: Clock) -> None:
        self.session = session
        self.clock = clock
        self.scope: dict[Column, Any] = {}

    @property
    def _id(self) -> Column:
        return self.model.id  # type: ignore[attr-defined,no-any-return]

    async def get(self, id_: UUID) -> ModelT | None:
        """The row with this primary key."""
        return await self.get_by(self._id, id_)

    async def get_by(self, column: Column, value: Any) -> ModelT | None:
        """The row whose unique `column` has this value."""
        values = {column: value, **self.scope}
        named = {column.key: value for column, value in values.items()}
        found = await self.session.fetch(select_by(self.model, *values), named)
        return found[0] if found else None

    async def list_(
        self, *where: ColumnElement[bool], order_by: Sequence[Any] = (), limit: int | None = None
    ) -> list[ModelT]:
        """The rows that meet every condition, at most `limit` of them; lists for people come in pages."""
        columns = self.model.__table__.c
        statement = select(*columns).where(*self._scoped(where)).order_by(*order_by).limit(limit)
        rows = await self.session.rows(statement)
        return [snapshot(self.model, columns.keys(), row) for row in rows]

    async def page(
        self, *where: ColumnElement[bool], sort: str, limit: int, after: Sequence[Any] | None = None
    ) -> tuple[list[ModelT], list[Any] | None]:
        """One keyset page: at most `limit` rows after the position `after`, and the position of the next page.

        `sort` is a key of `sorts`, with a leading minus for descending order; the primary key breaks ties. A page
        costs the same wherever it lies, because its start is looked up in an index.
        """
        column, is_descending = self.sorts[sort.removeprefix("-")], sort.startswith("-")
        query = select_page(self.model, column, self._id, is_descending=is_descending, has_position=after is not None)
        values = {"page_size": limit + 1} | ({} if after is None else _position(column, after))
        rows = await self.session.fetch(query, values, *self._scoped(where))
        if len(rows) <= limit:
            return rows, None
        last = rows[limit - 1]
        value = getattr(last, column.key)
        return rows[:limit], [value.isoformat() if isinstance(value, datetime) else value, last.id.hex]

    async def count(self, *where: ColumnElement[bool]) -> int:
        """How many rows meet every condition."""
        total = await self.session.scalar(select(func.count()).select_from(self.model).where(*self._scoped(where)))
        return int(total or 0)

    async def exists(self, *where: ColumnElement[bool]) -> bool:
        """Whether any row meets every condition."""
        return bool(await self.session.scalar(select(exists().select_from(self.model).where(*self._scoped(where)))))

    async def add(self, row: ModelT) -> ModelT:
        """Insert a row. A violated constraint surfaces here, not at the commit."""
        await self.add_all([row])
        return row

    async def add_all(self, rows: Iterable[ModelT]) -> None:
        """Insert many rows in as few statements as the database allows."""
        now = self.clock.now()
        for row in rows:
            for name in ("created_at", "updated_at"):
                if hasattr(row, name) and getattr(row, name) is None:
                    setattr(row, name, now)
            self.session.add(row)
        await self.session.flush()

    async def update(self, id_: UUID, values: Values, *, expected_version: int | None = None) -> bool:
        """Change the named columns of one row, by one atomic statement. False where there is no such row.

        Raises:
            PreconditionFailedError: the row is there, but no longer at `expected_version`.
        """
        where: list[ColumnElement[bool]] = [self._id == id_]
        if expected_version is not None:
            where.append(self.model.row_version == expected_version)  # type: ignore[attr-defined]
        if await self.update_where(*where, values=values):
            return True
        if expected_version is not None and await self.exists(self._id == id_):
            raise PreconditionFailedError("The row was changed since it was read.")
        return False

    async def update_where(self, *where: ColumnElement[bool], values: Values) -> int:
        """Change the named columns of every row that meets the conditions; the number of rows matched."""
        named: dict[str, Any] = {column.key: value for column, value in values.items()}
        table = self.model.__table__
        if "updated_at" in table.c:
            named.setdefault("updated_at", self.clock.now())
        if "row_version" in table.c:
            named["row_version"] = table.c.row_version + 1
        return await self.session.change(update(table).where(*self._scoped(where)).values(named))

    async def delete_where(self, *where: ColumnElement[bool]) -> int:
        """Delete every row that meets the conditions; the number of rows."""
        return await self.session.change(delete(self.model.__table__).where(*self._scoped(where)))

    async def delete(self, id_: UUID) -> bool:
        """Delete one row. False where there is no such row."""
        return bool(await self.delete_where(self._id == id_))

    def _scoped(self, where: Iterable[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
        return [*where, *(column == value for column, value in self.scope.items())]


class OwnedRepository(BaseRepository[ModelT]):
    """Rows that belong to a user. A user-facing query starts with `owned_by`, so that ownership is in the SQL."""

    def owned_by(self: RepositoryT, user_id: UUID) -> RepositoryT:
        """The same repository, limited to one user's rows: a foreign row is as absent as an unknown one."""
        owned = copy.copy(self)
        owned.scope = {**self.scope, self.model.user_id: user_id}
        return owned


def _position(column: Column, position: Sequence[Any]) -> dict[str, Any]:
    """The parameters of `select_page` for the position that a cursor holds.

    Raises:
        InvalidCursorError: it is none of a list in this order.
    """
    try:
        value, last_id = position
        value = datetime.fromisoformat(value) if isinstance(column.type, UtcDateTime) else value
        return {"position": value, "position_id": UUID(last_id)}
    except (TypeError, ValueError):
        raise InvalidCursorError from None
