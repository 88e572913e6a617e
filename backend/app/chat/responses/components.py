"""The parts of replies that live as long as the process."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from app.auth.guests.claims import ClaimRegistry
from app.chat.components import ChatComponents
from app.chat.responses.claims import claim_responses
from app.chat.responses.engine import ReplyEngine
from app.chat.responses.hub import Hub
from app.chat.responses.pruning import EventPruning
from app.chat.responses.reaper import Reaper
from app.llm.fallback import Models


@dataclass(frozen=True, slots=True)
class ReplyComponents:
    """What services of replies are built from, request by request."""

    parts: ChatComponents
    models: Models
    hub: Hub
    engine: ReplyEngine
    reaper: Reaper

    @classmethod
    def create(cls, parts: ChatComponents, models: Models, claims: ClaimRegistry) -> Self:
        """Build the parts; nothing touches the database before `start`."""
        hub = Hub(parts.database, parts.clock)
        keep = timedelta(hours=parts.settings.reply_event_hours)
        EventPruning(parts.database, parts.clock, keep=keep).register(parts.jobs)
        claims.register("responses", claim_responses(parts.clock))
        return cls(
            parts=parts,
            models=models,
            hub=hub,
            engine=ReplyEngine(parts, models, hub),
            reaper=Reaper(parts),
        )

    async def start(self) -> None:
        """Begin to write replies, and to end those of dead processes."""
        self.engine.start_up()
        self.reaper.start()

    async def close(self) -> None:
        """Let replies end for a while, keep what is there of the rest, and let every follower go."""
        await self.reaper.close()
        await self.engine.close(self.parts.settings.reply_drain_seconds)
        await self.hub.close()
