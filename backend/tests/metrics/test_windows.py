"""Which buckets answer for a stretch of time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from app.metrics.types import DEFAULT_RETENTION, Resolution, Retention, Span
from app.metrics.windows import Window

NOW = datetime(2026, 11, 22, 12, 34, 56, tzinfo=UTC)
MINUTE, HOUR, DAY = Resolution.MINUTE, Resolution.HOUR, Resolution.DAY


def window(start: datetime, end: datetime, step: int | None = None, rule: Retention = DEFAULT_RETENTION) -> Window:
    return Window(start, end, step_seconds=step, now=NOW, rule=rule)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_the_middle_is_coarse_and_the_ends_are_fine() -> None:
    found = window(at(18, 22, 58), at(21, 1, 2))
    assert found.spans == [
        Span(MINUTE, at(18, 22, 58), at(18, 23)),
        Span(HOUR, at(18, 23), at(19)),
        Span(DAY, at(19), at(21)),
        Span(HOUR, at(21), at(21, 1)),
        Span(MINUTE, at(21, 1), at(21, 1, 2)),
    ]
    assert found.resolution is MINUTE


def test_buckets_are_no_longer_than_the_steps() -> None:
    assert window(at(20), at(21), 600).spans == [Span(MINUTE, at(20), at(21))]
    assert window(at(20), at(22), 7200).spans == [Span(HOUR, at(20), at(22))]
    assert window(at(20), at(22), 86_400).spans == [Span(DAY, at(20), at(22))]


def test_the_ends_are_moved_to_whole_steps() -> None:
    found = window(at(20, 1, 7), at(20, 2, 1), 3600)
    assert (found.start, found.end) == (at(20, 1), at(20, 3))


def test_where_minutes_are_deleted_hours_and_then_days_answer() -> None:
    rule = Retention("*", raw_days=1, minute_days=1, hour_days=3)
    found = window(at(17, 5, 30), NOW, rule=rule)
    assert found.resolution is DAY
    assert (found.start, found.end) == (at(17), at(22, 12, 35))
    assert found.spans[0] == Span(DAY, at(17), at(20))
    recent = window(at(20, 5, 30), at(21, 12, 10), rule=rule)
    assert recent.resolution is HOUR
    assert (recent.start, recent.end) == (at(20, 5), at(21, 13))
    assert {span.resolution for span in recent.spans} == {HOUR}


def test_steps_that_are_finer_than_what_is_kept_get_what_there_is() -> None:
    rule = Retention("*", raw_days=1, minute_days=1, hour_days=30)
    found = window(at(20), at(20, 4), 60, rule)
    assert found.spans == [Span(HOUR, at(20), at(20, 4))]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 400 * 1440),
    st.integers(1, 400 * 1440),
    st.sampled_from([None, 60, 300, 3600, 7200, 86_400, 604_800]),
    st.tuples(st.integers(1, 40), st.integers(1, 400)),
)
def test_spans_cover_the_window_without_gap_or_overlap(
    ago: int, length: int, step: int | None, days: tuple[int, int]
) -> None:
    end = NOW - timedelta(minutes=ago)
    start = end - timedelta(minutes=length)
    found = window(start, end, step, Retention("*", raw_days=1, minute_days=days[0], hour_days=days[1]))
    assert found.start <= start < end <= found.end
    assert found.spans[0].start == found.start
    assert found.spans[-1].end == found.end
    for span, following in zip(found.spans, found.spans[1:], strict=False):
        assert span.end == following.start
    for span in found.spans:
        assert span.start.timestamp() % span.resolution == 0
        assert span.end.timestamp() % span.resolution == 0
