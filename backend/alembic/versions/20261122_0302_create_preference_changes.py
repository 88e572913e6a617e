"""Create preference_changes.

Revision: 4473518650b7, after bee0e84e77f9.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "4473518650b7"
down_revision = "bee0e84e77f9"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "preference_changes",
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device_id", types.GUID(), nullable=False),
        sa.Column("key", types.KeyString(100), nullable=False),
        sa.Column("old_value", types.JsonValue(), nullable=True),
        sa.Column("new_value", types.JsonValue(), nullable=True),
        sa.Column("changed_at", types.UtcDateTime(), nullable=False),
        sa.Column("changed_by", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_preference_changes_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "seq", name="pk_preference_changes"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index(
        "ix_preference_changes_user_id_device_id_key_seq",
        "preference_changes",
        ["user_id", "device_id", "key", "seq"],
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("preference_changes")
