"""Create user roles.

Revision: 981d1b3cfd89, after 4912075f65e6.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "981d1b3cfd89"
down_revision = "4912075f65e6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "user_roles",
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("role_id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_user_roles_role_id_roles", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_roles_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "role_id", name="pk_user_roles"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_user_roles_role_id", "user_roles", ["role_id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("user_roles")
