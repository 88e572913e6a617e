"""Create imports.

Revision: c8b7f6a78dad, after 5711e82b3907.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "c8b7f6a78dad"
down_revision = "5711e82b3907"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "imports",
        sa.Column("user_id", types.GUID(), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=True),
        sa.Column("file_sha256", types.FixedBytes(32), nullable=False),
        sa.Column("file_bytes", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("messages_created", sa.Integer(), nullable=False),
        sa.Column("errors", types.JsonDict, nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_imports_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_imports"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_imports_user_id_created_at_id", "imports", ["user_id", "created_at", "id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("imports")
