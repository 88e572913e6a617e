"""Create metric_rollups.

Revision: d11752c34e88, after 251705938cd8.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "d11752c34e88"
down_revision = "251705938cd8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "metric_rollups",
        sa.Column("operation", types.KeyString(100), nullable=False),
        sa.Column("bucket_seconds", sa.Integer(), nullable=False),
        sa.Column("bucket_start", types.UtcDateTime(), nullable=False),
        sa.Column("dims_hash", types.FixedBytes(16), nullable=False),
        sa.Column("source", types.GUID(), nullable=False),
        sa.Column("dims", types.JsonDict, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("sum_ms", sa.Double(), nullable=False),
        sa.Column("min_ms", sa.Double(), nullable=False),
        sa.Column("max_ms", sa.Double(), nullable=False),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "operation", "bucket_seconds", "bucket_start", "dims_hash", "source", name=op.f("pk_metric_rollups")
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_metric_rollups_bucket_seconds_source_bucket_start"),
        "metric_rollups",
        ["bucket_seconds", "source", "bucket_start"],
        unique=False,
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("metric_rollups")
