"""Index audit_events.

Revision: 7d0c4be1a2f6, after 69b9fd2c633c.
"""

from alembic import op

revision = "7d0c4be1a2f6"
down_revision = "69b9fd2c633c"
branch_labels = None
depends_on = None

_COLUMNS = ("action", "actor_id", "address", "outcome", "request_id", "session_id")


def upgrade() -> None:
    """Apply the change: what administrators filter by, in the order of time."""
    for column in _COLUMNS:
        op.create_index(f"ix_audit_events_{column}_occurred_at_id", "audit_events", [column, "occurred_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    for column in reversed(_COLUMNS):
        op.drop_index(f"ix_audit_events_{column}_occurred_at_id", "audit_events")
