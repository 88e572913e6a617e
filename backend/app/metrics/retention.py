"""For how long the metrics of operations are kept, where the operator wants it otherwise than by default."""

import re
from dataclasses import asdict

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.types import AuditAction, Client
from app.core.errors import InvalidInputError
from app.db.engine import Session
from app.metrics.errors import RetentionNotFoundError, TooManyRetentionsError
from app.metrics.repository import RetentionRepository
from app.metrics.types import MAX_OPERATION_LENGTH, Retention

MAX_RULES = 100
MAX_DAYS = 36_500
_PATTERN = re.compile(rf"[a-z0-9_.*?-]{{1,{MAX_OPERATION_LENGTH}}}")


class RetentionService:
    """The rules, within one transaction. Pruning and questions follow them from then on; what is deleted stays so."""

    def __init__(self, session: Session, parts: AuthComponents) -> None:
        self._rules = RetentionRepository(session, parts.clock)
        self._audit = AuditTrail(session, parts)

    async def list_(self) -> list[Retention]:
        """Every rule, by its pattern."""
        return await self._rules.all()

    async def set_(self, rule: Retention, client: Client) -> None:
        """Make a rule, or change the one with this pattern.

        Raises:
            InvalidInputError: no operation has such a name, or a coarser form is to be kept for less time than a finer.
            TooManyRetentionsError: there are as many as there may be.
        """
        _require_sense(rule)
        if await self._rules.count() >= MAX_RULES and rule.pattern not in {one.pattern for one in await self.list_()}:
            raise TooManyRetentionsError(f"Remove one first; {MAX_RULES} are allowed.")
        await self._rules.put(rule)
        await self._audit.record(AuditAction.METRIC_RETENTION_SET, client, user_id=None, detail=asdict(rule))

    async def remove(self, pattern: str, client: Client) -> None:
        """Remove a rule, so that a shorter pattern or the default counts.

        Raises:
            RetentionNotFoundError: there is none with this pattern.
        """
        if not await self._rules.remove(pattern):
            raise RetentionNotFoundError
        detail = {"pattern": pattern}
        await self._audit.record(AuditAction.METRIC_RETENTION_REMOVED, client, user_id=None, detail=detail)


def _require_sense(rule: Retention) -> None:
    if not _PATTERN.fullmatch(rule.pattern):
        message = "Must be a name such as http.get_me, with * and ? for what differs"
        raise InvalidInputError.at("body", "pattern", type_="pattern", message=message)
    days = (rule.raw_days, rule.minute_days, rule.hour_days)
    if min(days) < 0 or max(days) > MAX_DAYS or not 1 <= rule.minute_days <= rule.hour_days:
        message = f"Minutes are kept for at least a day, hours as long as minutes or longer, at most {MAX_DAYS} days"
        raise InvalidInputError.at("body", "days", type_="out_of_range", message=message)
