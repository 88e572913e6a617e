"""Asking models, and what came of it."""

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from app.core.observations import Observation
from app.llm.fallback import Models
from app.llm.schemas import ModelParams
from app.llm.types import (
    AttemptFailed,
    AttemptStarted,
    Fault,
    Finish,
    ModelEvent,
    ModelMessage,
    ModelRequest,
    TextDelta,
    Usage,
)

KEY = "key-of-these-tests-0123456789-abcdef"  # not a secret: of a provider that takes any


def a_request(model: str = "m", text: str = "one two three", **params: Any) -> ModelRequest:
    """A request with one message of a user."""
    return ModelRequest(model, (ModelMessage("user", text),), ModelParams(**params))


@dataclass
class Heard:
    """The events of one reply."""

    events: list[ModelEvent] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The whole reply."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def usage(self) -> Usage:
        """Its tokens, which are told exactly once."""
        (usage,) = (event for event in self.events if isinstance(event, Usage))
        return usage

    @property
    def finish(self) -> Finish:
        """How it ended, which comes last."""
        (finish,) = (event for event in self.events if isinstance(event, Finish))
        assert self.events[-1] is finish
        assert self.events[-2] is self.usage
        return finish

    @property
    def asked(self) -> list[str]:
        """The providers that were called, in order."""
        return [event.provider for event in self.events if isinstance(event, AttemptStarted)]

    @property
    def faults(self) -> list[Fault]:
        """How those that failed did."""
        return [event.fault for event in self.events if isinstance(event, AttemptFailed)]


@dataclass
class Stage:
    """Models, and what was measured of them."""

    models: Models
    seen: list[Observation]

    async def ask(self, request: ModelRequest | None = None, *, heard: Heard | None = None) -> Heard:
        """A reply to its end. Give `heard` to have the events of one that fails."""
        heard = Heard() if heard is None else heard
        async with aclosing(self.models.stream(request or a_request())) as events:
            async for event in events:
                heard.events.append(event)
        return heard
