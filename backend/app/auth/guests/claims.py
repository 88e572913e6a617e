"""`ClaimRegistry`: how each domain hands what a guest made over to an account."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from app.db.engine import Session

Claim = Callable[[Session, UUID, UUID], Awaitable[None]]
"""Moves what a guest (the first id) owns to an account (the second), by `UPDATE … WHERE guest_id = …`.

It runs in the transaction that marks the guest as claimed, which nobody can write for as a guest meanwhile; it calls
nothing outside and does not commit. It meets each guest once. A conflict with what the account has already is its own
to solve: where it raises, nothing of the guest is claimed.
"""


class ClaimRegistry:
    """The claims of every domain, in the order in which they were registered."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}

    def register(self, domain: str, claim: Claim) -> None:
        """Have a domain's rows claimed too. Called once, where the domain's components are made.

        Raises:
            ValueError: the domain is registered already.
        """
        if domain in self._claims:
            raise ValueError(f"claims of {domain!r} are registered already")
        self._claims[domain] = claim

    async def run(self, session: Session, guest_id: UUID, user_id: UUID) -> None:
        """Move everything that a guest owns to an account, within the caller's transaction."""
        for claim in self._claims.values():
            await claim(session, guest_id, user_id)
