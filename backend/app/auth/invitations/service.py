"""Inviting people to register."""

from uuid import UUID

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.errors import EmailTakenError, SuperuserProtectedError
from app.auth.invitations.errors import InvitationNotFoundError
from app.auth.invitations.types import InvitationStatus, InvitationView
from app.auth.mail_flows.account_mails import AccountMails
from app.auth.models import User
from app.auth.one_time_tokens.errors import UnknownTokenError
from app.auth.one_time_tokens.models import OneTimeToken
from app.auth.one_time_tokens.repository import OneTimeTokenRepository
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.one_time_tokens.types import TokenProof, TokenPurpose
from app.auth.permissions import permissions_of
from app.auth.repository import UserRepository
from app.auth.roles.authority import Authority
from app.auth.roles.repository import UserRoleRepository
from app.auth.sessions import SessionManager
from app.auth.types import AuditAction, Client, Principal, Role
from app.core.pagination import Page
from app.core.text import normalize_email
from app.db.engine import Session

_SORT = "-created_at"
_IS_INVITATION = OneTimeToken.purpose == TokenPurpose.INVITATION


class InvitationService:
    """Invitations: one-time tokens that make an account of their address, in whatever mode registration is.

    They belong to whoever made them, and die when that account is locked or disabled.
    """

    def __init__(self, session: Session, components: AuthComponents) -> None:
        self._clock = components.clock
        self._cursors = components.cursors
        self._rows = OneTimeTokenRepository(session, components.clock)
        self._users = UserRepository(session, components.clock)
        self._user_roles = UserRoleRepository(session, components.clock)
        self._authority = Authority(session, components)
        self._sessions = SessionManager(session, components)
        self._tokens = OneTimeTokens(session, components)
        self._mails = AccountMails(session, components)
        self._audit = AuditTrail(session, components)

    async def create(self, actor: Principal, *, email: str, role: Role, client: Client) -> InvitationView:
        """Invite someone. An earlier invitation to the same address stops working.

        Raises:
            SuperuserProtectedError: only superusers invite administrators.
            PermissionNotHeldError: the role permits what the actor may not do.
            EmailTakenError: the address has an account, or one that can take it back.
            InvalidTokenError: the actor's session has ended meanwhile.
        """
        await self._sessions.hold(actor)
        standing = await self._authority.standing(actor)
        if role is Role.ADMIN and not standing.is_superuser:
            raise SuperuserProtectedError
        if role is not Role.USER:
            standing.require_givable(permissions_of(role, is_superuser=False))
        if await self._users.get_by_login(email) is not None:
            raise EmailTakenError
        await self._tokens.require_free(normalize_email(email))
        await self._tokens.revoke_of_address(normalize_email(email), TokenPurpose.INVITATION)
        payload = {"role": role.value, "invited_by": str(actor.user_id)}
        token = await self._mails.order(
            TokenPurpose.INVITATION, email=email, user_id=actor.user_id, client=client, payload=payload
        )
        await self._audit.record(
            AuditAction.INVITATION_CREATED,
            client,
            user_id=None,
            actor_id=actor.user_id,
            detail={"invitation_id": str(token.id), "role": role.value},
        )
        return self._view(token)

    async def list_(self, *, limit: int, cursor: str | None) -> Page[InvitationView]:
        """Invitations, the newest first; some days after their end they are gone.

        Raises:
            InvalidCursorError: the cursor belongs to another list.
        """
        after = None if cursor is None else self._cursors.decode(_SORT, cursor)
        items, position = await self._rows.page(_IS_INVITATION, sort=_SORT, limit=limit, after=after)
        next_cursor = None if position is None else self._cursors.encode(_SORT, position)
        return Page(items=[self._view(item) for item in items], next_cursor=next_cursor)

    async def revoke(self, actor: Principal, invitation_id: UUID, client: Client) -> None:
        """Take an invitation back.

        Raises:
            InvitationNotFoundError: there is none, or it was accepted or revoked.
        """
        if not await self._rows.revoke(_IS_INVITATION, OneTimeToken.id == invitation_id):
            raise InvitationNotFoundError
        await self._audit.record(
            AuditAction.INVITATION_REVOKED,
            client,
            user_id=None,
            actor_id=actor.user_id,
            detail={"invitation_id": str(invitation_id)},
        )

    async def find(self, token_text: str, email: str | None) -> OneTimeToken:
        """The invitation behind the token of a link; `email` must be the invited address, where it is given.

        Raises:
            UnknownTokenError, TokenUsedError, TokenExpiredError: there is none.
        """
        token = await self._tokens.find(TokenProof(token=token_text), TokenPurpose.INVITATION)
        if email is not None and token.email_normalized != normalize_email(email):
            raise UnknownTokenError
        return token

    async def accept(self, token: OneTimeToken) -> Role:
        """Use an invitation up, and tell the role that goes with it.

        Raises:
            TokenUsedError: it is used up already.
            UnknownTokenError: whoever sent it may not give this role any more.
        """
        await self._tokens.use(token)
        role = Role(token.payload["role"])
        inviter = await self._users.get(UUID(token.payload["invited_by"]))
        if role is not Role.USER and not await self._may_give(inviter, role):
            raise UnknownTokenError
        return role

    async def _may_give(self, inviter: User | None, role: Role) -> bool:
        if inviter is None or not inviter.is_active:
            return False
        if role is Role.ADMIN:
            return inviter.is_superuser
        return permissions_of(role, is_superuser=False) <= await self._user_roles.permissions_of(inviter)

    def _view(self, token: OneTimeToken) -> InvitationView:
        return InvitationView(
            id=token.id,
            email=token.email,
            role=Role(token.payload["role"]),
            status=self._status(token),
            invited_by=UUID(token.payload["invited_by"]),
            created_at=token.created_at,
            expires_at=token.expires_at,
            accepted_at=token.used_at,
        )

    def _status(self, token: OneTimeToken) -> InvitationStatus:
        if token.used_at is not None:
            return InvitationStatus.ACCEPTED
        if token.revoked_at is not None:
            return InvitationStatus.REVOKED
        return InvitationStatus.EXPIRED if token.expires_at <= self._clock.now() else InvitationStatus.PENDING
