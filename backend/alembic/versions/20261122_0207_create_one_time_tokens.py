"""Create one_time_tokens.

Revision: e1b0b495858d, after bd640ff45604.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "e1b0b495858d"
down_revision = "bd640ff45604"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "one_time_tokens",
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("user_id", types.GUID(), nullable=True),
        sa.Column("email", types.SafeString(254), nullable=False),
        sa.Column("email_normalized", types.KeyString(254), nullable=False),
        sa.Column("payload", types.JsonDict, nullable=False),
        sa.Column("code_tries", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("issued_at", types.UtcDateTime(), nullable=True),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_one_time_tokens_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_one_time_tokens"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_one_time_tokens_email_normalized_purpose", "one_time_tokens", ["email_normalized", "purpose"])
    op.create_index("ix_one_time_tokens_user_id_purpose", "one_time_tokens", ["user_id", "purpose"])
    op.create_index("ix_one_time_tokens_purpose_created_at_id", "one_time_tokens", ["purpose", "created_at", "id"])
    op.create_index("ix_one_time_tokens_expires_at", "one_time_tokens", ["expires_at"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("one_time_tokens")
