"""Sums of what was used, in the buckets of OpenAI's usage API."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID

from app.auth.guests.types import Owner
from app.chat.usage.errors import UsageRangeError
from app.chat.usage.models import UsageRecord
from app.chat.usage.repository import UsageRecordRepository
from app.chat.usage.types import BucketWidth, UsageBucket, UsageGroup, UsageParts, UsageSums
from app.core.pagination import Page
from app.db.engine import Session
from app.db.query import Column

MAX_BUCKETS = 1440
MAX_RESULTS = 5000
_LONGEST: dict[BucketWidth, timedelta] = {
    BucketWidth.MINUTE: timedelta(days=7),
    BucketWidth.HOUR: timedelta(days=92),
    BucketWidth.DAY: timedelta(days=3660),
}
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)  # the bucket that it is in must have an end


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What is asked for: `[start, end)`, in buckets of one width, told apart by some groups."""

    start: datetime
    end: datetime
    bucket: BucketWidth
    group_by: Sequence[UsageGroup]


class UsageReports:
    """Reads the ledger. One page is one statement over an index; the buckets of a range come in pages."""

    COLUMNS: ClassVar[dict[UsageGroup, Column]] = {
        UsageGroup.MODEL: UsageRecord.model,
        UsageGroup.USER: UsageRecord.user_id,
        UsageGroup.CONVERSATION: UsageRecord.conversation_id,
    }

    def __init__(self, session: Session, parts: UsageParts) -> None:
        self._cursors = parts.cursors
        self._records = UsageRecordRepository(session, parts.clock)

    async def of(self, owner: Owner, query: UsageQuery, *, limit: int, cursor: str | None) -> Page[UsageBucket]:
        """What one owner used.

        Raises:
            UsageRangeError: the range is reversed or too long, or one bucket has too many groups.
            InvalidCursorError: the cursor belongs to another report.
        """
        return await self._page(self._records.owned_by(owner), query, limit=limit, cursor=cursor)

    async def of_all(
        self, query: UsageQuery, *, user_id: UUID | None, limit: int, cursor: str | None
    ) -> Page[UsageBucket]:
        """What everyone used, or one account, for administrators.

        Raises:
            UsageRangeError, InvalidCursorError: see `of`.
        """
        records = self._records if user_id is None else self._records.owned_by(Owner(user_id=user_id))
        return await self._page(records, query, limit=limit, cursor=cursor)

    async def _page(
        self, records: UsageRecordRepository, query: UsageQuery, *, limit: int, cursor: str | None
    ) -> Page[UsageBucket]:
        first, last = _buckets(query)
        scope = f"usage {query.start.isoformat()} {query.end.isoformat()} {query.bucket} {','.join(query.group_by)}"
        if cursor is not None:
            (first,) = self._cursors.decode(scope, cursor)
        width = query.bucket.seconds
        behind = min(first + limit, last)
        groups = [self.COLUMNS[group] for group in dict.fromkeys(query.group_by)]
        start, end = max(query.start, _moment(first * width)), min(query.end, _moment(behind * width))
        sums = await records.sums(start, end, width, groups, MAX_RESULTS + 1)
        if len(sums) > MAX_RESULTS:
            behind = sums[-1].bucket  # it may be cut off: the next page begins with it
            if behind == sums[0].bucket:
                raise UsageRangeError(f"A bucket has more than {MAX_RESULTS} groups. Ask for smaller buckets.")
        found: dict[int, list[UsageSums]] = defaultdict(list)
        for one in sums:
            found[one.bucket].append(one)
        buckets = [UsageBucket(n * width, (n + 1) * width, found.get(n, [])) for n in range(first, behind)]
        return Page(items=buckets, next_cursor=None if behind >= last else self._cursors.encode(scope, [behind]))


def _buckets(query: UsageQuery) -> tuple[int, int]:
    """The numbers of the first bucket of a range, and of the one behind its last."""
    length = query.end - query.start
    if length <= timedelta(0) or query.start < _moment(0) or query.end > _LATEST:
        raise UsageRangeError("`end` must be after `start`, and both between 1970 and 9999.")
    longest = _LONGEST[query.bucket]
    if length > longest:
        raise UsageRangeError(f"At most {longest.days} days in buckets of {query.bucket.value}.")
    width = query.bucket.seconds
    return int(query.start.timestamp() // width), int(-(-query.end.timestamp() // width))


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
