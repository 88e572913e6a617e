"""The one way to models: whoever can answer does, in the order of the settings."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from math import ceil
from typing import Self

from app.core.clock import Clock
from app.core.logging import get_logger
from app.core.observations import Observation, Observations
from app.core.providers import ProviderSettings
from app.core.settings import Settings
from app.llm.breaker import Breaker, Breakers
from app.llm.catalog import Catalog, Route
from app.llm.echo import EchoProvider
from app.llm.errors import (
    FINAL_FAULTS,
    AllProvidersFailedError,
    ModelNotFoundError,
    ModelRefusedError,
    ProviderError,
)
from app.llm.text import estimate_usage
from app.llm.types import (
    INTERRUPTED,
    AttemptFailed,
    AttemptStarted,
    ChatProvider,
    Fault,
    Finish,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    Usage,
)

OPERATION = "llm.chat"

logger = get_logger("llm")


class Models:
    """All models. A provider that fails before its first text is followed by the next one; afterwards none is, because
    another one's text would not go on where the first one's ended.
    """

    def __init__(
        self, catalog: Catalog, providers: list[ChatProvider], clock: Clock, observations: Observations
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._clock = clock
        self._observations = observations
        self._breakers = Breakers(clock)

    @classmethod
    def create(cls, settings: Settings, clock: Clock, observations: Observations) -> Self:
        """The models of these settings; nothing is opened before the first request.

        Raises:
            ConfigurationError: nobody offers LLM_DEFAULT_MODEL.
        """
        bound = settings.llm_max_reply_bytes
        endpoints: list[tuple[ProviderSettings, ChatProvider]] = []
        if settings.llm_providers:
            from app.llm.endpoint import Endpoint  # noqa: PLC0415 - the SDK takes 20 MB, and time at each start

            endpoints = [(one, Endpoint(one, clock, max_reply_bytes=bound)) for one in settings.llm_providers]
        echo = EchoProvider(max_reply_bytes=bound)
        catalog = Catalog(echo, endpoints, settings.llm_default_model)
        return cls(catalog, [echo, *(endpoint for _, endpoint in endpoints)], clock, observations)

    @property
    def default_model(self) -> str:
        """The model of whoever names none."""
        return self._catalog.default_model

    def list_models(self) -> list[ModelInfo]:
        """The models that the settings name; others may fit a pattern of them."""
        return self._catalog.models()

    def require(self, name: str) -> None:
        """Accept the name of a model.

        Raises:
            ModelNotFoundError: nobody offers it.
        """
        self._catalog.routes(name)

    def candidates(self, name: str) -> list[str]:
        """The models that may answer to this name, each with its provider's, in the order in which they are asked.

        Raises:
            ModelNotFoundError: nobody offers it.
        """
        return [route.full_name for route in self._catalog.routes(name)]

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """A reply. Its last two events are `Usage` and `Finish`; each call of a provider is told of before and, if it
        fails, after. Take it through `contextlib.aclosing`: the provider's connection is closed with this generator.

        Raises:
            ModelNotFoundError: nobody offers the model.
            ModelRefusedError: the request itself is refused.
            AllProvidersFailedError: nobody answered.
        """
        failures: list[tuple[Route, ProviderError]] = []
        number = 0
        for route in self._catalog.routes(request.model):
            breaker = self._breakers.of(route.provider.name, route.model)
            if not breaker.enter():
                failures.append((route, ProviderError(Fault.COOLING_DOWN, "It failed a moment ago.")))
                continue
            number += 1
            attempt = _Attempt(number, route, request, breaker)
            try:
                async with aclosing(attempt.run(self._clock)) as events:
                    async for event in events:
                        yield event
            finally:
                self._observations.record(attempt.observation(self._clock))
            if attempt.error is None or attempt.reply_bytes:
                return
            failures.append((route, attempt.error))
            if attempt.error.fault in FINAL_FAULTS:
                break
        raise self._refusal(failures)

    async def close(self) -> None:
        """Close all connections."""
        for provider in self._providers:
            await provider.close()

    def _refusal(self, failures: list[tuple[Route, ProviderError]]) -> Exception:
        faults = {failure.fault for _, failure in failures}
        if faults & FINAL_FAULTS:
            return ModelRefusedError(failures[-1][1].detail)
        if faults == {Fault.MODEL_UNKNOWN}:
            return ModelNotFoundError()
        waits = [self._breakers.of(route.provider.name, route.model).wait_seconds for route, _ in failures]
        return AllProvidersFailedError(retry_after_seconds=max(1, ceil(min(waits))))


class _Attempt:
    """One call of one provider."""

    def __init__(self, number: int, route: Route, request: ModelRequest, breaker: Breaker) -> None:
        self._number = number
        self._route = route
        self._request = request
        self._breaker = breaker
        self._began = 0.0
        self._usage: Usage | None = None
        self.error: ProviderError | None = None
        self.reply_bytes = 0
        self._reasoning_bytes = 0

    async def run(self, clock: Clock) -> AsyncGenerator[ModelEvent, None]:
        """What the provider says, and how it ended; `error` is set where it failed."""
        self._began = clock.monotonic()
        provider, model = self._route.provider, self._route.model
        try:
            yield AttemptStarted(self._number, provider.name, model)
            async with aclosing(provider.stream(model, self._request)) as events:
                async for event in events:
                    match event:
                        case Usage():
                            self._usage = event
                        case Finish():
                            self._breaker.succeed()
                            yield self._used()
                            yield event
                        case TextDelta():
                            self.reply_bytes += len(event.text.encode())
                            yield event
                        case ReasoningDelta():
                            self._reasoning_bytes += len(event.text.encode())
                            yield event
        except ProviderError as error:
            self._note(error)
            yield AttemptFailed(self._number, provider.name, model, error.fault, error.detail)
            if self.reply_bytes:
                yield self._used()
                yield Finish(INTERRUPTED, provider.name, model, error.fault)
        finally:
            self._breaker.leave()

    def observation(self, clock: Clock) -> Observation:
        """What is measured of it. A caller who hangs up is no failure of the provider."""
        usage = self._used() if self._usage or self.reply_bytes or self._reasoning_bytes else None
        return Observation(
            OPERATION,
            (clock.monotonic() - self._began) * 1000,
            is_success=self.error is None,
            error_class=None if self.error is None else self.error.fault.value,
            dimensions={"provider": self._route.provider.name, "model": self._route.label},
            amounts={} if usage is None else {"tokens.prompt": usage.prompt, "tokens.completion": usage.completion},
        )

    def _used(self) -> Usage:
        """The provider's count, or our own of what came from it; reasoning is paid for like text."""
        return self._usage or estimate_usage(self._request, self.reply_bytes + self._reasoning_bytes)

    def _note(self, error: ProviderError) -> None:
        self.error = error
        if error.fault in FINAL_FAULTS | {Fault.MODEL_UNKNOWN, Fault.BUSY, Fault.TOO_LONG}:
            self._breaker.leave()  # what this caller asked for, or how many do, says nothing of the provider's health
        else:
            self._breaker.fail(error.retry_after_seconds)
        logger.warning(
            "provider failed",
            provider=self._route.provider.name,
            model=self._route.label,
            fault=error.fault.value,
            is_interrupted=bool(self.reply_bytes),
        )
