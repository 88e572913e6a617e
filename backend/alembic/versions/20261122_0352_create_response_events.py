"""Create response_events.

Revision: cc56edbcfa84, after 3f46890e060e.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "cc56edbcfa84"
down_revision = "3f46890e060e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "response_events",
        sa.Column("response_id", types.GUID(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("payload", types.JsonDict, nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["response_id"], ["responses.id"], name="fk_response_events_response_id_responses", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("response_id", "seq", name="pk_response_events"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("response_events")
