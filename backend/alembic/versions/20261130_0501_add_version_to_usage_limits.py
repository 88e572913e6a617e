"""Add version to usage_limits.

Revision: 5e1f0a7c2b91, after 5e1f0a7c2b90.
"""

import sqlalchemy as sa
from alembic import op

revision = "5e1f0a7c2b91"
down_revision = "5e1f0a7c2b90"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change: a counter that every update raises; the rows that are there begin with 1."""
    op.add_column("usage_limits", sa.Column("row_version", sa.Integer(), nullable=False, server_default="1"))
    with op.batch_alter_table("usage_limits") as table:
        table.alter_column("row_version", existing_type=sa.Integer(), existing_nullable=False, server_default=None)


def downgrade() -> None:
    """Undo the change."""
    with op.batch_alter_table("usage_limits") as table:
        table.drop_column("row_version")
