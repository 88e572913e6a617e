"""Create model_prices.

Revision: 9a7a56285ec2, after cc56edbcfa84.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "9a7a56285ec2"
down_revision = "cc56edbcfa84"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "model_prices",
        sa.Column("match_pattern", types.KeyString(128), nullable=False),
        sa.Column("match_prefix", types.KeyString(128), nullable=False),
        sa.Column("provider", types.KeyString(64), nullable=False),
        sa.Column("tier", types.KeyString(64), nullable=False),
        sa.Column("conditions", types.JsonDict, nullable=False),
        sa.Column("unit", sa.String(length=32), nullable=False),
        sa.Column("price", types.ExactDecimal(15), nullable=False),
        sa.Column("valid_from", types.UtcDateTime(), nullable=False),
        sa.Column("valid_to", types.UtcDateTime(), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_prices"),
        sa.UniqueConstraint(
            "match_pattern",
            "provider",
            "tier",
            "unit",
            "valid_from",
            name="uq_model_prices_match_pattern_provider_tier_unit_valid_from",
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_model_prices_created_at_id", "model_prices", ["created_at", "id"])
    op.create_index("ix_model_prices_match_prefix", "model_prices", ["match_prefix"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("model_prices")
