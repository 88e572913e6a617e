"""Create usage_limits.

Revision: 75db44893782, after 9a7a56285ec2.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "75db44893782"
down_revision = "9a7a56285ec2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "usage_limits",
        sa.Column("scope_type", sa.String(length=32), nullable=False),
        sa.Column("scope_id", types.KeyString(64), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("window_seconds", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage_limits"),
        sa.UniqueConstraint(
            "scope_type",
            "scope_id",
            "metric",
            "window_seconds",
            name="uq_usage_limits_scope_type_scope_id_metric_window_seconds",
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_usage_limits_created_at_id", "usage_limits", ["created_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("usage_limits")
