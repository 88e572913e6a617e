"""Create folders.

Revision: 14601bd56f8d, after a47d90480c7e.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "14601bd56f8d"
down_revision = "a47d90480c7e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "folders",
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("parent_id", types.GUID(), nullable=True),
        sa.Column("name", types.SafeString(200), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["folders.id"], name="fk_folders_parent_id_folders", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_folders_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_folders"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_folders_parent_id", "folders", ["parent_id"])
    op.create_index("ix_folders_user_id_parent_id_position_id", "folders", ["user_id", "parent_id", "position", "id"])
    op.create_index("ix_folders_user_id_position_id", "folders", ["user_id", "position", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("folders")
