"""Create audit_events.

Revision: 5e6ef59b9dae, after 096819740652.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "5e6ef59b9dae"
down_revision = "096819740652"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "audit_events",
        sa.Column("occurred_at", types.UtcDateTime(), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("user_id", types.GUID(), nullable=True),
        sa.Column("actor_id", types.GUID(), nullable=True),
        sa.Column("session_id", types.GUID(), nullable=True),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("user_agent", types.SafeString(256), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("detail", types.JsonDict, nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_audit_events_occurred_at_id", "audit_events", ["occurred_at", "id"])
    op.create_index("ix_audit_events_user_id_occurred_at_id", "audit_events", ["user_id", "occurred_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("audit_events")
