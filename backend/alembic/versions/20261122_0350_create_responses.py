"""Create responses.

Revision: 5f9eb3c33309, after f479bfb38fc3.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "5f9eb3c33309"
down_revision = "f479bfb38fc3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "responses",
        sa.Column("message_id", types.GUID(), nullable=False),
        sa.Column("conversation_id", types.GUID(), nullable=False),
        sa.Column("user_id", types.GUID(), nullable=True),
        sa.Column("guest_id", types.GUID(), nullable=True),
        sa.Column("model_requested", types.SafeString(128), nullable=False),
        sa.Column("model_used", types.SafeString(128), nullable=True),
        sa.Column("provider", types.SafeString(64), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("finish_reason", types.SafeString(32), nullable=True),
        sa.Column("error_code", types.SafeString(64), nullable=True),
        sa.Column("error_detail", types.SafeString(1000), nullable=True),
        sa.Column("tokens_prompt", sa.Integer(), nullable=True),
        sa.Column("tokens_completion", sa.Integer(), nullable=True),
        sa.Column("tokens_total", sa.Integer(), nullable=True),
        sa.Column("tokens_cached", sa.Integer(), nullable=True),
        sa.Column("tokens_cache_write", sa.Integer(), nullable=True),
        sa.Column("tokens_reasoning", sa.Integer(), nullable=True),
        sa.Column("usage_source", sa.String(length=32), nullable=True),
        sa.Column("cost_usd", types.ExactDecimal(9), nullable=True),
        sa.Column("completion_time_ms", sa.Integer(), nullable=True),
        sa.Column("ttft_ms", sa.Integer(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=True),
        sa.Column("completed_at", types.UtcDateTime(), nullable=True),
        sa.Column("lease_owner", types.KeyString(128), nullable=True),
        sa.Column("lease_expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("cancel_requested_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_event_seq", sa.Integer(), nullable=False),
        sa.Column("params", types.JsonDict, nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name="fk_responses_message_id_messages", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_responses"),
        sa.UniqueConstraint("message_id", name="uq_responses_message_id"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_responses_completed_at_id", "responses", ["completed_at", "id"])
    op.create_index("ix_responses_conversation_id", "responses", ["conversation_id"])
    op.create_index("ix_responses_created_at_id", "responses", ["created_at", "id"])
    op.create_index("ix_responses_guest_id_created_at_id", "responses", ["guest_id", "created_at", "id"])
    op.create_index("ix_responses_status_lease_expires_at", "responses", ["status", "lease_expires_at"])
    op.create_index("ix_responses_user_id_created_at_id", "responses", ["user_id", "created_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("responses")
