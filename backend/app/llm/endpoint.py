"""One OpenAI-compatible endpoint, through the official SDK."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import cache
from typing import Any, cast

import httpx
import openai
from openai.types.chat import ChatCompletionChunk

from app.core.clock import Clock
from app.core.providers import ProviderSettings
from app.llm.errors import ProviderError
from app.llm.failures import failure_of
from app.llm.reading import ChunkReader
from app.llm.transport import BoundedTransport
from app.llm.types import Fault, ModelRequest, ProviderEvent

_SPARE_CONNECTIONS = 8
_NO_KEY = "none"  # what a server without keys gets: the SDK insists on one


@cache
def _certificates() -> ssl.SSLContext:
    """What the certificates of providers are checked against; reading it takes a moment."""
    return httpx.create_ssl_context(trust_env=False)


class Endpoint:
    """A provider of the settings. Each reply is one request, never repeated here; its address is the operator's alone.

    Redirects are not followed, and neither proxies nor credentials are taken from the environment.
    """

    def __init__(self, settings: ProviderSettings, clock: Clock, *, max_reply_bytes: int) -> None:
        self._settings = settings
        self._clock = clock
        self._max_reply_bytes = max_reply_bytes
        self._slots = asyncio.Semaphore(settings.max_concurrency)
        self._client: openai.AsyncOpenAI | None = None

    @property
    def name(self) -> str:
        """What it is called in the settings and in records."""
        return self._settings.name

    async def stream(self, model: str, request: ModelRequest) -> AsyncGenerator[ProviderEvent, None]:
        """The reply of one of its models, which ends with `Finish`.

        The connection is closed as soon as this generator is, or its task is cancelled.

        Raises:
            ProviderError: it failed; what came before is all that comes.
        """
        reader = ChunkReader(self.name, model, self._max_reply_bytes, request.params.max_tokens)
        try:
            async with self._slot(), self._open(model, request, reader) as chunks:
                async for chunk in chunks:
                    for event in reader.read(chunk):
                        yield event
                    if reader.is_full:
                        break
            for ending in reader.finish():
                yield ending
        except (openai.OpenAIError, httpx.HTTPError, ValueError, RecursionError, TimeoutError) as error:
            key = self._settings.api_key.get_secret_value()
            raise failure_of(error, self._clock.now(), key) from None

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """One of the calls that may run at once."""
        try:
            async with asyncio.timeout(self._settings.connect_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise ProviderError(Fault.BUSY, "Too many replies are being written.") from None
        try:
            yield
        finally:
            self._slots.release()

    @asynccontextmanager
    async def _open(
        self, model: str, request: ModelRequest, reader: ChunkReader
    ) -> AsyncIterator[AsyncIterator[ChatCompletionChunk]]:
        """The chunks of a reply. Time runs while the provider is waited for, not while their reader takes his time."""
        completions = self._sdk().chat.completions
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.total_seconds
        first_end = min(end, loop.time() + self._settings.first_token_seconds)
        async with asyncio.timeout_at(first_end):
            stream = await completions.create(**self._arguments(model, request))
        async with stream, aclosing(self._chunks(stream, reader, first_end, end)) as chunks:
            yield chunks

    async def _chunks(
        self, stream: openai.AsyncStream[ChatCompletionChunk], reader: ChunkReader, first_end: float, end: float
    ) -> AsyncGenerator[ChatCompletionChunk, None]:
        now = asyncio.get_running_loop().time
        limit = first_end
        while True:
            async with asyncio.timeout_at(limit):
                try:
                    chunk = await anext(stream)
                except StopAsyncIteration:
                    return
            yield chunk
            limit = min(end, now() + self._settings.idle_seconds) if reader.has_begun else first_end

    def _arguments(self, model: str, request: ModelRequest) -> dict[str, Any]:
        params = request.params.model_dump(exclude_none=True)
        if "max_tokens" in params:
            params[self._settings.max_tokens_field] = params.pop("max_tokens")
        return {
            "model": model,
            "messages": [{"role": one.role, "content": one.content} for one in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            **params,
        }

    def _sdk(self) -> openai.AsyncOpenAI:
        if self._client is None:  # only now, since most are never asked
            settings = self._settings
            limits = httpx.Limits(
                max_connections=settings.max_concurrency + _SPARE_CONNECTIONS, max_keepalive_connections=32
            )
            verify = _certificates() if settings.base_url.startswith("https:") else False
            inner = httpx.AsyncHTTPTransport(verify=verify, limits=limits, trust_env=False)
            transport = BoundedTransport(inner, self._max_reply_bytes)
            http = httpx.AsyncClient(transport=transport, trust_env=False, follow_redirects=False)
            self._client = openai.AsyncOpenAI(
                base_url=settings.base_url,
                api_key=settings.api_key.get_secret_value() or _NO_KEY,
                max_retries=0,
                timeout=openai.Timeout(settings.total_seconds, connect=settings.connect_seconds),
                http_client=cast("Any", http),  # the SDK's own types know only its fork of httpx
            )
            self._client.organization = self._client.project = None  # which it takes from the environment
        return self._client
