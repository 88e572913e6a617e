"""Add version to folders.

Revision: 5e1f0a7c2b90, after 4d7c1e90b2a5.
"""

import sqlalchemy as sa
from alembic import op

revision = "5e1f0a7c2b90"
down_revision = "4d7c1e90b2a5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change: a counter that every update raises; the rows that are there begin with 1."""
    op.add_column("folders", sa.Column("row_version", sa.Integer(), nullable=False, server_default="1"))
    with op.batch_alter_table("folders") as table:
        table.alter_column("row_version", existing_type=sa.Integer(), existing_nullable=False, server_default=None)


def downgrade() -> None:
    """Undo the change."""
    with op.batch_alter_table("folders") as table:
        table.drop_column("row_version")
