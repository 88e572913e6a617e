"""Create guests.

Revision: 13d915c4270a, after 0b71991ec36e.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "13d915c4270a"
down_revision = "0b71991ec36e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "guests",
        sa.Column("secret_hash", types.FixedBytes(32), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", types.UtcDateTime(), nullable=False),
        sa.Column("claimed_by_user_id", types.GUID(), nullable=True),
        sa.Column("claimed_at", types.UtcDateTime(), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["claimed_by_user_id"], ["users.id"], name="fk_guests_claimed_by_user_id_users", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_guests"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_guests_claimed_by_user_id", "guests", ["claimed_by_user_id"])
    op.create_index("ix_guests_last_seen_at_id", "guests", ["last_seen_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("guests")
