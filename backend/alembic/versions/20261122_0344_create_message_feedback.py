"""Create message_feedback.

Revision: f479bfb38fc3, after 39ad45ed7ef1.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "f479bfb38fc3"
down_revision = "39ad45ed7ef1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "message_feedback",
        sa.Column("message_id", types.GUID(), nullable=False),
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("rating", sa.SmallInteger(), nullable=False),
        sa.Column("tags", types.JsonDict, nullable=False),
        sa.Column("comment", types.SafeString(2000), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("rating IN (-1, 1)", name=op.f("ck_message_feedback_rating")),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name="fk_message_feedback_message_id_messages", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_message_feedback_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", "user_id", name="pk_message_feedback"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_message_feedback_user_id", "message_feedback", ["user_id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("message_feedback")
