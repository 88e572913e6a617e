"""Create usage_counters.

Revision: bdd0d7a8e941, after 75db44893782.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "bdd0d7a8e941"
down_revision = "75db44893782"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "usage_counters",
        sa.Column("scope", types.KeyString(40), nullable=False),
        sa.Column("metric", sa.String(length=32), nullable=False),
        sa.Column("window_seconds", sa.Integer(), nullable=False),
        sa.Column("window_start", types.UtcDateTime(), nullable=False),
        sa.Column("window_end", types.UtcDateTime(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "metric", "window_seconds", "window_start", name="pk_usage_counters"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_usage_counters_window_end", "usage_counters", ["window_end"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("usage_counters")
