"""Create personal access tokens.

Revision: 3108861d8dba, after 981d1b3cfd89.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "3108861d8dba"
down_revision = "981d1b3cfd89"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "personal_access_tokens",
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("name", types.SafeString(100), nullable=False),
        sa.Column("token_hash", types.FixedBytes(32), nullable=False),
        sa.Column("scope", types.SafeString(4000), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_used_address", sa.String(length=45), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_personal_access_tokens_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_personal_access_tokens"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_personal_access_tokens_expires_at", "personal_access_tokens", ["expires_at"])
    op.create_index(
        "ix_personal_access_tokens_user_id_created_at_id", "personal_access_tokens", ["user_id", "created_at", "id"]
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("personal_access_tokens")
