"""Which buckets answer for a stretch of time: the coarsest that fit inside it, and finer ones at its ends."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.metrics.types import Resolution, Retention, Span, ceiling, floor

_COARSEST_FIRST = sorted(Resolution, reverse=True)


class Window:
    """A stretch of time in whole buckets that are still kept, cut into spans.

    Where the finer buckets are deleted already, the ends are moved outward to the coarser ones.
    """

    def __init__(self, start: datetime, end: datetime, *, step_seconds: int | None, now: datetime, rule: Retention):
        if step_seconds is not None:
            start, end = floor(start, step_seconds), ceiling(end, step_seconds)
        self._eras = _eras(now, rule)
        self.resolution = self._finest(start)
        self.start = floor(start, self.resolution)
        self.end = ceiling(end, self._finest(end))
        self.spans = self._cut(step_seconds)

    def _finest(self, moment: datetime) -> Resolution:
        """The shortest buckets that are kept of a moment."""
        return next(resolution for begins, resolution in self._eras if moment >= begins)

    def _cut(self, step_seconds: int | None) -> list[Span]:
        coarsest = _dividing(step_seconds)
        spans: list[Span] = []
        end = self.end
        for begins, finest in self._eras:
            start = max(self.start, begins)
            if start < end:
                usable = [length for length in _COARSEST_FIRST if finest <= length <= max(coarsest, finest)]
                spans[:0] = _cover(start, end, usable)
                end = start
        return spans


def _eras(now: datetime, rule: Retention) -> list[tuple[datetime, Resolution]]:
    """Since when buckets of each length are surely there, the newest time first."""
    minutes = ceiling(now - timedelta(days=rule.minute_days), Resolution.HOUR)
    hours = ceiling(now - timedelta(days=rule.hour_days), Resolution.DAY)
    always = datetime.min.replace(tzinfo=now.tzinfo)
    return [(max(minutes, hours), Resolution.MINUTE), (hours, Resolution.HOUR), (always, Resolution.DAY)]


def _dividing(step_seconds: int | None) -> Resolution:
    """The longest buckets of which a step is a whole number."""
    if step_seconds is None:
        return Resolution.DAY
    return next(length for length in _COARSEST_FIRST if step_seconds % length == 0)


def _cover(start: datetime, end: datetime, lengths: Sequence[Resolution]) -> list[Span]:
    if start >= end:
        return []
    longest, *rest = lengths
    first, last = ceiling(start, longest), floor(end, longest)
    if first >= last:
        return _cover(start, end, rest)
    return [*_cover(start, first, rest), Span(longest, first, last), *_cover(last, end, rest)]
