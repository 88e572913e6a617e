"""Add before_chain to audit_heads.

Revision: 5f0a3d7c9e12, after 285128ed0f3e.
"""

import hashlib
import hmac

import sqlalchemy as sa
from alembic import op

from app.core.keys import derive_key
from app.db import types

revision = "5f0a3d7c9e12"
down_revision = "285128ed0f3e"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change: count the events that are older than the chain, so that none can be added later.

    The seal is that of `app.auth.audit.chain`, before-chain format 1.
    """
    op.add_column("audit_heads", sa.Column("before_chain", sa.BigInteger(), nullable=True))
    op.add_column("audit_heads", sa.Column("before_chain_seal", types.FixedBytes(32), nullable=True))
    events = sa.table("audit_events", sa.column("sequence"))
    heads = sa.table("audit_heads", sa.column("before_chain"), sa.column("before_chain_seal"))
    older = sa.select(sa.func.count()).select_from(events).where(events.c.sequence.is_(None))
    count = op.get_bind().scalar(older)
    key = derive_key(op.get_context().config.attributes["settings"].secret_key, "audit chain")
    seal = hmac.digest(key, f"merit audit before chain 1\n{count}".encode(), hashlib.sha256)
    op.execute(sa.update(heads).values(before_chain=count, before_chain_seal=seal))
    with op.batch_alter_table("audit_heads") as table:
        table.alter_column("before_chain", existing_type=sa.BigInteger(), nullable=False)
        table.alter_column("before_chain_seal", existing_type=types.FixedBytes(32), nullable=False)


def downgrade() -> None:
    """Undo the change."""
    with op.batch_alter_table("audit_heads") as table:
        table.drop_column("before_chain_seal")
        table.drop_column("before_chain")
