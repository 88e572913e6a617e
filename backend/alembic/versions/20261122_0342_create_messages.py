"""Create messages.

Revision: 9156864b039d, after 628989ad7f6a.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "9156864b039d"
down_revision = "628989ad7f6a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "messages",
        sa.Column("conversation_id", types.GUID(), nullable=False),
        sa.Column("parent_id", types.GUID(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("content", types.SafeText(), nullable=False),
        sa.Column("parts", types.JsonDict, nullable=True),
        sa.Column("model", types.SafeString(128), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("edited_from_id", types.GUID(), nullable=True),
        sa.Column("extra_data", types.JsonDict, nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_messages_conversation_id_conversations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.UniqueConstraint("conversation_id", "seq", name="uq_messages_conversation_id_seq"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_messages_conversation_id_parent_id_seq", "messages", ["conversation_id", "parent_id", "seq"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("messages")
