"""The SQL of what searches show of messages."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Select, bindparam, literal, select
from sqlalchemy.orm import aliased

from app.auth.guests.types import Owner
from app.chat.models import Conversation, Message
from app.chat.repository import lives
from app.chat.search.types import MAX_PATH, FoundMessage
from app.db.repository import BaseRepository


def _of(owner: Any) -> Select[Any]:
    # Apart, with a limit: SQLite would otherwise begin with the owner's conversations, and read all their messages.
    few: tuple[Any, ...] = (Message.id, Message.conversation_id, Message.role, Message.created_at)
    is_found = Message.id.in_(bindparam("message_ids", expanding=True))
    found = select(*few).where(is_found).limit(bindparam("count", type_=Integer())).subquery()
    columns: tuple[Any, ...] = (Conversation.id, Conversation.title, found.c.role, found.c.created_at)
    return (
        select(found.c.id.label("message_id"), *columns)
        .join(Conversation, Conversation.id == found.c.conversation_id)
        .where(owner == bindparam("owner_id", type_=owner.type), lives(bindparam("now", type_=Message.created_at.type)))
    )


def _paths() -> Select[Any]:
    columns: tuple[Any, ...] = (Message.id, Message.parent_id, Message.conversation_id)
    start = select(Message.id.label("found_id"), *columns, literal(1).label("step"))
    way = start.where(Message.id.in_(bindparam("message_ids", expanding=True))).cte("way", recursive=True)
    above = aliased(Message)
    way = way.union_all(
        select(way.c.found_id, above.id, above.parent_id, above.conversation_id, (way.c.step + 1).label("step"))
        .join(way, above.id == way.c.parent_id)
        .where(above.conversation_id == way.c.conversation_id, way.c.step < MAX_PATH)
    )
    return select(way.c.found_id, way.c.id).order_by(way.c.step.desc())


# What every search asks is put together once: that takes longer than to run it.
_OF_USER = _of(Conversation.user_id)
_OF_GUEST = _of(Conversation.guest_id)
_PATHS = _paths()


class FoundMessageRepository(BaseRepository[Message]):
    """Messages that were found."""

    model = Message

    async def of(self, owner: Owner, message_ids: Collection[UUID]) -> Mapping[UUID, FoundMessage]:
        """Those of the messages that are the owner's, and have not expired."""
        if not message_ids:
            return {}
        statement = _OF_USER if owner.user_id else _OF_GUEST
        values = {
            "message_ids": list(message_ids),
            "count": len(message_ids),
            "owner_id": owner.user_id or owner.guest_id,
            "now": self.clock.now(),
        }
        return {row.message_id: FoundMessage(*tuple(row)[1:]) for row in await self.session.rows(statement, values)}

    async def paths(self, message_ids: Collection[UUID]) -> Mapping[UUID, Sequence[UUID]]:
        """The way to each message from the root, or from `MAX_PATH` messages above: one statement for all of them.

        Whoever asks has made sure whose they are.
        """
        if not message_ids:
            return {}
        found: dict[UUID, list[UUID]] = defaultdict(list)
        for row in await self.session.rows(_PATHS, {"message_ids": list(message_ids)}):
            found[row.found_id].append(row.id)
        return found
