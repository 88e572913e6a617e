"""Create audit_heads.

Revision: 2f915a7dc87a, after 12004fb06c0f.
"""

import hashlib
import hmac

import sqlalchemy as sa
from alembic import op

from app.core.keys import derive_key
from app.db import types

revision = "2f915a7dc87a"
down_revision = "12004fb06c0f"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change. The row is there before the first event: without it, a chain that was removed could begin anew.

    Its seal is that of `app.auth.audit.chain`, head format 1.
    """
    heads = op.create_table(
        "audit_heads",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("mac", types.FixedBytes(32), nullable=False),
        sa.Column("seal", types.FixedBytes(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_heads"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    key = derive_key(op.get_context().config.attributes["settings"].secret_key, "audit chain")
    mac = bytes(32)
    seal = hmac.digest(key, f"merit audit head 1\n0 {mac.hex()}".encode(), hashlib.sha256)
    op.bulk_insert(heads, [{"id": 1, "sequence": 0, "mac": mac, "seal": seal}])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("audit_heads")
