"""Links to conversations: making, listing and revoking them, and what strangers see through them."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.errors import HashQueueFullError
from app.auth.guests.types import Owner
from app.auth.limits import LoginLimiter, ThrottlePolicy
from app.auth.types import AuditAction, Client, Principal
from app.chat.components import ChatComponents
from app.chat.errors import ConversationNotFoundError, MessageNotFoundError
from app.chat.models import Conversation, Message
from app.chat.permissions import CHAT_READ
from app.chat.repository import ConversationRepository, MessageRepository
from app.chat.sharing.errors import (
    NothingToShareError,
    ShareGoneError,
    ShareNotFoundError,
    SharePasswordRequiredError,
    SharePasswordWrongError,
    ShareThrottledError,
    TooManySharesError,
)
from app.chat.sharing.models import ConversationShare
from app.chat.sharing.repository import ShareRepository
from app.chat.sharing.types import (
    MAX_SHARES,
    SHOWN_ROLES,
    SHOWN_STATUSES,
    IssuedShare,
    OpenShare,
    SharedMessage,
    SharedPage,
    ShareMode,
    ShareView,
)
from app.chat.types import UNFINISHED
from app.core.addresses import network_of
from app.core.ids import new_id
from app.core.pagination import Page
from app.db.engine import Session
from app.idempotency.types import Named

_SORT = "-created_at"
# Whoever guesses at a link's password holds the link already; a hundred guesses a day are left to all of them together.
PASSWORD_POLICY = ThrottlePolicy("share-password", free=9, window=timedelta(days=1), longest=timedelta(hours=1))
PASSWORD_TOTAL_POLICY = ThrottlePolicy(
    "share-password-total", free=100, window=timedelta(days=1), first=timedelta(minutes=15)
)


class ShareService:
    """The links of one account, and what is behind a link, within one transaction."""

    def __init__(self, session: Session, parts: ChatComponents) -> None:
        self._session = session
        self._clock = parts.clock
        self._cursors = parts.cursors
        self._codec = parts.share_tokens
        self._views = parts.share_views
        self._hasher = parts.auth.hasher
        self._shares = ShareRepository(session, parts.clock)
        self._conversations = ConversationRepository(session, parts.clock)
        self._messages = MessageRepository(session, parts.clock)
        self._limiter = LoginLimiter(session, parts.settings, parts.clock)
        self._audit = AuditTrail(session, parts.auth)

    async def create(
        self,
        principal: Principal,
        conversation_id: UUID,
        *,
        mode: ShareMode,
        leaf_message_id: UUID | None,
        lifetime: timedelta | None,
        password: str | None,
        client: Client,
        name: Callable[[UUID], Awaitable[Named]],
    ) -> IssuedShare:
        """Make a link to one of the caller's conversations. Its token is shown this once.

        `name` tells the id under which it is to be made, or was made before by the same request: then the link as it
        is now is returned without a token.

        Raises:
            ShareNotFoundError: it was made before and is gone.
            ConversationNotFoundError, MessageNotFoundError: no such conversation of theirs, or the leaf is none of it.
            NothingToShareError: there is no message to show.
            TooManySharesError: the account has as many links as it may have.
            HashQueueFullError: the password cannot be hashed at the moment.
        """
        hashed = None if password is None else await self._hasher.hash(password)
        named = await name(new_id())  # after the hashing, because it begins the transaction
        if not named.is_new:
            return IssuedShare(_view(await self._require(principal, conversation_id, named.id)), None)
        owner = Owner(user_id=principal.user_id)
        await self._conversations.hold_owner(owner)
        conversation = await self._conversation(owner, conversation_id)
        await self._require_room(principal.user_id)
        secret, now = self._codec.new(named.id), self._clock.now()
        is_snapshot = mode is ShareMode.SNAPSHOT
        share = ConversationShare(
            id=secret.id,
            user_id=principal.user_id,
            conversation_id=conversation_id,
            token_hash=secret.digest,
            mode=mode,
            leaf_message_id=await self._leaf(conversation, leaf_message_id) if is_snapshot else None,
            title=conversation.title if is_snapshot else None,
            password_hash=hashed,
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
        )
        await self._shares.add(share)
        await self._record(AuditAction.SHARE_CREATED, principal, share.id, conversation_id, client)
        return IssuedShare(_view(share), secret.text)

    async def list_(
        self, user_id: UUID, *, conversation_id: UUID | None = None, limit: int, cursor: str | None
    ) -> Page[ShareView]:
        """An account's links, or those to one conversation, the newest first; ended ones are among them for a month.

        Raises:
            ConversationNotFoundError: none of theirs.
            InvalidCursorError: the cursor belongs to another list.
        """
        where = []
        if conversation_id is not None:
            await self._conversation(Owner(user_id=user_id), conversation_id)
            where = [ConversationShare.conversation_id == conversation_id]
        scope = f"shares {conversation_id}"
        after = None if cursor is None else self._cursors.decode(scope, cursor)
        rows, position = await self._shares.owned_by(user_id).page(*where, sort=_SORT, limit=limit, after=after)
        next_cursor = None if position is None else self._cursors.encode(scope, position)
        return Page(items=[_view(row) for row in rows], next_cursor=next_cursor)

    async def revoke(self, principal: Principal, conversation_id: UUID, share_id: UUID, client: Client) -> None:
        """End a link, for good. To repeat it changes nothing.

        Raises:
            ShareNotFoundError: no such link of the caller's to this conversation.
        """
        await self._require(principal, conversation_id, share_id)
        if await self._shares.owned_by(principal.user_id).end(share_id):
            await self._record(AuditAction.SHARE_REVOKED, principal, share_id, conversation_id, client)

    async def _require(self, principal: Principal, conversation_id: UUID, share_id: UUID) -> ConversationShare:
        share = await self._shares.owned_by(principal.user_id).get(share_id)
        if share is None or share.conversation_id != conversation_id:
            raise ShareNotFoundError
        return share

    async def view(self, token: str, viewer: Principal | None, *, limit: int, cursor: str | None) -> SharedPage:
        """What a link without a password shows; its owner needs none.

        Raises:
            ShareNotFoundError: made up, unknown or ended.
            ShareGoneError: ended, and the caller is its owner.
            SharePasswordRequiredError: it has one.
            InvalidCursorError: the cursor belongs to something else, or the active branch is another one by now.
        """
        share = await self._open(token, viewer)
        if share.password_hash is not None and not _is_owner(viewer, share):
            raise SharePasswordRequiredError
        return await self._show(share, limit=limit, cursor=cursor)

    async def view_with_password(
        self, token: str, password: str, client: Client, *, limit: int, cursor: str | None
    ) -> SharedPage:
        """What a link shows to those who know its password.

        Raises:
            ShareNotFoundError, InvalidCursorError: see `view`.
            SharePasswordWrongError: it is another one.
            ShareThrottledError: too many were wrong.
            HashQueueFullError: it cannot be checked at the moment.
        """
        share = await self._open(token, None)
        if share.password_hash is not None:
            await self._require_password(share, share.password_hash, password, client)
        return await self._show(share, limit=limit, cursor=cursor)

    async def _require_password(self, share: OpenShare, hashed: str, password: str, client: Client) -> None:
        """Count a try before the password is looked at, and take it back where it was right or nobody looked."""
        policies = {
            f"share:{share.id}|{network_of(client.address)}": PASSWORD_POLICY,
            f"share:{share.id}": PASSWORD_TOTAL_POLICY,
        }
        await self._limiter.reserve_for(policies, client.address, ShareThrottledError)
        await self._session.commit()  # commit: it counts whatever follows, and nothing is held while hashing
        try:
            check = await self._hasher.verify(password, hashed)
        except (HashQueueFullError, asyncio.CancelledError):
            await self._limiter.release_for(policies)
            await self._session.commit()  # commit: the refusal would undo it
            raise
        if not check.is_valid:
            raise SharePasswordWrongError
        await self._limiter.release_for(policies)

    async def _open(self, token: str, viewer: Principal | None) -> OpenShare:
        secret = self._codec.decode(token)
        share = None if secret is None else await self._shares.open_(secret.id)
        if share is None or secret is None or not hmac.compare_digest(share.token_hash, secret.digest):
            raise ShareNotFoundError
        if not share.is_reachable:
            raise ShareGoneError if _is_owner(viewer, share) else ShareNotFoundError
        return share

    async def _show(self, share: OpenShare, *, limit: int, cursor: str | None) -> SharedPage:
        is_snapshot = share.mode is ShareMode.SNAPSHOT
        leaf_id = share.leaf_message_id if is_snapshot else share.active_leaf_id
        # A live link whose branch was changed shows no more of the one before, not even by an old cursor.
        scope = f"share {share.id} {leaf_id}"
        from_id = leaf_id if cursor is None else UUID(self._cursors.decode(scope, cursor)[0])
        messages = await self._messages.path(share.conversation_id, from_id, limit)
        above = messages[0].parent_id if messages else None
        if cursor is None:
            self._views.note(share.id)
        return SharedPage(
            title=share.title if is_snapshot else share.live_title,
            mode=share.mode,
            shared_at=share.created_at,
            items=[_shown(message) for message in messages if _is_shown(message)],
            next_cursor=None if above is None else self._cursors.encode(scope, [above.hex]),
        )

    async def _conversation(self, owner: Owner, conversation_id: UUID) -> Conversation:
        conversation = await self._conversations.owned_by(owner).get(conversation_id)
        if conversation is None:
            raise ConversationNotFoundError
        return conversation

    async def _leaf(self, conversation: Conversation, leaf_id: UUID | None) -> UUID:
        """The last message of a snapshot: the one asked for, or the active one, but none that is still being made."""
        wanted = leaf_id or conversation.active_leaf_id
        if wanted is None:
            raise NothingToShareError
        leaf = await self._messages.get_in(conversation.id, wanted)
        if leaf is None:
            raise MessageNotFoundError
        if leaf.status not in UNFINISHED:
            return leaf.id
        if leaf.parent_id is None:
            raise NothingToShareError
        return leaf.parent_id

    async def _require_room(self, user_id: UUID) -> None:
        """Make room where there is none, of what has ended."""
        mine = self._shares.owned_by(user_id)
        if await mine.count() < MAX_SHARES:
            return
        if not await mine.delete_ended():
            raise TooManySharesError(f"Revoke one first; {MAX_SHARES} are allowed.")

    async def _record(
        self, action: AuditAction, principal: Principal, share_id: UUID, conversation_id: UUID, client: Client
    ) -> None:
        detail = {"share_id": str(share_id), "conversation_id": str(conversation_id)}
        session_id = principal.session_id
        await self._audit.record(action, client, user_id=principal.user_id, session_id=session_id, detail=detail)


def _is_owner(viewer: Principal | None, share: OpenShare) -> bool:
    """Whether somebody may read the conversation without the link."""
    return viewer is not None and viewer.user_id == share.user_id and CHAT_READ in viewer.permissions


def _is_shown(message: Message) -> bool:
    return message.role in SHOWN_ROLES and message.status in SHOWN_STATUSES


def _shown(message: Message) -> SharedMessage:
    return SharedMessage(message.role, message.content, message.model, message.status, message.created_at)


def _view(share: ConversationShare) -> ShareView:
    revoked_at: datetime | None = share.revoked_at
    return ShareView(
        id=share.id,
        conversation_id=share.conversation_id,
        mode=share.mode,
        leaf_message_id=share.leaf_message_id,
        title=share.title,
        has_password=share.password_hash is not None,
        created_at=share.created_at,
        expires_at=share.expires_at,
        revoked_at=revoked_at,
        view_count=share.view_count or 0,
    )
