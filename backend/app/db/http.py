"""What endpoints take from a request for their queries: page bounds and versions."""

import re
from typing import Annotated

from fastapi import Depends, Header, Query

from app.core.errors import BadRequestError, PreconditionFailedError
from app.core.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

_LARGEST_VERSION = 2**31 - 1  # of the column; drivers refuse to send more
_VERSION_TAG = re.compile(r'"([1-9][0-9]{0,9})"')

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="How many items at most.")]
Cursor = Annotated[str | None, Query(max_length=1024, description="The `next_cursor` of the page before.")]
DEFAULT_LIMIT = DEFAULT_PAGE_SIZE


class MalformedIfMatchError(BadRequestError):
    """`If-Match` is no entity tag (RFC 9110 section 13.1.1)."""

    code = "malformed_if_match"
    title = "Malformed If-Match"


def etag(row_version: int) -> str:
    """The strong entity tag of a row's version."""
    return f'"{row_version}"'


async def _expected_version(
    if_match: Annotated[
        str | None, Header(max_length=100, description="The `ETag` that the change is based on; stale ones get 412.")
    ] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    if if_match.startswith("W/"):  # weak tags never match (RFC 9110 section 8.8.3.2)
        raise PreconditionFailedError("Weak entity tags never match.")
    match = _VERSION_TAG.fullmatch(if_match.strip())
    if match is None:
        raise MalformedIfMatchError
    version = int(match[1])
    if version > _LARGEST_VERSION:
        raise PreconditionFailedError
    return version


IfMatch = Annotated[int | None, Depends(_expected_version)]
"""The row version that a change is based on, or None where the caller does not mind."""
