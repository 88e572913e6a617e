"""Create service accounts.

Revision: 85073b323d6a, after 3108861d8dba.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "85073b323d6a"
down_revision = "3108861d8dba"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "service_accounts",
        sa.Column("name", types.SafeString(100), nullable=False),
        sa.Column("description", types.SafeString(500), nullable=True),
        sa.Column("scope", types.SafeString(4000), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("auth_version", sa.Integer(), nullable=False),
        sa.Column("created_by", types.GUID(), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name="fk_service_accounts_created_by_users", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_service_accounts"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_service_accounts_created_at_id", "service_accounts", ["created_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("service_accounts")
