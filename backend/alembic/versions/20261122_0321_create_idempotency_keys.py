"""Create idempotency_keys.

Revision: a4281c03cf35, after 13d915c4270a.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from app.db import types

revision = "a4281c03cf35"
down_revision = "13d915c4270a"
branch_labels = None
depends_on = None


_ANSWER = sa.LargeBinary(length=131072).with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "idempotency_keys",
        sa.Column("owner_id", types.GUID(), nullable=False),
        sa.Column("operation", types.KeyString(64), nullable=False),
        sa.Column("key", types.KeyString(128), nullable=False),
        sa.Column("fingerprint", types.FixedBytes(32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", types.JsonDict, nullable=True),
        sa.Column("body", _ANSWER, nullable=True),
        sa.Column("resource_id", types.GUID(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency_keys"),
        sa.UniqueConstraint("owner_id", "operation", "key", name="uq_idempotency_keys_owner_id_operation_key"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_idempotency_keys_expires_at_id", "idempotency_keys", ["expires_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("idempotency_keys")
