"""Create search_postings.

Revision: a47d90480c7e, after ebe755af8714.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "a47d90480c7e"
down_revision = "ebe755af8714"
branch_labels = None
depends_on = None

_COUNTED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_POSITIONS = sa.LargeBinary(128).with_variant(sa.VARBINARY(128), "mysql", "mariadb")


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "search_postings",
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("term", types.KeyString(64), nullable=False),
        sa.Column("document_id", _COUNTED, nullable=False),
        sa.Column("frequency", sa.SmallInteger(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("positions", _POSITIONS, nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"],
            ["search_documents.id"],
            name="fk_search_postings_document_id_search_documents",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "collection_id",
            "term",
            "document_id",
            name="pk_search_postings",
            postgresql_include=["frequency", "length"],
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_search_postings_document_id", "search_postings", ["document_id"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("search_postings")
