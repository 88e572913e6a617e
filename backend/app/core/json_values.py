"""JSON values from outside: what every database gives back exactly as it was stored, and when two are the same."""

import math
from functools import partial
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

MAX_JSON_BYTES = 16_384
MAX_JSON_DEPTH = 16  # MariaDB reads 32 levels

_LARGEST_INTEGER = 2**63 - 1
_FLOAT_BOUND = 1e16  # from here on JSONB would make an integer of it
_SMALL_FLOAT = 1e-5  # below, JSONB writes more digits than we do


def require_safe_json(value: Any, *, max_bytes: int = MAX_JSON_BYTES, max_depth: int = MAX_JSON_DEPTH) -> Any:
    """A copy of a JSON value that SQLite, PostgreSQL (JSONB) and MariaDB all give back as the same.

    Objects keep no order. `max_bytes` bounds its JSON text with all numbers written out, as PostgreSQL does:
    `1e-300` has 302 digits there. `max_depth` bounds how deep lists and objects nest; a number has depth 0. A negative
    zero becomes zero.

    Raises:
        ValueError: it is larger or deeper, is no JSON (NaN, infinities, other types), or holds integers beyond 64 bits,
            floats from 1e16 on, NUL or lone surrogates.
    """
    cleaner = _Cleaner()
    cleaned = cleaner.clean(value, max_depth)
    if len(orjson.dumps(cleaned)) + cleaner.unwritten_digits > max_bytes:
        raise ValueError(f"must be at most {max_bytes} bytes of JSON")
    return cleaned


def safe_json(*, max_bytes: int = MAX_JSON_BYTES, max_depth: int = MAX_JSON_DEPTH) -> AfterValidator:
    """`require_safe_json` with bounds of its own, for `Annotated[Any, safe_json(max_bytes=…)]`."""
    return AfterValidator(partial(require_safe_json, max_bytes=max_bytes, max_depth=max_depth))


SafeJson = Annotated[Any, AfterValidator(require_safe_json)]
"""Any JSON value that every database stores unchanged."""

SafeJsonObject = Annotated[dict[str, Any], AfterValidator(require_safe_json)]
"""A JSON object that every database stores unchanged."""


def is_same_json(one: Any, other: Any) -> bool:
    """Whether two safe values have the same JSON text but for the order of members: `1`, `1.0` and `true` differ."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


class _Cleaner:
    """Copies one value; counts the digits that orjson saves by exponents."""

    def __init__(self) -> None:
        self.unwritten_digits = 0

    def clean(self, value: Any, depth: int) -> Any:
        """The value, if it is safe and nests at most `depth` deep."""
        match value:
            case None | bool():
                return value
            case str():
                return _safe_text(value)
            case int():
                if abs(value) > _LARGEST_INTEGER:
                    raise ValueError("must not hold integers beyond 64 bits")
                return value
            case float():
                return self._number(value)
            case list():
                _require_room(depth)
                return [self.clean(item, depth - 1) for item in value]
            case dict():
                _require_room(depth)
                return {_member_name(name): self.clean(item, depth - 1) for name, item in value.items()}
        raise ValueError("must be JSON")

    def _number(self, value: float) -> float:
        if not abs(value) < _FLOAT_BOUND:  # also NaN
            raise ValueError("must not hold NaN, infinities or floats from 1e16 on")
        if 0 < abs(value) < _SMALL_FLOAT:
            self.unwritten_digits -= math.floor(math.log10(abs(value)))
        return value or 0.0


def _require_room(depth: int) -> None:
    if depth == 0:
        raise ValueError("must not nest so deep")


def _member_name(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError("must be JSON")  # noqa: TRY004 - pydantic makes a refusal of a ValueError only
    return _safe_text(name)


def _safe_text(text: str) -> str:
    """PostgreSQL stores no NUL in JSONB, and UTF-8 has no lone surrogates. Other controls are escaped everywhere."""
    if "\x00" in text:
        raise ValueError("must not hold NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold lone surrogates") from None
    return text
