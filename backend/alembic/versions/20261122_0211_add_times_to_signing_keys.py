"""Add times to signing keys.

Revision: 69b9fd2c633c, after 2f915a7dc87a.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "69b9fd2c633c"
down_revision = "2f915a7dc87a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("signing_keys", sa.Column("state_changed_at", types.UtcDateTime(), nullable=True))


def downgrade() -> None:
    """Undo the change."""
    with op.batch_alter_table("signing_keys") as table:
        table.drop_column("state_changed_at")
