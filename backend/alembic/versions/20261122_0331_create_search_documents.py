"""Create search_documents.

Revision: ebe755af8714, after ce21362613d8.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "ebe755af8714"
down_revision = "ce21362613d8"
branch_labels = None
depends_on = None

_COUNTED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "search_documents",
        sa.Column("id", _COUNTED, nullable=False),
        sa.Column("collection_id", _COUNTED, nullable=False),
        sa.Column("target_type", types.KeyString(32), nullable=False),
        sa.Column("target_id", types.GUID(), nullable=False),
        sa.Column("group_id", types.GUID(), nullable=True),
        sa.Column("title", types.SafeString(500), nullable=False),
        sa.Column("body", types.SafeText(), nullable=False),
        sa.Column("language", sa.String(length=32), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("embedding_state", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["search_collections.id"],
            name="fk_search_documents_collection_id_search_collections",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_search_documents"),
        sa.UniqueConstraint(
            "collection_id",
            "target_id",
            "target_type",
            name="uq_search_documents_collection_id_target_id_target_type",
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_search_documents_group_id", "search_documents", ["group_id"])
    op.create_index(
        "ix_search_documents_collection_id_id_length", "search_documents", ["collection_id", "id", "length"]
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("search_documents")
