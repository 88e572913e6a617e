"""The SQL of what searches show of messages."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import literal, select
from sqlalchemy.orm import aliased

from app.auth.guests.types import Owner
from app.chat.models import Conversation, Message
from app.chat.repository import lives
from app.chat.search.types import MAX_PATH, FoundMessage
from app.db.repository import BaseRepository


class FoundMessageRepository(BaseRepository[Message]):
    """Messages that were found."""

    model = Message

    async def of(self, owner: Owner, message_ids: Collection[UUID]) -> Mapping[UUID, FoundMessage]:
        """Those of the messages that are the owner's, and have not expired."""
        if not message_ids:
            return {}
        mine = Conversation.user_id == owner.user_id if owner.user_id else Conversation.guest_id == owner.guest_id
        # Apart, with a limit: SQLite would otherwise begin with the owner's conversations, and read all their messages.
        few: tuple[Any, ...] = (Message.id, Message.conversation_id, Message.role, Message.created_at)
        found = select(*few).where(Message.id.in_(message_ids)).limit(len(message_ids)).subquery()
        columns: tuple[Any, ...] = (Conversation.id, Conversation.title, found.c.role, found.c.created_at)
        statement = (
            select(found.c.id.label("message_id"), *columns)
            .join(Conversation, Conversation.id == found.c.conversation_id)
            .where(mine, lives(self.clock.now()))
        )
        return {row.message_id: FoundMessage(*tuple(row)[1:]) for row in await self.session.rows(statement)}

    async def paths(self, message_ids: Collection[UUID]) -> Mapping[UUID, Sequence[UUID]]:
        """The way to each message from the root, or from `MAX_PATH` messages above: one statement for all of them.

        Whoever asks has made sure whose they are.
        """
        if not message_ids:
            return {}
        columns: tuple[Any, ...] = (Message.id, Message.parent_id, Message.conversation_id)
        start = select(Message.id.label("found_id"), *columns, literal(1).label("step"))
        way = start.where(Message.id.in_(message_ids)).cte("way", recursive=True)
        above = aliased(Message)
        way = way.union_all(
            select(way.c.found_id, above.id, above.parent_id, above.conversation_id, (way.c.step + 1).label("step"))
            .join(way, above.id == way.c.parent_id)
            .where(above.conversation_id == way.c.conversation_id, way.c.step < MAX_PATH)
        )
        found: dict[UUID, list[UUID]] = defaultdict(list)
        for row in await self.session.rows(select(way.c.found_id, way.c.id).order_by(way.c.step.desc())):
            found[row.found_id].append(row.id)
        return found
