"""How the lower layers tell what they did, without knowing who counts it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Observation:
    """One operation that has ended.

    `operation` is a name of low cardinality such as `http.get_me`, `job.mail.send` or `llm.chat`; `duration_ms` is its
    wall time; `error_class` is the short name of what went wrong; `dimensions` are few and of few values. `amounts` are
    what it used up besides time, by names such as `tokens.prompt`; each is counted by itself.
    """

    operation: str
    duration_ms: float
    is_success: bool = True
    error_class: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    amounts: Mapping[str, float] = field(default_factory=dict)


Observer = Callable[[Observation], None]


class Observations:
    """Hands each observation to whoever subscribed; observers must neither block nor raise."""

    def __init__(self) -> None:
        self._observers: list[Observer] = []

    def subscribe(self, observer: Observer) -> None:
        """Call `observer` with every observation from now on."""
        self._observers.append(observer)

    def record(self, observation: Observation) -> None:
        """Tell everybody."""
        for observe in self._observers:
            observe(observation)
