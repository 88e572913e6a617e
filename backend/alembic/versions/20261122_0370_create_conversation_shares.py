"""Create conversation_shares.

Revision: 5711e82b3907, after d1a4c06b7e52.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "5711e82b3907"
down_revision = "d1a4c06b7e52"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "conversation_shares",
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("conversation_id", types.GUID(), nullable=False),
        sa.Column("token_hash", types.FixedBytes(32), nullable=False),
        sa.Column("mode", sa.String(length=32), nullable=False),
        sa.Column("leaf_message_id", types.GUID(), nullable=True),
        sa.Column("title", types.SafeString(200), nullable=True),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("view_count", sa.Integer(), nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_conversation_shares_conversation_id_conversations",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_conversation_shares_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_conversation_shares"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        "ix_conversation_shares_conversation_id_created_at_id",
        "conversation_shares",
        ["conversation_id", "created_at", "id"],
    )
    op.create_index("ix_conversation_shares_expires_at", "conversation_shares", ["expires_at"])
    op.create_index(
        "ix_conversation_shares_user_id_created_at_id", "conversation_shares", ["user_id", "created_at", "id"]
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("conversation_shares")
