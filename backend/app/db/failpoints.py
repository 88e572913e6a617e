"""Named places at which a test or drill can make the process fail. Refused in production.

`FAILPOINTS=after_commit:kill:3` kills the process the third time it passes `after_commit`; `before_commit:error`
raises each time.
"""

import os
import signal
from collections import Counter

from app.core.errors import ConfigurationError, ServiceUnavailableError

_ACTIONS = ("kill", "error")


class Failpoints:
    """The failpoints of one process; with none set, passing one costs a dictionary look-up."""

    def __init__(self, spec: str = "") -> None:
        self._armed: dict[str, tuple[str, int]] = {}
        self._passed: Counter[str] = Counter()
        for part in filter(None, (item.strip() for item in spec.split(","))):
            name, _, rest = part.partition(":")
            action, _, nth = rest.partition(":")
            if action not in _ACTIONS or (nth and not nth.isdigit()):
                raise ConfigurationError("FAILPOINTS", "must be NAME:kill or NAME:error, with :N for the N-th passing")
            self._armed[name] = (action, int(nth or 0))

    def hit(self, name: str) -> None:
        """Pass the place `name`: nothing happens unless it is armed.

        Raises:
            ServiceUnavailableError: the place is armed with `error`.
        """
        armed = self._armed.get(name)
        if armed is None:
            return
        action, nth = armed
        self._passed[name] += 1
        if nth and self._passed[name] != nth:
            return
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ServiceUnavailableError(f"failpoint {name}")
