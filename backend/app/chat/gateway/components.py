"""The parts of the gateway that live as long as the process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.auth.guests.types import Owner
from app.chat.responses.components import ReplyComponents
from app.chat.responses.errors import RepliesBusyError, TooManyRepliesError
from app.core.settings import Settings


class Places:
    """The replies that are passed on by this process without being kept, as many as there may be at once."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_replies
        self._most_per_owner = settings.max_replies_per_owner
        self._taken: list[Owner] = []

    @contextmanager
    def taken(self, owner: Owner) -> Iterator[None]:
        """Take a place.

        Raises:
            TooManyRepliesError, RepliesBusyError: there is none.
        """
        if len(self._taken) >= self._most:
            raise RepliesBusyError(retry_after_seconds=2)
        if self._taken.count(owner) >= self._most_per_owner:
            raise TooManyRepliesError
        self._taken.append(owner)
        try:
            yield
        finally:
            self._taken.remove(owner)


@dataclass(frozen=True, slots=True)
class GatewayComponents:
    """What services of the gateway are built from, request by request."""

    replies: ReplyComponents
    places: Places

    @classmethod
    def create(cls, replies: ReplyComponents) -> "GatewayComponents":
        """Build the parts."""
        return cls(replies, Places(replies.parts.settings))
