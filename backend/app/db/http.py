"""What endpoints take from a request for their queries: page bounds and versions."""

import re
from typing import Annotated

from fastapi import Depends, Header, Query

from app.core.errors import BadRequestError, PreconditionFailedError
from app.core.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

_LARGEST_VERSION = 2**31 - 1  # of the column; drivers refuse to send more
_ENTITY_TAG = r'(?:W/)?"[!#-~\x80-\xff]*"'  # RFC 9110 section 8.8.3; commas may stand in it
_ENTITY_TAGS = re.compile(rf"{_ENTITY_TAG}(?:[ \t]*,[ \t]*{_ENTITY_TAG})*")
_VERSION_TAG = re.compile(r'"(0|[1-9][0-9]{0,9})"')  # 0 is that of what is not there yet

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="How many items at most.")]
Cursor = Annotated[str | None, Query(max_length=1024, description="The `next_cursor` of the page before.")]
DEFAULT_LIMIT = DEFAULT_PAGE_SIZE


class MalformedIfMatchError(BadRequestError):
    """`If-Match` is neither `*` nor a list of entity tags (RFC 9110 section 13.1.1)."""

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
    if not _ENTITY_TAGS.fullmatch(if_match.strip()):
        raise MalformedIfMatchError
    tags = map(_VERSION_TAG.fullmatch, re.findall(_ENTITY_TAG, if_match))
    versions = [int(tag[1]) for tag in tags if tag is not None and int(tag[1]) <= _LARGEST_VERSION]
    if not versions:  # weak tags never match (RFC 9110 section 8.8.3.2), and others are not ours
        raise PreconditionFailedError
    return max(versions)  # versions only grow: whoever was given this one knows that the others are past


IfMatch = Annotated[int | None, Depends(_expected_version)]
"""The row version that a change is based on, or None where the caller does not mind."""
