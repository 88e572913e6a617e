"""Create conversation_tags.

Revision: 39ad45ed7ef1, after 9156864b039d.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "39ad45ed7ef1"
down_revision = "9156864b039d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "conversation_tags",
        sa.Column("conversation_id", types.GUID(), nullable=False),
        sa.Column("tag", types.KeyString(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_conversation_tags_conversation_id_conversations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", "tag", name="pk_conversation_tags"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_conversation_tags_tag_conversation_id", "conversation_tags", ["tag", "conversation_id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("conversation_tags")
