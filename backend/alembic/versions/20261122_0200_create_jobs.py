"""Create jobs.

Revision: 0b9a27682bab, after 5e6ef59b9dae.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "0b9a27682bab"
down_revision = "5e6ef59b9dae"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "jobs",
        sa.Column("kind", types.KeyString(64), nullable=False),
        sa.Column("payload", types.JsonDict, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("due_at", types.UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_owner", types.KeyString(128), nullable=True),
        sa.Column("last_error", types.SafeString(500), nullable=True),
        sa.Column("unique_key", types.KeyString(128), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("unique_key", name="uq_jobs_unique_key"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_kind_created_at_id", "jobs", ["kind", "created_at", "id"])
    op.create_index("ix_jobs_status_created_at_id", "jobs", ["status", "created_at", "id"])
    op.create_index("ix_jobs_status_due_at_kind", "jobs", ["status", "due_at", "kind"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("jobs")
