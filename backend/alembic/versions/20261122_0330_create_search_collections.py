"""Create search_collections.

Revision: ce21362613d8, after a4281c03cf35.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "ce21362613d8"
down_revision = "a4281c03cf35"
branch_labels = None
depends_on = None

_COUNTED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "search_collections",
        sa.Column("id", _COUNTED, nullable=False),
        sa.Column("user_id", types.GUID(), nullable=True),
        sa.Column("guest_id", types.GUID(), nullable=True),
        sa.Column("domain", types.KeyString(32), nullable=False),
        sa.CheckConstraint("(user_id IS NULL) <> (guest_id IS NULL)", name=op.f("ck_search_collections_owner")),
        sa.ForeignKeyConstraint(
            ["guest_id"], ["guests.id"], name="fk_search_collections_guest_id_guests", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_search_collections_user_id_users", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_search_collections"),
        sa.UniqueConstraint("guest_id", "domain", name="uq_search_collections_guest_id_domain"),
        sa.UniqueConstraint("user_id", "domain", name="uq_search_collections_user_id_domain"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("search_collections")
