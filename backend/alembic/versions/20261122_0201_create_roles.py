"""Create roles.

Revision: b74e430bd29f, after 0b9a27682bab.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "b74e430bd29f"
down_revision = "0b9a27682bab"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "roles",
        sa.Column("name", types.SafeString(64), nullable=False),
        sa.Column("name_normalized", types.KeyString(64), nullable=False),
        sa.Column("description", types.SafeString(500), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.UniqueConstraint("name_normalized", name="uq_roles_name_normalized"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("roles")
