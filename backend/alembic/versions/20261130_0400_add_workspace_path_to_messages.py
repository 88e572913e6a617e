"""Add workspace_path to messages.

Revision: 4d7c1e90b2a5, after c3a5d70e9b14.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "4d7c1e90b2a5"
down_revision = "c3a5d70e9b14"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("messages", sa.Column("workspace_path", types.SafeString(1024), nullable=True))


def downgrade() -> None:
    """Undo the change."""
    with op.batch_alter_table("messages") as table:
        table.drop_column("workspace_path")
