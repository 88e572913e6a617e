"""Replies as the gateway passes them on."""

from collections.abc import AsyncGenerator
from typing import Protocol

from app.llm.types import Finish, TextDelta, Usage

SpeechEvent = TextDelta | Usage | Finish


class Speech(Protocol):
    """A reply that is about to come, kept by the service or not."""

    @property
    def id(self) -> str:
        """What the caller may name it by."""

    @property
    def model(self) -> str:
        """The model that was asked for."""

    @property
    def metadata(self) -> dict[str, str] | None:
        """Where it is kept, if it is."""

    def events(self) -> AsyncGenerator[SpeechEvent, None]:
        """The reply, which ends with `Usage` and `Finish`.

        Raises:
            AppError: nothing of it came.
        """
