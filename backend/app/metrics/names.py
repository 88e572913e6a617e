"""How many different names callers may bring along: each is a row a minute for a month."""

from collections.abc import Mapping
from datetime import date

from app.core.clock import Clock
from app.metrics.types import OTHER, Dimensions, Series

MAX_OPERATIONS = 500
MAX_SETS = 50
"""Of dimensions, for each operation."""


class ReportedNames:
    """The series that this process has let in today; further ones are counted together, under `other`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._day: date | None = None
        self._known: dict[str, set[Dimensions]] = {}

    def admit(self, operation: str, dimensions: Mapping[str, str]) -> Series:
        """The series that an event is counted under."""
        today = self._clock.now().date()
        if self._day != today:
            self._day, self._known = today, {}
        if operation not in self._known and len(self._known) >= MAX_OPERATIONS:
            return Series(OTHER)
        sets = self._known.setdefault(operation, set())
        wanted = tuple(sorted(dimensions.items()))
        if wanted not in sets and len(sets) >= MAX_SETS:
            return Series(operation, ((OTHER, OTHER),))
        sets.add(wanted)
        return Series(operation, wanted)
