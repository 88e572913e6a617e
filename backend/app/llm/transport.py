"""The way to a provider over HTTP, with a bound on what comes back."""

from collections.abc import AsyncIterator

import httpx

_WIRE_BYTES_A_TEXT_BYTE = 128  # a token of four bytes comes in an event of some 300
_LINE_BYTES_A_TEXT_BYTE = 8  # a character of one byte may be escaped as \u0061


class OversizeError(httpx.RequestError):
    """The answer is longer than any reply may be, or compressed, which hides how long it is."""


class BoundedTransport(httpx.AsyncBaseTransport):
    """Cuts answers that would fill the memory: endless ones, and endless lines, which a parser would collect.

    What the SDK tells about this machine in `X-Stainless-…` headers stays here.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, max_text_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_text_bytes * _WIRE_BYTES_A_TEXT_BYTE
        self._max_line_bytes = max_text_bytes * _LINE_BYTES_A_TEXT_BYTE

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        for name in [name for name in request.headers if name.lower().startswith("x-stainless-")]:
            del request.headers[name]
        request.headers["Accept-Encoding"] = "identity"
        answer = await self._inner.handle_async_request(request)
        stream = _BoundedStream(answer.stream, self._max_bytes, self._max_line_bytes)
        if answer.headers.get("content-encoding", "identity") != "identity":
            await stream.aclose()
            raise OversizeError("compressed without being asked to")
        return httpx.Response(answer.status_code, headers=answer.headers, stream=stream, extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(
        self, inner: httpx.SyncByteStream | httpx.AsyncByteStream, max_bytes: int, max_line_bytes: int
    ) -> None:
        if not isinstance(inner, httpx.AsyncByteStream):
            raise TypeError("an asynchronous transport gives asynchronous streams")
        self._inner = inner
        self._max_bytes = max_bytes
        self._max_line_bytes = max_line_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = line = 0
        async for chunk in self._inner:
            total += len(chunk)
            end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
            line = len(chunk) - 1 - end if end >= 0 else line + len(chunk)
            if total > self._max_bytes or line > self._max_line_bytes:
                raise OversizeError("longer than a reply may be")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
