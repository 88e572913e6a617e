"""An HTTP/1.1 client that tells apart what became of a request, and sends what no well-behaved client would."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import orjson

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
TIMEOUT_SECONDS = 20.0


class RefusedError(ConnectionError):
    """Nothing was sent: the request certainly had no effect."""


class UnknownOutcomeError(ConnectionError):
    """The request may have been sent, and no whole answer came: it may have had its effect or not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names in lower case. `seconds` from the first byte sent to the last one received."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx: the service has acknowledged the request."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


class Client:
    """One connection to a server on this machine, made when needed and kept while the server keeps it."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", timeout: float = TIMEOUT_SECONDS) -> None:
        self.port = port
        self._host = host
        self._timeout = timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read its answer.

        Header values are sent as they are, in UTF-8, with lone surrogates as their three bytes.

        Raises:
            RefusedError: no connection could be made.
            UnknownOutcomeError: it broke, or the answer took longer than the client's timeout.
        """
        lines = {"Host": f"{self._host}:{self.port}", **(headers or {})}
        if token is not None:
            lines["Authorization"] = f"Bearer {token}"
        if json is not None:
            body = orjson.dumps(json)
            lines.setdefault("Content-Type", JSON)
        if body is not None or method in {"POST", "PUT", "PATCH"}:
            lines["Content-Length"] = str(len(body or b""))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        data = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogatepass") + (body or b"")
        reader, writer = await self._connected()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(reader, writer, data, has_body=method != "HEAD")
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.close()
            raise UnknownOutcomeError(f"{method} {path}: {error!r}") from error
        except asyncio.CancelledError:
            self.close()
            raise

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            try:
                async with asyncio.timeout(self._timeout):
                    self._streams = await asyncio.open_connection(self._host, self.port)
            except (OSError, TimeoutError) as error:
                raise RefusedError(str(error)) from error
        return self._streams

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, *, has_body: bool
    ) -> Answer:
        started = time.perf_counter()
        writer.write(data)
        sending = asyncio.create_task(writer.drain())  # the answer to a refused body comes before it is sent
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            pairs = (line.partition(":") for line in lines[1:] if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            body = await _body(reader, headers) if has_body else b""
        finally:
            is_sent = sending.done()
            sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending
        answer = Answer(status, headers, body, time.perf_counter() - started)
        if not is_sent or headers.get("connection", "").lower() == "close":
            self.close()
        return answer


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    """The body of an answer, whose length was told before or chunk by chunk (RFC 9112 section 6)."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    chunks = []
    while (size := int(await reader.readline(), 16)) > 0:
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(chunks)
