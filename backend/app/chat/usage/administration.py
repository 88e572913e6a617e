"""What administrators and operators set: the prices of models, and limits of use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.types import AuditAction, Client
from app.chat.usage.errors import LimitNotFoundError, TooManyLimitsError
from app.chat.usage.models import ModelPrice, UsageLimit
from app.chat.usage.repository import ModelPriceRepository, UsageLimitRepository
from app.chat.usage.schemas import MAX_LIMIT_UNITS, PriceCreate
from app.chat.usage.types import LimitScope, LimitView, Metric, from_units, to_units
from app.core.errors import InvalidInputError
from app.core.pagination import Page
from app.core.text import normalize_username
from app.db.engine import Session

MAX_LIMITS = 10_000
_SORT = "created_at"
_PRICE_CURSOR, _LIMIT_CURSOR = "model prices", "usage limits"
_CHANGEABLE = (ModelPrice.price, ModelPrice.conditions, ModelPrice.valid_to)
_PATTERNS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class PricesLoaded:
    """What became of the prices of a file."""

    added: int
    changed: int
    unchanged: int


class PriceService:
    """The prices of models, within one transaction."""

    def __init__(self, session: Session, parts: AuthComponents) -> None:
        self._cursors = parts.cursors
        self._prices = ModelPriceRepository(session, parts.clock)
        self._audit = AuditTrail(session, parts)

    async def list_(self, *, limit: int, cursor: str | None) -> Page[ModelPrice]:
        """One page of prices in the order in which they were loaded.

        Raises:
            InvalidCursorError: the cursor belongs to another list.
        """
        after = None if cursor is None else self._cursors.decode(_PRICE_CURSOR, cursor)
        items, position = await self._prices.page(sort=_SORT, limit=limit, after=after)
        return Page(
            items=items, next_cursor=None if position is None else self._cursors.encode(_PRICE_CURSOR, position)
        )

    async def load(self, wanted: Sequence[PriceCreate], client: Client, *, actor_id: UUID | None) -> PricesLoaded:
        """Load prices, all or none. One for the same pattern, provider, tier, unit and moment is changed.

        What responses have cost before stays as it was.

        Raises:
            InvalidInputError: two of them are for the same.
            IntegrityError: somebody else loads the same at this moment.
        """
        rows = {_identity(row): row for row in map(price_row, wanted)}
        if len(rows) < len(wanted):
            raise InvalidInputError("Two prices are for the same pattern, provider, tier, unit and moment.")
        known = {_identity(row): row for row in await self._known({row.match_pattern for row in rows.values()})}
        new = [row for key, row in rows.items() if key not in known]
        different = [(known[key], row) for key, row in rows.items() if key in known and _differ(known[key], row)]
        await self._prices.add_all(new)
        for before, row in different:
            await self._prices.update(before.id, {column: getattr(row, column.key) for column in _CHANGEABLE})
        loaded = PricesLoaded(len(new), len(different), len(rows) - len(new) - len(different))
        detail = {"added": loaded.added, "changed": loaded.changed}
        await self._audit.record(AuditAction.PRICES_LOADED, client, user_id=None, actor_id=actor_id, detail=detail)
        return loaded

    async def _known(self, patterns: Iterable[str]) -> list[ModelPrice]:
        left, found = sorted(patterns), []
        for start in range(0, len(left), _PATTERNS_AT_ONCE):
            found += await self._prices.with_pattern(left[start : start + _PATTERNS_AT_ONCE])
        return found


class LimitService:
    """Limits of use, within one transaction."""

    def __init__(self, session: Session, parts: AuthComponents) -> None:
        self._cursors = parts.cursors
        self._limits = UsageLimitRepository(session, parts.clock)
        self._audit = AuditTrail(session, parts)

    async def list_(self, *, limit: int, cursor: str | None) -> Page[LimitView]:
        """One page of limits in the order in which they were set.

        Raises:
            InvalidCursorError: the cursor belongs to another list.
        """
        after = None if cursor is None else self._cursors.decode(_LIMIT_CURSOR, cursor)
        rows, position = await self._limits.page(sort=_SORT, limit=limit, after=after)
        next_cursor = None if position is None else self._cursors.encode(_LIMIT_CURSOR, position)
        return Page(items=[_view(row) for row in rows], next_cursor=next_cursor)

    async def create(
        self,
        *,
        scope_type: LimitScope,
        scope_id: str,
        metric: Metric,
        window_seconds: int,
        amount: Decimal,
        client: Client,
        actor_id: UUID | None,
    ) -> LimitView:
        """Set a limit. It counts from now on; windows begin at whole multiples of their length since 1970 in UTC.

        Raises:
            InvalidInputError: the amount is no whole number of tokens, messages or nano-dollars, or too large.
            TooManyLimitsError: there are as many as there may be.
            IntegrityError: there is one with this scope, metric and window.
        """
        if await self._limits.count() >= MAX_LIMITS:
            raise TooManyLimitsError(f"At most {MAX_LIMITS} limits.")
        row = UsageLimit(
            scope_type=scope_type,
            scope_id=_scope_id(scope_type, scope_id),
            metric=metric,
            window_seconds=window_seconds,
            amount=_units(metric, amount),
        )
        view = _view(await self._limits.add(row))
        await self._record(AuditAction.USAGE_LIMIT_CREATED, view, client, actor_id)
        return view

    async def set_(
        self,
        *,
        scope_type: LimitScope,
        scope_id: str,
        metric: Metric,
        window_seconds: int,
        amount: Decimal,
        client: Client,
        actor_id: UUID | None,
    ) -> LimitView:
        """Set a limit, or change the one with this scope, metric and window.

        Raises:
            InvalidInputError, TooManyLimitsError: see `create`.
        """
        found = await self._limits.find(scope_type, _scope_id(scope_type, scope_id), metric, window_seconds)
        if found is not None:
            return await self.update(found.id, amount, client=client, actor_id=actor_id)
        return await self.create(
            scope_type=scope_type,
            scope_id=scope_id,
            metric=metric,
            window_seconds=window_seconds,
            amount=amount,
            client=client,
            actor_id=actor_id,
        )

    async def update(
        self,
        limit_id: UUID,
        amount: Decimal,
        *,
        client: Client,
        actor_id: UUID | None,
        expected_version: int | None = None,
    ) -> LimitView:
        """Change a limit's amount, at once and for the present window too.

        Raises:
            LimitNotFoundError, PreconditionFailedError: there is none, or it is no longer at that version.
            InvalidInputError: see `create`.
        """
        before = await self.get(limit_id)
        values = {UsageLimit.amount: _units(before.metric, amount)}
        await self._limits.update(limit_id, values, expected_version=expected_version)
        view = await self.get(limit_id)
        await self._record(AuditAction.USAGE_LIMIT_UPDATED, view, client, actor_id, before=str(before.amount))
        return view

    async def delete(self, limit_id: UUID, *, client: Client, actor_id: UUID | None) -> None:
        """Remove a limit.

        Raises:
            LimitNotFoundError: there is none.
        """
        before = await self.get(limit_id)
        if not await self._limits.delete(limit_id):
            raise LimitNotFoundError
        await self._record(AuditAction.USAGE_LIMIT_DELETED, before, client, actor_id)

    async def get(self, limit_id: UUID) -> LimitView:
        """One limit.

        Raises:
            LimitNotFoundError: there is none.
        """
        row = await self._limits.get(limit_id)
        if row is None:
            raise LimitNotFoundError
        return _view(row)

    async def _record(
        self, action: AuditAction, view: LimitView, client: Client, actor_id: UUID | None, **more: str
    ) -> None:
        detail = {
            "limit_id": str(view.id),
            "scope": f"{view.scope_type.value}:{view.scope_id}",
            "metric": view.metric.value,
            "window_seconds": view.window_seconds,
            "amount": str(view.amount),
            **more,
        }
        await self._audit.record(action, client, user_id=None, actor_id=actor_id, detail=detail)


def price_row(price: PriceCreate) -> ModelPrice:
    """The row of a price that somebody loads."""
    return ModelPrice(
        match_pattern=price.match_pattern,
        match_prefix=price.match_pattern.partition("*")[0],
        provider=price.provider,
        tier=price.tier,
        conditions=price.conditions,
        unit=price.unit,
        price=price.unit_price,
        valid_from=price.valid_from,
        valid_to=price.valid_to,
    )


def _identity(row: ModelPrice) -> tuple[Any, ...]:
    return row.match_pattern, row.provider, row.tier, row.unit, row.valid_from


def _differ(before: ModelPrice, row: ModelPrice) -> bool:
    return any(getattr(before, column.key) != getattr(row, column.key) for column in _CHANGEABLE)


def _scope_id(scope_type: LimitScope, scope_id: str) -> str:
    """Roles are known by their name, however it is written."""
    return normalize_username(scope_id) if scope_type is LimitScope.ROLE else scope_id


def _units(metric: Metric, amount: Decimal) -> int:
    try:
        units = to_units(metric, amount)
    except ValueError:
        message = "must be a whole number"
        raise InvalidInputError.at("body", "amount", type_="decimal_whole", message=message) from None
    if units > MAX_LIMIT_UNITS:
        raise InvalidInputError.at("body", "amount", type_="less_than_equal", message="is too large")
    return units


def _view(row: UsageLimit) -> LimitView:
    return LimitView(
        id=row.id,
        scope_type=row.scope_type,
        scope_id=row.scope_id,
        metric=row.metric,
        window_seconds=row.window_seconds,
        amount=from_units(row.metric, row.amount),
        created_at=row.created_at,
        updated_at=row.updated_at,
        row_version=row.row_version,
    )
