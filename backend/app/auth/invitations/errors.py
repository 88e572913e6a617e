"""The refusals around invitations."""

from app.core.errors import NotFoundError


class InvitationNotFoundError(NotFoundError):
    """No such invitation, or one that was accepted or revoked."""

    code = "invitation_not_found"
    title = "No such invitation"
