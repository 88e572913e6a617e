"""Add device to auth sessions.

Revision: b50abd2d26b1, after e1b0b495858d.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "b50abd2d26b1"
down_revision = "e1b0b495858d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("auth_sessions", sa.Column("device_id", types.GUID(), nullable=True))


def downgrade() -> None:
    """Undo the change."""
    with op.batch_alter_table("auth_sessions") as table:
        table.drop_column("device_id")
