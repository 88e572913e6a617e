"""The server itself: HTTP by hand over a real socket, because most of its faults are not allowed in HTTP."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Self, cast

from tools.provider import wire
from tools.provider.faults import Faults

MODELS = ("test-small", "test-large")


class Outcome(StrEnum):
    """How a request ended."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAULT = "fault"
    CLIENT_GONE = "client_gone"


@dataclass
class Asked:
    """One request for a reply, and how far it came."""

    model: str
    is_stream: bool
    authorization: str
    headers: dict[str, str]
    body: dict[str, Any]
    sent: int = 0
    outcome: Outcome = Outcome.RUNNING


class ClientGoneError(Exception):
    """Whoever asked has closed the connection."""


class _Reader(asyncio.StreamReader):
    """A reader that tells when the other side has closed, also while nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        self.gone.set()
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        self.gone.set()
        super().set_exception(exc)


class Provider:
    """A provider on a port of this machine, within the running loop."""

    def __init__(self, faults: str = "", *, port: int = 0) -> None:
        self.faults = Faults().and_then(faults)
        self.requests: list[Asked] = []
        self.connections = 0
        self.opened = 0
        self._port = port
        self._tries: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(self._serve(cast("_Reader", reader), writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(_Reader(), connect)

        self._server = await loop.create_server(protocol, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, faults: str = "") -> str:
        """A `base_url` at which every request meets these faults."""
        return f"http://127.0.0.1:{self._port}{f'/with/{faults}' if faults else ''}/v1"

    @property
    def outcomes(self) -> list[Outcome]:
        """How the requests ended, in the order in which they came."""
        return [asked.outcome for asked in self.requests]

    async def is_quiet(self, seconds: float = 2) -> bool:
        """Whether no request is running any more, within so many seconds."""
        return await _comes_true(lambda: Outcome.RUNNING not in self.outcomes, seconds)

    async def until_sent(self, chunks: int, seconds: float = 5) -> bool:
        """Whether so many chunks have been sent, to all running requests together, within so many seconds."""
        return await _comes_true(
            lambda: sum(one.sent for one in self.requests if one.outcome is Outcome.RUNNING) >= chunks, seconds
        )

    async def _serve(self, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        self.connections += 1
        self.opened += 1
        try:
            while await _Exchange(self, reader, writer).run():
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ClientGoneError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    def faults_of(self, path: str, model: str) -> Faults:
        """What goes wrong with a request: the server's faults, the path's, the model's.

        Raises:
            ValueError: there is no such fault.
        """
        of_path = path.removeprefix("/with/").rpartition("/v1/")[0] if path.startswith("/with/") else ""
        faults = self.faults.and_then(of_path)
        self._tries[path] += 1
        if faults.times and self._tries[path] > faults.times:
            faults = Faults()
        return faults.and_then(model.partition("+")[2])

    def stats(self) -> dict[str, Any]:
        """What other processes may know: connections, and every request without its body."""
        requests = [{name: value for name, value in asdict(one).items() if name != "body"} for one in self.requests]
        return {"connections": self.connections, "opened": self.opened, "requests": requests}


class _Exchange:
    """One request and its answer."""

    def __init__(self, provider: Provider, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        self._provider, self._reader, self._writer = provider, reader, writer
        self._faults = Faults()
        self._asked = Asked("", is_stream=False, authorization="", headers={}, body={})

    async def run(self) -> bool:
        """Answer; returns whether the connection can be used again."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, path, _ = request.split(" ")
        content = await self._reader.readexactly(int(headers.get("content-length", 0)))
        if method == "GET":
            return await self._tell(path)
        body = json.loads(content)
        self._asked = Asked(
            body["model"],
            is_stream=bool(body.get("stream")),
            authorization=headers.pop("authorization", ""),
            headers=headers,
            body=body,
        )
        self._provider.requests.append(self._asked)
        try:
            self._faults = self._provider.faults_of(path, body["model"])
            return await self._answer()
        except ValueError as error:
            await self._whole(400, {"error": {"message": str(error), "type": "invalid_request_error", "code": None}})
            return self._end(Outcome.FAULT)
        except (ConnectionError, ClientGoneError):
            self._asked.outcome = Outcome.CLIENT_GONE
            raise

    async def _tell(self, path: str) -> bool:
        if path == "/stats":
            return await self._whole(200, self._provider.stats())
        if not path.endswith("/v1/models"):
            return await self._whole(404, wire.error(404))
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in MODELS]
        return await self._whole(200, {"object": "list", "data": models})

    async def _answer(self) -> bool:
        faults = self._faults
        await self._sleep(faults.headers)
        if faults.hangup:
            return self._end(Outcome.FAULT)
        if faults.status != HTTPStatus.OK or faults.redirect:
            status = HTTPStatus.TEMPORARY_REDIRECT if faults.redirect else faults.status
            await self._whole(status, wire.error(status, faults.text))
            self._end(Outcome.FAULT)
            return True
        if faults.html or faults.garbage:
            kind = "text/html" if faults.html else "text/event-stream"
            await self._whole(200, b"<!doctype html><title>Log in</title>\n\n", kind)
            return self._end(Outcome.FAULT)
        if self._asked.is_stream and not faults.json:
            return await self._stream()
        text = "".join(wire.pieces(faults, self._asked.body))
        usage = wire.usage_of(faults, self._asked.body, text)
        await self._sleep(faults.first)
        await self._whole(200, wire.completion("chatcmpl-1", faults.actual or self._asked.model, text, faults, usage))
        self._end(Outcome.COMPLETE)
        return True

    async def _stream(self) -> bool:
        faults = self._faults
        await self._send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await self._sleep(faults.first)
        if faults.line:
            while True:
                await self._part(b"x" * 4096)
        events = self._events()
        async for event in events:
            if await self._ends_early():
                return self._end(Outcome.FAULT)
            await self._part(event)
            self._asked.sent += 1
            await self._sleep(faults.gap)
        await self._send(b"0\r\n\r\n")
        self._end(Outcome.COMPLETE)
        return True

    async def _ends_early(self) -> bool:
        """Do what is to be done after so many chunks; returns whether that is the end."""
        faults, sent = self._faults, self._asked.sent
        if sent == faults.stall:
            await self._sleep(3600)
        if sent == faults.error:
            await self._part(wire.event(wire.error(500)))
        if sent == faults.malformed:
            await self._part(wire.event('{"id": "chatcmpl-1", "choi'))
        if sent in (faults.end, faults.error, faults.malformed):
            await self._send(b"0\r\n\r\n")
        return sent in (faults.cut, faults.end, faults.error, faults.malformed)

    async def _events(self) -> AsyncIterator[bytes]:
        faults, body = self._faults, self._asked.body
        model = faults.actual or self._asked.model

        def event(delta: dict[str, Any] | None, finish: str | None = None, **members: Any) -> bytes:
            return wire.event({**wire.chunk("chatcmpl-1", model, delta, finish), **members}, pings=faults.pings)

        for number in range(faults.reasoning):
            yield event({"role": "assistant", "content": None, "reasoning_content": f"thought-{number + 1} "})
        words = 0
        for word in wire.pieces(faults, body):
            words += 1
            yield event({"role": "assistant", "content": word} if words == 1 else {"content": word})
        yield event({}, faults.finish)
        usage = wire.usage_of(faults, body, "w " * words)
        if usage is not None and (body.get("stream_options") or {}).get("include_usage"):
            yield event(None, usage=usage)
        if not faults.nodone:
            yield wire.event("[DONE]")

    async def _whole(self, status: int, body: dict[str, Any] | bytes, kind: str = "application/json") -> bool:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {kind}"]
        lines += [f"Content-Length: {len(content)}"]
        lines += [f"Retry-After: {self._faults.retry_after}"] if self._faults.retry_after else []
        lines += [f"Location: {self._faults.redirect}"] if self._faults.redirect else []
        await self._send("\r\n".join([*lines, "", ""]).encode() + content)
        return True

    async def _part(self, data: bytes) -> None:
        """One part of a body of unknown length, in packets as small as told."""
        size = self._faults.bytes or len(data)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await self._send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if self._faults.bytes:
                await asyncio.sleep(0)

    async def _send(self, data: bytes) -> None:
        if self._reader.gone.is_set():
            raise ClientGoneError
        self._writer.write(data)
        await self._writer.drain()

    async def _sleep(self, seconds: float) -> None:
        if seconds:
            await _unless_gone(self._reader.gone.wait(), seconds)

    def _end(self, outcome: Outcome) -> bool:
        self._asked.outcome = outcome
        return False


async def _unless_gone(gone: Awaitable[bool], seconds: float) -> None:
    try:
        await asyncio.wait_for(gone, seconds)
    except TimeoutError:
        return
    raise ClientGoneError


async def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.005)
    return True
