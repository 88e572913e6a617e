"""The one source of the current time."""

import time
from datetime import UTC, datetime


class Clock:
    """The system clock; tests pass a subclass that they move by hand."""

    def now(self) -> datetime:
        """The present moment as an aware UTC datetime."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never run backwards, for measuring ages within one process."""
        return time.monotonic()
