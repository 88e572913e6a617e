"""Files of prices: CSV with a header, or a JSON list of objects, with the same members.

`docs/chat.md` describes them: `match_pattern`, `unit` and `price`, and perhaps `provider`, `tier`, `per`,
`valid_from`, `valid_to`, `service_tier` and `tokens_prompt_above`.
"""

import csv
import io
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from app.chat.usage.schemas import MAX_PRICES, PriceCreate
from app.core.errors import InvalidInputError

MAX_FILE_BYTES = 4 * 2**20
_LISTS = ("service_tier",)
_NUMBERS = ("tokens_prompt_above",)
_ADAPTER = TypeAdapter(list[PriceCreate])


def read_prices(content: bytes) -> list[PriceCreate]:
    """The prices in a file; a text that begins with `[` is JSON, any other CSV.

    Raises:
        InvalidInputError: it is neither, or a row is no price; `errors` name the rows, counted from 0.
    """
    if len(content) > MAX_FILE_BYTES:
        raise InvalidInputError(f"A file has at most {MAX_FILE_BYTES} bytes.")
    try:
        text = content.decode("utf-8-sig")
        rows = orjson.loads(text) if text.lstrip().startswith("[") else _csv_rows(text)
        prices = _ADAPTER.validate_python(rows)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        first = faults[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInputError(f"{where}: {first['msg']}", errors=faults[:20]) from None
    except ValueError as error:  # of UTF-8 and of JSON too
        raise InvalidInputError(str(error)) from None
    if len(prices) > MAX_PRICES:
        raise InvalidInputError(f"A file has at most {MAX_PRICES} prices.")
    return prices


def _csv_rows(text: str) -> list[dict[str, Any]]:
    """Empty cells count as absent ones; several values in a cell have a `|` between them."""
    try:
        found = list(csv.DictReader(io.StringIO(text), strict=True, restkey="surplus"))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    rows: list[dict[str, Any]] = [{name: value for name, value in row.items() if value} for row in found]
    for row in rows:
        for name in _LISTS:
            if name in row:
                row[name] = str(row[name]).split("|")
        for name in _NUMBERS:
            if str(row.get(name, "")).isdecimal():
                row[name] = int(row[name])
    return rows
