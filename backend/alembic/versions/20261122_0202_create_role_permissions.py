"""Create role permissions.

Revision: 4912075f65e6, after b74e430bd29f.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "4912075f65e6"
down_revision = "b74e430bd29f"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "role_permissions",
        sa.Column("role_id", types.GUID(), nullable=False),
        sa.Column("permission", types.KeyString(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name="fk_role_permissions_role_id_roles", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("role_id", "permission", name="pk_role_permissions"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("role_permissions")
