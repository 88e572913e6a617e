"""Create service account secrets.

Revision: bd640ff45604, after 85073b323d6a.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "bd640ff45604"
down_revision = "85073b323d6a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "service_account_secrets",
        sa.Column("service_account_id", types.GUID(), nullable=False),
        sa.Column("secret_hash", types.FixedBytes(32), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_account_id"],
            ["service_accounts.id"],
            name="fk_service_account_secrets_service_account_id_service_accounts",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_service_account_secrets"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_service_account_secrets_expires_at", "service_account_secrets", ["expires_at"])
    op.create_index(
        "ix_service_account_secrets_service_account_id_created_at_id",
        "service_account_secrets",
        ["service_account_id", "created_at", "id"],
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("service_account_secrets")
