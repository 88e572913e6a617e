"""Rows that belong to an account or to a guest."""

import copy
from typing import Self
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.guests.types import Owner
from app.db.query import ModelT
from app.db.repository import BaseRepository

EXACTLY_ONE_OWNER = "(user_id IS NULL) <> (guest_id IS NULL)"
"""The CHECK that each table with `OwnerMixin` has, under the name `owner`."""


class OwnerMixin:
    """Exactly one of an account and a guest; whatever they own goes with them."""

    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    guest_id: Mapped[UUID | None] = mapped_column(ForeignKey("guests.id", ondelete="CASCADE"))


class OwnerRepository(BaseRepository[ModelT]):
    """A user-facing query starts with `owned_by`, so that ownership is in the SQL."""

    def owned_by(self, owner: Owner) -> Self:
        """The same repository, limited to one owner's rows: a foreign row is as absent as an unknown one."""
        owned = copy.copy(self)
        column = self.model.user_id if owner.user_id else self.model.guest_id  # type: ignore[attr-defined]
        owned.scope = {**self.scope, column: owner.id}
        return owned
