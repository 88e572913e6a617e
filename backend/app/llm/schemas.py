"""How a model shall reply, as callers may say it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from app.core.text import SafeStr

StopText = Annotated[SafeStr, Field(min_length=1, max_length=64)]


class ModelParams(BaseModel):
    """Wishes about a reply, in the words of the OpenAI API; what is None is left to the provider."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    max_tokens: StrictInt | None = Field(default=None, ge=1, le=1_000_000)
    seed: StrictInt | None = Field(default=None, ge=-(2**31), lt=2**31)
    stop: tuple[StopText, ...] | None = Field(default=None, min_length=1, max_length=4)
