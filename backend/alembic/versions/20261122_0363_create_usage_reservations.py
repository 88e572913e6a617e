"""Create usage_reservations.

Revision: d1a4c06b7e52, after bdd0d7a8e941.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "d1a4c06b7e52"
down_revision = "bdd0d7a8e941"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "usage_reservations",
        sa.Column("response_id", types.GUID(), nullable=False),
        sa.Column("scope", types.KeyString(40), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("window_seconds", sa.Integer(), nullable=False),
        sa.Column("window_start", types.UtcDateTime(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("response_id", "scope", "metric", "window_seconds", name="pk_usage_reservations"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_usage_reservations_created_at", "usage_reservations", ["created_at"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("usage_reservations")
