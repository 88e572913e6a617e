"""Which models there are, and who provides them in which order."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.errors import ConfigurationError
from app.core.providers import BUILT_IN_PROVIDER, MAX_MODEL_NAME_LENGTH, ProviderSettings
from app.core.text import require_single_line
from app.llm.echo import ECHO_MODEL
from app.llm.errors import ModelNotFoundError
from app.llm.types import ChatProvider, ModelInfo

_ANY = "*"


@dataclass(frozen=True, slots=True)
class Route:
    """One way to a reply: a provider, the name of the model there, and what measurements call it (few values)."""

    provider: ChatProvider
    model: str
    label: str

    @property
    def full_name(self) -> str:
        """The model with its provider's name before it."""
        return self.model if self.model == ECHO_MODEL else f"{self.provider.name}/{self.model}"


class Catalog:
    """The models of the settings, and the built-in one.

    `openai/gpt-4o-mini` names the provider `openai`; a bare name, or one with a slash that no provider has, means every
    provider whose `models` fit, in the order of the settings. The stand-ins of the others come last.
    """

    def __init__(
        self, echo: ChatProvider, providers: Sequence[tuple[ProviderSettings, ChatProvider]], default: str | None
    ) -> None:
        self._echo = echo
        self._providers = providers
        self.default_model = default or next(iter(self.models())).id
        try:
            self.routes(self.default_model)
        except ModelNotFoundError:
            raise ConfigurationError("LLM_DEFAULT_MODEL", "is offered by no provider of LLM_PROVIDERS") from None

    def models(self) -> list[ModelInfo]:
        """The models that the settings name, without those that only fit a pattern, and the built-in one last."""
        named = [
            ModelInfo(f"{settings.name}/{model}", settings.name)
            for settings, _ in self._providers
            for model in settings.models
            if not model.endswith(_ANY)
        ]
        return [*dict.fromkeys(named), ModelInfo(ECHO_MODEL, BUILT_IN_PROVIDER)]

    def routes(self, name: str) -> list[Route]:
        """Who is asked for this model, in this order; at least one.

        Raises:
            ModelNotFoundError: nobody.
        """
        if name == ECHO_MODEL:
            return [Route(self._echo, name, name)]
        is_built_in = name.startswith(f"{BUILT_IN_PROVIDER}/")
        found = self._matching(name) if _is_a_name(name) and not is_built_in else []
        if not found:
            raise ModelNotFoundError
        taken = {route.provider.name for route in found}
        stand_ins = [
            Route(provider, settings.stand_in, settings.stand_in)
            for settings, provider in self._providers
            if settings.stand_in is not None and settings.name not in taken
        ]
        return found + stand_ins

    def _matching(self, name: str) -> list[Route]:
        prefix, _, rest = name.partition("/")
        for settings, provider in self._providers:
            if settings.name == prefix and rest and (pattern := _pattern_of(settings, rest)):
                return [Route(provider, rest, pattern)]
        return [
            Route(provider, name, pattern)
            for settings, provider in self._providers
            if (pattern := _pattern_of(settings, name))
        ]


def _pattern_of(settings: ProviderSettings, model: str) -> str | None:
    for pattern in settings.models:
        if model == pattern or (pattern.endswith(_ANY) and model.startswith(pattern[:-1])):
            return pattern
    return None


def _is_a_name(text: str) -> bool:
    try:
        return 0 < len(require_single_line(text).strip()) == len(text) <= MAX_MODEL_NAME_LENGTH
    except ValueError:
        return False
