"""Add price sheet to responses.

Revision: c3a5d70e9b14, after 5f0a3d7c9e12.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "c3a5d70e9b14"
down_revision = "5f0a3d7c9e12"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change. Nobody knows any more by which prices the replies were paid that are there already."""
    op.add_column("responses", sa.Column("price_sheet", types.JsonDict, nullable=True))


def downgrade() -> None:
    """Undo the change."""
    op.drop_column("responses", "price_sheet")
