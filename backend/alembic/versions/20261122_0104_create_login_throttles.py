"""Create login_throttles.

Revision: 096819740652, after b5048c3e81b0.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "096819740652"
down_revision = "b5048c3e81b0"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "login_throttles",
        sa.Column("key", types.KeyString(128), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("window_started_at", types.UtcDateTime(), nullable=False),
        sa.Column("blocked_until", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_login_throttles"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_login_throttles_updated_at", "login_throttles", ["updated_at"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("login_throttles")
