"""Create user_preferences.

Revision: bee0e84e77f9, after aeb1207c1b05.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "bee0e84e77f9"
down_revision = "aeb1207c1b05"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "user_preferences",
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("device_id", types.GUID(), nullable=False),
        sa.Column("key", types.KeyString(100), nullable=False),
        sa.Column("value", types.JsonValue(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_preferences_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "device_id", "key", name="pk_user_preferences"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("user_preferences")
