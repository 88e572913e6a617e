"""The parts of the chat package that live as long as the process."""

from dataclasses import dataclass
from typing import Self

from app.auth.components import AuthComponents
from app.auth.secret_texts import SecretTextCodec
from app.chat.claims import claim_conversations
from app.chat.indexing import LateIndexing
from app.chat.retention import Retention
from app.chat.sharing.views import ShareUpkeep, ShareViews
from app.chat.usage.upkeep import UsageUpkeep
from app.core.clock import Clock
from app.core.pagination import CursorCodec
from app.core.settings import Settings
from app.db.engine import Database
from app.jobs.queue import Jobs

SHARE_TOKEN_PREFIX = "shr"  # noqa: S105 - the kind of the secret, not a secret


@dataclass(frozen=True, slots=True)
class ChatComponents:
    """What the services of conversations are built from, request by request."""

    settings: Settings
    database: Database
    clock: Clock
    auth: AuthComponents
    cursors: CursorCodec
    jobs: Jobs
    default_model: str
    share_tokens: SecretTextCodec
    share_views: ShareViews

    @classmethod
    def create(cls, auth: AuthComponents, *, default_model: str) -> Self:
        """Build the parts, and make their jobs and claims known; nothing touches the database."""
        components = cls(
            settings=auth.settings,
            database=auth.database,
            clock=auth.clock,
            auth=auth,
            cursors=auth.cursors,
            jobs=auth.jobs,
            default_model=default_model,
            share_tokens=SecretTextCodec(SHARE_TOKEN_PREFIX, auth.settings.secret_key),
            share_views=ShareViews(auth.database, auth.clock),
        )
        Retention(auth.database, auth.clock).register(auth.jobs)
        LateIndexing(auth.database, auth.clock).register(auth.jobs)
        auth.guests.claims.register("chat", claim_conversations(auth.clock))
        ShareUpkeep(auth.clock).register(auth.jobs)
        UsageUpkeep(components).register(auth.jobs, auth.guests.claims)
        return components

    async def start(self) -> None:
        """Begin what goes on beside requests."""
        await self.share_views.start()

    async def close(self) -> None:
        """Write what is still in memory."""
        await self.share_views.close()
