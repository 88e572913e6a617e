"""Create import_chunks.

Revision: 6b0e2f91d7c4, after c8b7f6a78dad.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "6b0e2f91d7c4"
down_revision = "c8b7f6a78dad"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "import_chunks",
        sa.Column("import_id", types.GUID(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imports.id"], name="fk_import_chunks_import_id_imports", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "seq", name="pk_import_chunks"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("import_chunks")
