"""The SQL of conversations, their tags and their messages."""

import copy
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Self
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Row,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.orm import aliased

from app.auth.guests.models import Guest
from app.auth.guests.ownership import OwnerRepository
from app.auth.guests.types import Owner
from app.auth.models import User
from app.chat.models import Conversation, ConversationTag, Message
from app.chat.preferences import CHAT_RETENTION_DAYS
from app.chat.responses.models import Response
from app.chat.types import MAX_MESSAGES_PER_CONVERSATION, UNFINISHED, MessageStatus, TitleSource, TreeNode
from app.db.query import Column, snapshot
from app.db.repository import BaseRepository
from app.preferences.models import UserPreference
from app.preferences.types import ACCOUNT_LAYER

_STEPS_AT_ONCE = 500
"""Of one recursion: MariaDB ends every one after 1000 steps, in silence."""


def lives(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """That a conversation has not expired."""
    return or_(Conversation.expires_at.is_(None), Conversation.expires_at > now)


def has_tag(tag: str) -> ColumnElement[bool]:
    """That a conversation is filed under a word."""
    return exists().where(ConversationTag.conversation_id == Conversation.id, ConversationTag.tag == tag)


def _is_answered(conversation_id: Any) -> ColumnElement[bool]:
    return exists().where(Response.conversation_id == conversation_id, Response.status.in_(UNFINISHED))


class ConversationRepository(OwnerRepository[Conversation]):
    """Conversations. Those that have expired are as absent to their owner as if their rows were gone already.

    Rows of this domain are locked in one order, by whoever needs several of them: an account, a guest, a conversation,
    its messages and replies, documents of the index, what is reserved and counted, the head of the audit trail. A row
    that points at an owner locks that one too on MariaDB, so that whoever inserts one holds the owner before.
    """

    model = Conversation
    sorts: ClassVar = {"last_message_at": Conversation.last_message_at, "created_at": Conversation.created_at}
    _is_for_owner = False

    def owned_by(self, owner: Owner) -> Self:
        """The same repository, limited to what one owner has and what has not expired."""
        owned = super().owned_by(owner)
        owned._is_for_owner = True
        return owned

    async def get(self, id_: UUID) -> Conversation | None:
        """The conversation with this id."""
        found = await self.list_(Conversation.id == id_, limit=1)
        return found[0] if found else None

    async def hold_owner(self, owner: Owner) -> None:
        """Let nobody else count or arrange what this account has before the transaction ends.

        A guest is held by every request that may write for one.
        """
        if owner.user_id is not None:
            await self._hold_row(User, owner.user_id)

    async def take_in(self, conversation_id: UUID, message_id: UUID, parent_id: UUID | None, title: str | None) -> bool:
        """Count one more message and make it the active leaf: one statement, which puts writers in a row.

        False where the conversation is not there, is full, or the parent is none of its messages. `title` is taken
        where there has never been one.
        """
        where: list[ColumnElement[bool]] = [
            Conversation.id == conversation_id,
            Conversation.message_count < MAX_MESSAGES_PER_CONVERSATION,
        ]
        if parent_id is not None:
            where.append(exists().where(Message.id == parent_id, Message.conversation_id == conversation_id))
        values: dict[Column, Any] = {
            Conversation.message_count: Conversation.message_count + 1,
            Conversation.active_leaf_id: message_id,
            Conversation.last_message_at: self.clock.now(),
        }
        if title is not None:
            untitled = Conversation.title_source == TitleSource.NONE
            # In the order of the columns: MariaDB reads the new value of those set before.
            for column, value in ((Conversation.title, title), (Conversation.title_source, TitleSource.HEURISTIC)):
                values[column] = case((untitled, literal(value, column.type)), else_=column)
        return bool(await self.update_where(*where, values=values))

    async def hold(self, conversation_id: UUID) -> Conversation | None:
        """The conversation, which nobody else changes, claims or deletes before the transaction ends."""
        return await self._hold_where(Conversation.id == conversation_id)

    async def _hold_where(self, *where: ColumnElement[bool]) -> Conversation | None:
        columns = Conversation.__table__.c
        statement = select(*columns).where(*self._scoped(where))
        rows = await self.session.rows(statement.with_for_update(key_share=True))
        return snapshot(Conversation, columns.keys(), rows[0]) if rows else None

    async def hold_with_owner(self, conversation_id: UUID) -> Conversation | None:
        """The same for work behind the owner's back, which holds the owner first, whoever has claimed it meanwhile."""
        held: Owner | None = None
        while (known := await self.get(conversation_id)) is not None:
            owner = Owner(user_id=known.user_id, guest_id=known.guest_id)
            if owner == held:
                return await self.hold(conversation_id)
            await self._hold_row(User if owner.user_id else Guest, owner.id)
            held = owner
        return None

    async def is_being_answered(self, conversation_id: UUID) -> bool:
        """Whether a reply in it is being made, which its row must outlive: its maker locks other rows first."""
        statement = select(_is_answered(conversation_id))
        return bool((await self.session.rows(statement))[0][0])

    async def of_session(self, client_session_id: str) -> Conversation | None:
        """The conversation of a client's session."""
        found = await self.list_(Conversation.client_session_id == client_session_id, limit=1)
        return found[0] if found else None

    async def hold_session(self, client_session_id: str, changes: Mapping[Column, Any]) -> bool:
        """Change the conversation of a session, which holds its row until the transaction ends. False for none."""
        return bool(await self.update_where(Conversation.client_session_id == client_session_id, values=changes))

    def archived_since(self) -> ColumnElement[datetime]:
        """Since when a conversation that is being archived is: since now, unless it is already."""
        now = literal(self.clock.now(), Conversation.archived_at.type)
        since: ColumnElement[datetime] = func.coalesce(Conversation.archived_at, now)
        return since

    async def free_session(self, client_session_id: str) -> int:
        """Take this session from those of the owner's conversations that have expired."""
        with_expired = copy.copy(self)
        with_expired._is_for_owner = False
        return await with_expired.update_where(
            Conversation.client_session_id == client_session_id,
            Conversation.expires_at <= self.clock.now(),
            values={Conversation.client_session_id: None},
        )

    async def expire(self, conversation_id: UUID, *, expected_version: int | None = None) -> bool:
        """Let a conversation be gone for its owner; its rows go by and by. False where there is none.

        Raises:
            PreconditionFailedError: it is there, but no longer at `expected_version`.
        """
        values = {
            Conversation.expires_at: self.clock.now(),
            Conversation.client_session_id: None,
            Conversation.source_id: None,
        }
        return await self.update(conversation_id, values, expected_version=expected_version)

    async def fill(self, conversation_id: UUID, *, count: int, leaf_id: UUID) -> None:
        """Say what a new conversation was filled with."""
        values = {Conversation.message_count: count, Conversation.active_leaf_id: leaf_id}
        await self.update_where(Conversation.id == conversation_id, values=values)

    async def move(self, folder_id: UUID, to_folder_id: UUID | None) -> None:
        """Put all conversations of a folder into another, or into none."""
        await self.update_where(Conversation.folder_id == folder_id, values={Conversation.folder_id: to_folder_id})

    async def expire_resting(self, last_message_before: datetime) -> int:
        """Let conversations expire in which nothing was said since a moment, but for pinned ones."""
        return await self.update_where(
            Conversation.last_message_at < last_message_before,
            Conversation.is_pinned.is_(False),
            values={Conversation.expires_at: self.clock.now()},
        )

    async def list_expired(self, limit: int) -> list[Conversation]:
        """Some that have expired and in which no reply is made any more, the longest expired first."""
        is_expired = Conversation.expires_at <= self.clock.now()
        return await self.list_(
            is_expired, ~_is_answered(Conversation.id), order_by=(Conversation.expires_at,), limit=limit
        )

    async def set_count(self, conversation_id: UUID, count: int) -> None:
        """Say how many messages an expired conversation still has."""
        await self.update_where(Conversation.id == conversation_id, values={Conversation.message_count: count})

    async def hand_over(self, guest: Owner, account: Owner) -> None:
        """Let an account have all that a guest has.

        Where both have a conversation of the same client session or source, the account's keeps that name.
        """
        theirs = Conversation.guest_id == guest.guest_id
        names: Sequence[tuple[Column, ...]] = (
            (Conversation.client_session_id,),
            (Conversation.source_id, Conversation.source),
        )
        for columns in names:
            taken = select(*columns).where(Conversation.user_id == account.user_id, columns[0].is_not(None)).subquery()
            # MySQL reads the table that it changes only through a derived one.
            where = tuple_(*columns).in_(select(*taken.c))
            await self.update_where(theirs, where, values={columns[0]: None})
        await self.update_where(theirs, values={Conversation.user_id: account.user_id, Conversation.guest_id: None})

    async def _hold_row(self, model: type[User | Guest], id_: UUID) -> None:
        await self.session.rows(select(model.id).where(model.id == id_).with_for_update(key_share=True))

    def _scoped(self, where: Iterable[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
        conditions = super()._scoped(where)
        return [*conditions, lives(self.clock.now())] if self._is_for_owner else conditions


class TagRepository(BaseRepository[ConversationTag]):
    """The tags of conversations."""

    model = ConversationTag

    async def by_conversation(self, conversation_ids: Collection[UUID]) -> Mapping[UUID, Sequence[str]]:
        """The tags of each conversation in alphabetical order, by one statement."""
        found: dict[UUID, list[str]] = defaultdict(list)
        if conversation_ids:
            rows = await self.list_(
                ConversationTag.conversation_id.in_(conversation_ids), order_by=(ConversationTag.tag,)
            )
            for row in rows:
                found[row.conversation_id].append(row.tag)
        return found

    async def replace(self, conversation_id: UUID, tags: Iterable[str]) -> None:
        """Make these the tags of a conversation, whose row the caller has changed before."""
        await self.delete_where(ConversationTag.conversation_id == conversation_id)
        await self.add_all(ConversationTag(conversation_id=conversation_id, tag=tag) for tag in sorted(set(tags)))


Columns = tuple[ColumnElement[Any], ...]

_ALL_COLUMNS: Columns = tuple(Message.__table__.c)
_NODE_COLUMNS: Columns = tuple(Message.__table__.c[item.name] for item in fields(TreeNode))


@cache
def _way_up(columns: Columns) -> Select[Any]:
    """The select of a message `leaf_id` of `conversation_id` and its forebears, the youngest first, `steps` in all.

    Made once for each choice of columns: to put it together takes longer than to run it.
    """
    conversation_id = bindparam("conversation_id", type_=Message.conversation_id.type)
    start = select(Message.id, Message.parent_id, literal(1).label("step")).where(
        Message.id == bindparam("leaf_id", type_=Message.id.type), Message.conversation_id == conversation_id
    )
    way = start.cte("way", recursive=True)
    above = aliased(Message)
    way = way.union_all(
        select(above.id, above.parent_id, (way.c.step + 1).label("step"))
        .join(way, above.id == way.c.parent_id)
        .where(above.conversation_id == conversation_id, way.c.step < bindparam("steps", type_=Integer()))
    )
    return select(*columns).join(way, Message.id == way.c.id).order_by(way.c.step)


class MessageRepository(BaseRepository[Message]):
    """The messages of conversations. Whoever asks has made sure whose conversation it is, or asks by `get_of`."""

    model = Message

    async def get_of(self, owner: Owner, message_id: UUID) -> Message | None:
        """A message in one of the owner's conversations."""
        mine = Conversation.user_id == owner.user_id if owner.user_id else Conversation.guest_id == owner.guest_id
        statement = (
            select(*Message.__table__.c)
            .join(Conversation, Conversation.id == Message.conversation_id)
            .where(Message.id == message_id, mine, lives(self.clock.now()))
        )
        rows = await self.session.rows(statement)
        return snapshot(Message, Message.__table__.c.keys(), rows[0]) if rows else None

    async def get_in(self, conversation_id: UUID, message_id: UUID) -> Message | None:
        """A message of one conversation."""
        found = await self.list_(Message.id == message_id, Message.conversation_id == conversation_id, limit=1)
        return found[0] if found else None

    async def path(self, conversation_id: UUID, leaf_id: UUID | None, limit: int) -> list[Message]:
        """The last `limit` messages on the way from the root to a leaf, in reading order.

        It costs those messages, however long the conversation is. Empty where the leaf is none of its messages.
        """
        rows = await self._climb(conversation_id, leaf_id, limit, _ALL_COLUMNS)
        return [snapshot(Message, Message.__table__.c.keys(), row) for row in rows]

    async def path_nodes(self, conversation_id: UUID, leaf_id: UUID, limit: int) -> list[TreeNode]:
        """The same without texts."""
        rows = await self._climb(conversation_id, leaf_id, limit, _NODE_COLUMNS)
        return [TreeNode(**row._mapping) for row in rows]

    async def _climb(self, conversation_id: UUID, leaf_id: UUID | None, limit: int, columns: Columns) -> list[Row[Any]]:
        found: list[Row[Any]] = []
        while leaf_id is not None and len(found) < limit:
            wanted = min(_STEPS_AT_ONCE, limit - len(found))
            values = {"conversation_id": conversation_id, "leaf_id": leaf_id, "steps": wanted}
            steps = await self.session.rows(_way_up(columns), values)
            found += steps
            leaf_id = steps[-1].parent_id if len(steps) == wanted else None
        return found[::-1]

    async def tree(self, conversation_id: UUID, *, after_seq: int, limit: int) -> list[TreeNode]:
        """Messages without their texts in the order in which they were stored."""
        statement = (
            select(*_NODE_COLUMNS)
            .where(Message.conversation_id == conversation_id, Message.seq > after_seq)
            .order_by(Message.seq)
            .limit(limit)
        )
        return [TreeNode(**row._mapping) for row in await self.session.rows(statement)]

    async def following(self, conversation_id: UUID, seq: int, limit: int) -> list[Message]:
        """The messages that were stored after one, in that order."""
        where = (Message.conversation_id == conversation_id, Message.seq > seq)
        return await self.list_(*where, order_by=(Message.seq,), limit=limit)

    async def list_by_ids(self, conversation_id: UUID, message_ids: Collection[UUID]) -> list[Message]:
        """Those of the messages that are in the conversation, in the order in which they were stored."""
        return await self.list_(
            Message.id.in_(message_ids), Message.conversation_id == conversation_id, order_by=(Message.seq,)
        )

    async def siblings(self, message: Message, *, after_seq: int, limit: int) -> list[Message]:
        """The messages that stand where this one stands, itself among them, in the order in which they were stored."""
        return await self.list_(
            Message.conversation_id == message.conversation_id,
            Message.parent_id == message.parent_id,
            Message.seq > after_seq,
            order_by=(Message.seq,),
            limit=limit,
        )

    async def finish(self, message_id: UUID, *, status: MessageStatus, content: str) -> bool:
        """Store what a reply became. False where it is finished already, or gone."""
        return bool(
            await self.update_where(
                Message.id == message_id,
                Message.status.in_(UNFINISHED),
                values={Message.status: status, Message.content: content},
            )
        )

    async def ids_after(self, conversation_id: UUID, seq: int) -> list[UUID]:
        """The ids of the messages that were stored after one."""
        table = Message.__table__.c
        statement = select(table.id).where(table.conversation_id == conversation_id, table.seq > seq)
        return [row.id for row in await self.session.rows(statement)]

    async def delete_after(self, conversation_id: UUID, seq: int) -> int:
        """Delete the messages that were stored after one."""
        return await self.delete_where(Message.conversation_id == conversation_id, Message.seq > seq)


class RetentionChoiceRepository(BaseRepository[UserPreference]):
    """After how many days without a word accounts want their conversations deleted."""

    model = UserPreference

    async def after(self, user_id: UUID | None, limit: int) -> list[tuple[UUID, int | None]]:
        """The next accounts that have chosen, by their ids, and the days; None for what is no choice now."""
        where = [UserPreference.device_id == ACCOUNT_LAYER, UserPreference.key == CHAT_RETENTION_DAYS.key]
        if user_id is not None:
            where.append(UserPreference.user_id > user_id)
        rows = await self.list_(*where, order_by=(UserPreference.user_id,), limit=limit)
        return [(row.user_id, row.value if CHAT_RETENTION_DAYS.accepts(row.value) else None) for row in rows]
