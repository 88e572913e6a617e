"""Create system_metrics.

Revision: 251705938cd8, after 4473518650b7.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "251705938cd8"
down_revision = "4473518650b7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "system_metrics",
        sa.Column("operation", types.KeyString(100), nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("error", types.SafeString(500), nullable=True),
        sa.Column("error_class", types.KeyString(64), nullable=True),
        sa.Column("user_id", types.GUID(), nullable=True),
        sa.Column("trace_id", types.KeyString(64), nullable=True),
        sa.Column("extra_data", types.JsonDict, nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_system_metrics_user_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_system_metrics")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        op.f("ix_system_metrics_operation_created_at_id"),
        "system_metrics",
        ["operation", "created_at", "id"],
        unique=False,
    )
    op.create_index(op.f("ix_system_metrics_user_id"), "system_metrics", ["user_id"], unique=False)


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("system_metrics")
