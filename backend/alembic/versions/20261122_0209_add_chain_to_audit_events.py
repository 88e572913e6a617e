"""Add chain to audit events.

Revision: 12004fb06c0f, after b50abd2d26b1.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "12004fb06c0f"
down_revision = "b50abd2d26b1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change. Events that are there already stay outside the chain."""
    with op.batch_alter_table("audit_events") as table:
        table.add_column(sa.Column("sequence", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("mac", types.FixedBytes(32), nullable=True))
        table.create_unique_constraint("uq_audit_events_sequence", ["sequence"])


def downgrade() -> None:
    """Undo the change."""
    with op.batch_alter_table("audit_events") as table:
        table.drop_constraint("uq_audit_events_sequence", type_="unique")
        table.drop_column("mac")
        table.drop_column("sequence")
