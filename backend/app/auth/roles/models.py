"""The tables of custom roles, what they permit, and who holds them."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.auth.roles.errors import RoleNameTakenError
from app.auth.roles.types import MAX_DESCRIPTION_LENGTH, MAX_ROLE_NAME_LENGTH
from app.auth.types import MAX_PERMISSION_LENGTH
from app.db.base import MYSQL_TABLE, Base, IdMixin, TimestampMixin, VersionMixin
from app.db.types import KeyString, SafeString


class CustomRole(IdMixin, TimestampMixin, VersionMixin, Base):
    """A role that administrators made; the built-in ones are in code. `name_normalized` is how names are compared."""

    __tablename__ = "roles"
    __table_args__ = (UniqueConstraint("name_normalized", info={"error": RoleNameTakenError}), MYSQL_TABLE)

    name: Mapped[str] = mapped_column(SafeString(MAX_ROLE_NAME_LENGTH))
    name_normalized: Mapped[str] = mapped_column(KeyString(MAX_ROLE_NAME_LENGTH))
    description: Mapped[str | None] = mapped_column(SafeString(MAX_DESCRIPTION_LENGTH))


class RolePermission(Base):
    """A permission that a role gives. One that the code no longer declares permits nothing."""

    __tablename__ = "role_permissions"
    __table_args__ = (MYSQL_TABLE,)

    role_id: Mapped[UUID] = mapped_column(ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True)
    permission: Mapped[str] = mapped_column(KeyString(MAX_PERMISSION_LENGTH), primary_key=True)


class UserRole(Base):
    """A custom role that an account holds."""

    __tablename__ = "user_roles"
    __table_args__ = (Index(None, "role_id"), MYSQL_TABLE)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role_id: Mapped[UUID] = mapped_column(ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True)
