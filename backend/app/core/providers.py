"""The settings of one provider of models, an element of `LLM_PROVIDERS`."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from app.core.addresses import is_local_host, require_base_url
from app.core.text import require_single_line

MAX_MODEL_NAME_LENGTH = 128
BUILT_IN_PROVIDER = "merit"
"""The name before the models that need no provider, such as `merit/echo`."""


def _require_pattern(value: str) -> str:
    if "*" in value[:-1] or value != require_single_line(value).strip():
        raise ValueError("must be the name of a model, or the beginning of names and a *")
    return value


ModelPattern = Annotated[str, Field(min_length=1, max_length=MAX_MODEL_NAME_LENGTH), AfterValidator(_require_pattern)]


class ProviderSettings(BaseModel):
    """An endpoint that speaks OpenAI's chat completions, and what may be asked of it. Times are seconds.

    `models` are names, or beginnings of names with a `*` behind. `stand_in` is the model that answers here when those
    that were asked for fail elsewhere. `max_tokens_field` is what it calls the limit of a reply.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    base_url: Annotated[str, AfterValidator(require_base_url)]
    api_key: SecretStr = SecretStr("")
    models: tuple[ModelPattern, ...] = Field(default=("*",), min_length=1, max_length=200)
    stand_in: ModelPattern | None = None
    max_tokens_field: str = Field(default="max_tokens", pattern="^max_(completion_)?tokens$")
    max_concurrency: int = Field(default=64, ge=1, le=10_000)
    connect_seconds: float = Field(default=5.0, gt=0, le=60)
    first_token_seconds: float = Field(default=60.0, gt=0, le=600)
    idle_seconds: float = Field(default=30.0, gt=0, le=600)
    total_seconds: float = Field(default=600.0, gt=0, le=3600)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.name == BUILT_IN_PROVIDER:
            raise ValueError(f"name must not be {BUILT_IN_PROVIDER}")
        if self.stand_in is not None and self.stand_in.endswith("*"):
            raise ValueError("stand_in must be the name of a model")
        parts = urlsplit(self.base_url)
        if self.api_key.get_secret_value() and parts.scheme == "http" and not is_local_host(parts.hostname):
            raise ValueError("base_url must be https: api_key would cross the network in clear")
        return self


def require_distinct(providers: tuple[ProviderSettings, ...]) -> tuple[ProviderSettings, ...]:
    """Return the providers, or raise ValueError where two have the same name."""
    if len({provider.name for provider in providers}) < len(providers):
        raise ValueError("two providers have the same name")
    return providers
