"""Create usage_records.

Revision: 285128ed0f3e, after 6b0e2f91d7c4.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "285128ed0f3e"
down_revision = "6b0e2f91d7c4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "usage_records",
        sa.Column("response_id", types.GUID(), nullable=False),
        sa.Column("conversation_id", types.GUID(), nullable=True),
        sa.Column("model", types.KeyString(128), nullable=False),
        sa.Column("provider", types.KeyString(64), nullable=False),
        sa.Column("tokens_prompt", sa.Integer(), nullable=False),
        sa.Column("tokens_completion", sa.Integer(), nullable=False),
        sa.Column("tokens_total", sa.Integer(), nullable=False),
        sa.Column("tokens_cached", sa.Integer(), nullable=False),
        sa.Column("tokens_cache_write", sa.Integer(), nullable=False),
        sa.Column("tokens_reasoning", sa.Integer(), nullable=False),
        sa.Column("usage_source", sa.String(length=32), nullable=False),
        sa.Column("cost_usd", types.ExactDecimal(9), nullable=False),
        sa.Column("is_priced", sa.Boolean(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.Column("user_id", types.GUID(), nullable=True),
        sa.Column("guest_id", types.GUID(), nullable=True),
        sa.CheckConstraint("(user_id IS NULL) <> (guest_id IS NULL)", name=op.f("ck_usage_records_owner")),
        sa.ForeignKeyConstraint(
            ["guest_id"], ["guests.id"], name="fk_usage_records_guest_id_guests", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_usage_records_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_usage_records"),
        sa.UniqueConstraint("response_id", name="uq_usage_records_response_id"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_usage_records_created_at_id", "usage_records", ["created_at", "id"])
    op.create_index("ix_usage_records_guest_id_created_at_id", "usage_records", ["guest_id", "created_at", "id"])
    op.create_index("ix_usage_records_user_id_created_at_id", "usage_records", ["user_id", "created_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("usage_records")
