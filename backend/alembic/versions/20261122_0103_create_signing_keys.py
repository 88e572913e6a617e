"""Create signing_keys.

Revision: b5048c3e81b0, after 72ed53dd7cea.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "b5048c3e81b0"
down_revision = "72ed53dd7cea"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "signing_keys",
        sa.Column("kid", types.KeyString(64), nullable=False),
        sa.Column("algorithm", sa.String(length=16), nullable=False),
        sa.Column("private_key", sa.LargeBinary(length=1024), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("active_slot", sa.Integer(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("id", types.GUID(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_signing_keys"),
        sa.UniqueConstraint("algorithm", "active_slot", name="uq_signing_keys_algorithm_active_slot"),
        sa.UniqueConstraint("kid", name="uq_signing_keys_kid"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("signing_keys")
