"""M2: percentiles are within 1 % of exact ones, in whatever order and grouping sketches were merged."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.metrics.sketch import LARGEST_VALUE, RELATIVE_ERROR, SMALLEST_VALUE, Sketch
from app.metrics.types import Aggregate

QUANTILES = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
BARELY = 1 + 1e-9  # what floating point adds to the guarantee


def sketch_of(values: list[float]) -> Sketch:
    """A sketch of some values."""
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


def exact(values: list[float], q: float) -> float:
    """`percentile_disc` of SQL: the least value that a share `q` does not exceed."""
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


def assert_close(sketch: Sketch, values: list[float], q: float) -> None:
    found, expected = sketch.quantile(q), exact(values, q)
    assert found is not None
    if expected < SMALLEST_VALUE:
        assert found == 0.0
    else:
        assert abs(found - expected) <= RELATIVE_ERROR * expected * BARELY, (q, found, expected)


durations = st.lists(
    st.one_of(
        st.floats(min_value=0, max_value=LARGEST_VALUE, allow_subnormal=False),
        st.floats(min_value=0.01, max_value=60_000),
        st.sampled_from([0.0, SMALLEST_VALUE, 1.0, LARGEST_VALUE]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(durations, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_any_order_of_merges_gives_the_same_percentiles(parts: list[list[float]], chance: random.Random) -> None:
    """Sketches of parts, merged two by two at random, through their bytes, equal the sketch of everything."""
    everything = [value for part in parts for value in part]
    sketches = [sketch_of(part) for part in parts]
    while len(sketches) > 1:
        chance.shuffle(sketches)
        taken, into = sketches.pop(), Sketch.from_bytes(sketches[0].to_bytes())
        into.merge(taken)
        sketches[0] = into
    (merged,) = sketches
    assert merged.count == len(everything)
    assert merged.to_bytes() == sketch_of(everything).to_bytes()
    for q in QUANTILES:
        assert_close(merged, everything, q)


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 0.5), (3.0, 1.0), (6.0, 2.5)])
def test_many_values_are_within_the_error(mean: float, spread: float) -> None:
    """Skewed like real latencies, cut into a hundred parts as minutes cut them."""
    chance = random.Random(17)  # noqa: S311 - no secret
    values = [chance.lognormvariate(mean, spread) for _ in range(20_000)]
    merged = Sketch()
    for start in range(0, len(values), 200):
        merged.merge(sketch_of(values[start : start + 200]))
    for q in (0.5, 0.9, 0.95, 0.99, 0.999):
        assert_close(merged, values, q)
    assert len(merged.to_bytes()) < 2000


def test_nothing_has_no_percentile() -> None:
    assert Sketch().quantile(0.5) is None
    assert Aggregate().percentile(0.5) is None


def test_zero_and_what_cannot_be_is_counted_as_zero() -> None:
    sketch = sketch_of([0.0, -5.0, float("nan"), SMALLEST_VALUE / 2, 8.0])
    assert sketch.count == 5
    assert [sketch.quantile(q) for q in (0.0, 0.8)] == [0.0, 0.0]
    assert sketch.quantile(1.0) == pytest.approx(8.0, rel=RELATIVE_ERROR)


def test_what_is_too_large_counts_as_the_largest() -> None:
    sketch = sketch_of([LARGEST_VALUE * 1000, float("inf")])
    assert sketch.quantile(0.5) == pytest.approx(LARGEST_VALUE, rel=RELATIVE_ERROR)


def test_the_size_is_bounded() -> None:
    """A value in every bucket there is: some kilobytes, and no more whatever comes."""
    value, values = SMALLEST_VALUE, []
    while value < LARGEST_VALUE:
        values.append(value)
        value *= 1.01
    assert len(sketch_of(values).to_bytes()) < 8000


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_a_quantile_is_a_share(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        sketch_of([1.0]).quantile(q)


@pytest.mark.parametrize("data", [b"", b"\x02\x00", b"\x01", b"\x01\x00\x02", b"\x01\x80", b"\x01\x00\x02\x80"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="sketch"):
        Sketch.from_bytes(data)


def test_percentiles_stay_within_what_was_seen() -> None:
    """A bucket's estimate may lie beyond the only value in it; the extremes are known exactly."""
    known = Aggregate()
    known.add(100.0, is_success=True)
    assert [known.percentile(q) for q in (0.0, 0.5, 1.0)] == [100.0, 100.0, 100.0]
