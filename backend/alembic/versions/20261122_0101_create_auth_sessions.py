"""Create auth_sessions.

Revision: 01e0951ead09, after 35766346d1a0.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "01e0951ead09"
down_revision = "35766346d1a0"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "auth_sessions",
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("client_id", types.SafeString(64), nullable=False),
        sa.Column("scope", types.SafeString(500), nullable=True),
        sa.Column("rt_generation", sa.Integer(), nullable=False),
        sa.Column("rt_hash", types.FixedBytes(32), nullable=False),
        sa.Column("previous_rt_hash", types.FixedBytes(32), nullable=True),
        sa.Column("device_name", types.SafeString(100), nullable=True),
        sa.Column("user_agent", types.SafeString(256), nullable=True),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("method", sa.String(length=32), nullable=False),
        sa.Column("auth_time", types.UtcDateTime(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("refreshed_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("absolute_expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_reason", sa.String(32), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_auth_sessions_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_auth_sessions"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_auth_sessions_expires_at", "auth_sessions", ["expires_at"])
    op.create_index("ix_auth_sessions_user_id_created_at_id", "auth_sessions", ["user_id", "created_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("auth_sessions")
