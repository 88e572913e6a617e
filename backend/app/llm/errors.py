"""What can go wrong with models: what callers are told, and how one provider failed."""

import re

from app.core.errors import InvalidInputError, ServiceUnavailableError
from app.core.text import clean_header
from app.llm.types import Fault

MAX_DETAIL_LENGTH = 300
_SECRET = re.compile(r"[\w.~+/=*-]{24,}|\bsk-[\w*-]+")
_MASK = "[...]"

FINAL_FAULTS = frozenset({Fault.REFUSED})
"""Faults of the request itself, which another provider would refuse too."""


class ModelNotFoundError(InvalidInputError):
    """No provider offers a model of this name; `GET /openai/v1/models` lists those there are."""

    code = "model_not_found"
    title = "Model not found"


class ModelRefusedError(InvalidInputError):
    """The provider refuses the request as it is: the conversation is too long for the model, as a rule."""

    code = "model_refused"
    title = "The model's provider refuses the request"


class AllProvidersFailedError(ServiceUnavailableError):
    """Every provider that offers the model failed before it said anything."""

    code = "all_providers_failed"
    title = "The model does not answer"


class ProviderError(Exception):
    """How one provider failed. `detail` says it to people, without secrets; `retry_after_seconds` is its own wish."""

    def __init__(self, fault: Fault, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


def clean_detail(text: str, *secrets: str) -> str:
    """A provider's message on one line, cut, without the secrets and without what looks like one."""
    for secret in filter(None, secrets):
        text = text.replace(secret, _MASK)
    return clean_header(_SECRET.sub(_MASK, text[: 4 * MAX_DETAIL_LENGTH]), MAX_DETAIL_LENGTH)
