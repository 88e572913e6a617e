"""A TCP proxy on loopback that can break in the ways in which networks break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum


class Fault(StrEnum):
    """A way in which the other side is away."""

    REFUSED = "down"
    """Nothing listens; open connections are reset."""
    CUT = "cut off"
    """Connections are accepted and reset at once; open ones are reset."""
    STALLED = "stalled"
    """Nothing passes, and goes on where it stopped when healed."""
    VANISHED = "forgetting connections"
    """Nothing passes, ever, on connections of before and during the fault, as behind a firewall that forgot them."""


class Proxy:
    """Passes bytes between whoever connects to `port` and another port on this machine."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._listener: asyncio.Server | None = None
        self._fault: Fault | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._dead: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        """Accept connections."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def fail(self, fault: Fault) -> None:
        """Break."""
        self._fault = fault
        if fault is Fault.STALLED:
            self._flowing.clear()
            return
        if fault is Fault.REFUSED and self._listener is not None:
            self._listener.close()
        if fault is Fault.VANISHED:
            self._dead |= self._writers
            return
        for writer in self._writers:
            writer.transport.abort()

    async def heal(self) -> None:
        """Work again."""
        fault, self._fault = self._fault, None
        if fault is Fault.REFUSED:
            await self.listen()
        self._flowing.set()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            if self._fault is Fault.CUT:
                writer.transport.abort()
                return
            if self._fault is Fault.VANISHED:
                self._dead.add(writer)
            await self._join(reader, writer)
        finally:
            self._writers.discard(writer)
            self._dead.discard(writer)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers.add(far_writer)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, far_writer, writer))
                    group.create_task(self._pump(far_reader, writer, writer))
            except* OSError:
                pass
            finally:
                self._writers.discard(far_writer)
                far_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, near: asyncio.StreamWriter) -> None:
        """Pass on what comes; at its end close the other side too. `near` tells whether the connection is dead."""
        while data := await reader.read(65536):
            await self._flowing.wait()
            if near not in self._dead:
                to.write(data)
                await to.drain()
        to.close()


@asynccontextmanager
async def proxied(target_port: int) -> AsyncIterator[Proxy]:
    """A proxy that listens on a free port."""
    proxy = Proxy(target_port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.close()
