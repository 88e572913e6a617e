"""Reading the server-sent events of replies, as a client does; for tests and drills."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

DELTA = "response.output_text.delta"
FINAL = frozenset({"response.completed", "response.failed", "response.cancelled", "response.incomplete"})


@dataclass(frozen=True)
class Event:
    """One event."""

    id: int
    name: str
    data: dict[str, Any]


@dataclass
class Heard:
    """What a client has of a stream so far."""

    events: list[Event] = field(default_factory=list)
    comments: int = 0

    @property
    def text(self) -> str:
        """The deltas, put together."""
        return "".join(event.data["delta"] for event in self.events if event.name == DELTA)

    @property
    def names(self) -> list[str]:
        """What happened, deltas in a row as one."""
        names = [event.name.removeprefix("response.") for event in self.events]
        return [name for before, name in zip(["", *names], names, strict=False) if name != before]

    @property
    def last_id(self) -> int:
        """Where to go on."""
        return self.events[-1].id if self.events else 0

    @property
    def response_id(self) -> str:
        """Whose events these are."""
        return str(self.events[0].data["response_id"])

    def feed(self, block: str) -> None:
        """Take in what stands between two empty lines."""
        members = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if members:
            self.events.append(Event(int(members["id"]), members["event"], json.loads(members["data"])))
        else:
            self.comments += 1


async def listen(
    answer: httpx.Response,
    heard: Heard | None = None,
    *,
    until_length: float = math.inf,
    on_event: Callable[[], None] | None = None,
) -> Heard:
    """Read a stream into `heard`, to its end or until there is so much text; `on_event` is called at each event.

    Raises:
        RuntimeError: the answer is no stream.
        httpx.TransportError: the connection broke; `heard` has what came before.
    """
    heard = Heard() if heard is None else heard
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        raise RuntimeError(f"no stream: {answer.status_code} {(await answer.aread())!r}")
    rest, length = "", 0
    async for chunk in answer.aiter_text():
        *blocks, rest = (rest + chunk).split("\n\n")
        for block in blocks:
            heard.feed(block)
            if on_event is not None:
                on_event()
            length += len(heard.events[-1].data.get("delta", "")) if heard.events else 0
        if length >= until_length:
            break
    return heard
