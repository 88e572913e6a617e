"""DDSketch: percentiles of a stream within a guaranteed relative error, in a few hundred bytes.

C. Masson, J. E. Rim, H. K. Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees",
PVLDB 12(12), 2019. With the relative error e and g = (1+e)/(1-e), bucket `i` counts the values in (g^(i-1), g^i]; its
estimate 2g^i/(g+1) is within e of each of them. Merging adds counts, so that no order of merges can matter.
"""

import math
from collections.abc import Iterable
from typing import Self

RELATIVE_ERROR = 0.01
LARGEST_VALUE = 1e12
"""Larger values count as this one: 30 years in milliseconds."""
SMALLEST_VALUE = 1e-6
"""Smaller values, and negative ones, count as zero: a nanosecond in milliseconds."""

_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG = 1 / math.log(_GAMMA)
_FORMAT = 1


class Sketch:
    """Counts of values by logarithmic buckets; at most about two thousand of them, whatever comes."""

    __slots__ = ("_buckets", "_zeros", "count")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._zeros = 0
        self.count = 0

    def add(self, value: float) -> None:
        """Count one value. What is not a number counts as zero."""
        self.count += 1
        if value >= SMALLEST_VALUE:
            index = math.ceil(math.log(value if value < LARGEST_VALUE else LARGEST_VALUE) * _PER_LOG)
            self._buckets[index] = self._buckets.get(index, 0) + 1
        else:
            self._zeros += 1

    def merge(self, other: "Sketch") -> None:
        """Count what the other has counted."""
        buckets = self._buckets
        for index, count in other._buckets.items():
            buckets[index] = buckets.get(index, 0) + count
        self._zeros += other._zeros
        self.count += other.count

    def quantile(self, q: float) -> float | None:
        """The least value that a share `q` of all does not exceed, within `RELATIVE_ERROR`; None of nothing.

        Raises:
            ValueError: `q` is not between 0 and 1.
        """
        if not 0 <= q <= 1:
            raise ValueError("a quantile is between 0 and 1")
        if not self.count:
            return None
        rank = max(1, math.ceil(q * self.count))
        seen = self._zeros
        if rank <= seen:
            return 0.0
        index = 0
        for index in sorted(self._buckets):
            seen += self._buckets[index]
            if rank <= seen:
                break
        return 2 * math.exp(index / _PER_LOG) / (_GAMMA + 1)

    def to_bytes(self) -> bytes:
        """A compact form: version, zeros, then each bucket as its distance from the one before and its count."""
        out = bytearray((_FORMAT,))
        _write(out, self._zeros)
        last = 0
        for index in sorted(self._buckets):
            _write(out, _zigzag(index - last))
            _write(out, self._buckets[index])
            last = index
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The sketch that was written.

        Raises:
            ValueError: these are no bytes of `to_bytes`.
        """
        if data[:1] != bytes((_FORMAT,)):
            raise ValueError("no sketch of a known format")
        numbers = _read(memoryview(data)[1:])
        if len(numbers) % 2 == 0:
            raise ValueError("a sketch that was cut off")
        sketch, index = cls(), 0
        sketch._zeros = sketch.count = numbers[0]
        for distance, count in zip(numbers[1::2], numbers[2::2], strict=True):
            index += (distance >> 1) ^ -(distance & 1)
            sketch._buckets[index] = count
            sketch.count += count
        return sketch


def _zigzag(number: int) -> int:
    """Small numbers of either sign as small numbers without one."""
    return number * 2 if number >= 0 else -number * 2 - 1


def _write(out: bytearray, number: int) -> None:
    """LEB128: seven bits a byte, the lowest first."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _read(data: Iterable[int]) -> list[int]:
    numbers, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    if shift:
        raise ValueError("a sketch that was cut off")
    return numbers
