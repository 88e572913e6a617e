"""Create preference_heads.

Revision: aeb1207c1b05, after 7d0c4be1a2f6.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "aeb1207c1b05"
down_revision = "7d0c4be1a2f6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "preference_heads",
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_preference_heads_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_preference_heads"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("preference_heads")
