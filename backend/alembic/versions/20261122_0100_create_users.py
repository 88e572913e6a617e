"""Create users.

Revision: 35766346d1a0, after nothing.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "35766346d1a0"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "users",
        sa.Column("email", types.SafeString(254), nullable=False),
        sa.Column("email_normalized", types.KeyString(254), nullable=False),
        sa.Column("username", types.SafeString(32), nullable=True),
        sa.Column("username_normalized", types.KeyString(32), nullable=True),
        sa.Column("full_name", types.SafeString(200), nullable=True),
        sa.Column("full_name_normalized", types.KeyString(200), nullable=True),
        sa.Column("hashed_password", sa.String(length=255), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_superuser", sa.Boolean(), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("email_verified_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_login_at", types.UtcDateTime(), nullable=True),
        sa.Column("auth_version", sa.Integer(), nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email_normalized", name="uq_users_email_normalized"),
        sa.UniqueConstraint("username_normalized", name="uq_users_username_normalized"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_users_created_at_id", "users", ["created_at", "id"])
    op.create_index("ix_users_full_name_normalized", "users", ["full_name_normalized"])
    op.create_index("ix_users_last_login_at", "users", ["last_login_at"])
    op.create_index("ix_users_role", "users", ["role"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("users")
