"""Create metric_retention.

Revision: 0b71991ec36e, after d11752c34e88.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "0b71991ec36e"
down_revision = "d11752c34e88"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "metric_retention",
        sa.Column("pattern", types.KeyString(100), nullable=False),
        sa.Column("raw_days", sa.Integer(), nullable=False),
        sa.Column("minute_days", sa.Integer(), nullable=False),
        sa.Column("hour_days", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pattern", name=op.f("pk_metric_retention")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("metric_retention")
