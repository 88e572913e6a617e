"""Leaving a provider alone that fails."""

from collections import OrderedDict

from app.core.clock import Clock

_FAILURES_IN_A_ROW = 3
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_MAX_BREAKERS = 1024


class Breaker:
    """The failures of one model at one provider. After three in a row it is left alone for a while, twice as long each
    time, and then tried by one caller before it is open to all again. A wish of the provider (`Retry-After`) counts at
    once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0
        self._is_on_trial = False

    @property
    def wait_seconds(self) -> float:
        """How long it is to be left alone; 0 when it may be tried."""
        return max(0.0, self._closed_until - self._clock.monotonic())

    def enter(self) -> bool:
        """Whether it may be called now. Whoever is let in says how it went: `succeed`, `fail` or `leave`."""
        if self.wait_seconds or self._is_on_trial:
            return False
        self._is_on_trial = self._failures >= _FAILURES_IN_A_ROW
        return True

    def succeed(self) -> None:
        """It answered."""
        self._failures, self._closed_until, self._is_on_trial = 0, 0.0, False

    def fail(self, retry_after_seconds: float | None) -> None:
        """It failed, and may have said when to come back."""
        self._failures += 1
        self._is_on_trial = False
        pause = retry_after_seconds or 0.0
        if self._failures >= _FAILURES_IN_A_ROW:
            doublings = min(self._failures - _FAILURES_IN_A_ROW, 10)
            pause = max(pause, min(_FIRST_PAUSE_SECONDS * 2**doublings, _LONGEST_PAUSE_SECONDS))
        self._closed_until = max(self._closed_until, self._clock.monotonic() + pause)

    def leave(self) -> None:
        """The caller went away before it was known, or what failed was not the provider's fault."""
        self._is_on_trial = False


class Breakers:
    """The breakers of all models that were asked for lately: callers choose names, so the number is bounded."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._breakers: OrderedDict[tuple[str, str], Breaker] = OrderedDict()

    def of(self, provider: str, model: str) -> Breaker:
        """The breaker of a model at a provider."""
        key = (provider, model)
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = Breaker(self._clock)
            if len(self._breakers) > _MAX_BREAKERS:
                self._breakers.popitem(last=False)
        self._breakers.move_to_end(key)
        return breaker
