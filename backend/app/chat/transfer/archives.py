"""From a file's bytes to JSON documents. Whoever sends it may mean harm: everything here is bounded.

Nothing is ever extracted: members of a zip file are read in memory, counted while they are read, and their names only
tell which of them to read, so that neither bombs nor paths do anything.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import orjson

from app.chat.transfer.types import FileError

MAX_DOCUMENT_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 192 * 2**20
MAX_MEMBERS = 20_000
MAX_VALUES = 4_000_000
"""Of one document: they take up to 130 bytes each, as little as three in the file."""
_ZIP = b"PK\x03\x04"
_MEMBER = b"PK\x01\x02"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # LZMA takes as much memory as a file tells it to
_READ_AT_ONCE = 2**20
# What the exports of ChatGPT (in several files since 2024), Open WebUI and this service call them.
_WANTED = re.compile(
    r"(?:^|/)(?:conversations|chat|chats|chat-export|export)[\w.-]*\.(?:json|ndjson|jsonl)$", re.IGNORECASE
)


def read_documents(content: bytes) -> Iterator[Any]:
    """The JSON documents in a file, one after the other; lines of JSON are one document, a list.

    Raises:
        FileError: it is no JSON and no zip file with some, or there is too much of it.
    """
    if not content.startswith(_ZIP):
        yield _parse(content)
        return
    if content.count(_MEMBER) > MAX_MEMBERS:  # before their directory is read
        raise FileError(f"A zip file has at most {MAX_MEMBERS} members.")
    left = MAX_TOTAL_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in _wanted(archive):
                data = _read(archive, member, min(left, MAX_DOCUMENT_BYTES))
                left -= len(data)
                document = _parse(data)
                del data
                yield document
                del document  # the next one is read without it
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, OSError) as error:
        raise FileError(f"The zip file cannot be read ({type(error).__name__}).") from None


def _wanted(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    wanted = [one for one in archive.infolist() if not one.is_dir() and _WANTED.search(one.filename)]
    if not wanted:
        raise FileError("The zip file has no conversations.json.")
    if any(member.compress_type not in _METHODS for member in wanted):
        raise FileError("The zip file is compressed in an unusual way.")
    return sorted(wanted, key=lambda member: member.filename)


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """A member's bytes, whatever size its header claims."""
    parts, size = [], 0
    with archive.open(member) as file:
        while part := file.read(_READ_AT_ONCE):
            size += len(part)
            if size > limit:
                raise FileError("The zip file holds more than an import may hold.")
            parts.append(part)
    return b"".join(parts)


def _parse(data: bytes) -> Any:
    """One JSON value, or a list of those that lines hold.

    Raises:
        FileError: it is neither.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise FileError(f"A document has at most {MAX_DOCUMENT_BYTES} bytes.")
    _require_few(data, b",:[")  # each value but the first stands behind one of them
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        _require_few(data, b",:[\n")
    try:
        return [orjson.loads(line) for line in io.BytesIO(data) if line.strip()]
    except orjson.JSONDecodeError:
        raise FileError("The file is no JSON, or nests too deep.") from None


def _require_few(data: bytes, marks: bytes) -> None:
    if sum(map(data.count, marks)) > MAX_VALUES:
        raise FileError(f"A document has at most {MAX_VALUES} values.")
