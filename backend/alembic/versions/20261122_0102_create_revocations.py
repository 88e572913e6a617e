"""Create revocations.

Revision: 72ed53dd7cea, after 01e0951ead09.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "72ed53dd7cea"
down_revision = "01e0951ead09"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "revocations",
        sa.Column("session_id", types.GUID(), nullable=True),
        sa.Column("user_id", types.GUID(), nullable=True),
        sa.Column("minimum_auth_version", sa.Integer(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revocations"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_revocations_created_at", "revocations", ["created_at"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("revocations")
