"""Create response_attempts.

Revision: 3f46890e060e, after 5f9eb3c33309.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "3f46890e060e"
down_revision = "5f9eb3c33309"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "response_attempts",
        sa.Column("response_id", types.GUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("provider", types.SafeString(64), nullable=False),
        sa.Column("model", types.SafeString(128), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("error", types.SafeString(1000), nullable=True),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["response_id"], ["responses.id"], name="fk_response_attempts_response_id_responses", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_response_attempts"),
        sa.UniqueConstraint("response_id", "number", name="uq_response_attempts_response_id_number"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("response_attempts")
