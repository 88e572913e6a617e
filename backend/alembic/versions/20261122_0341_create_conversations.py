"""Create conversations.

Revision: 628989ad7f6a, after 14601bd56f8d.
"""

import sqlalchemy as sa
from alembic import op

from app.db import types

revision = "628989ad7f6a"
down_revision = "14601bd56f8d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "conversations",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("title", types.SafeString(200), nullable=True),
        sa.Column("title_source", sa.String(length=32), nullable=False),
        sa.Column("default_model", types.SafeString(128), nullable=False),
        sa.Column("system_prompt", types.SafeText(), nullable=True),
        sa.Column("settings", types.JsonDict, nullable=False),
        sa.Column("folder_id", types.GUID(), nullable=True),
        sa.Column("workspace_path", types.SafeString(1024), nullable=True),
        sa.Column("client_session_id", types.KeyString(128), nullable=True),
        sa.Column("active_leaf_id", types.GUID(), nullable=True),
        sa.Column("is_pinned", sa.Boolean(), nullable=False),
        sa.Column("is_archived", sa.Boolean(), nullable=False),
        sa.Column("archived_at", types.UtcDateTime(), nullable=True),
        sa.Column("is_temporary", sa.Boolean(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("last_message_at", types.UtcDateTime(), nullable=False),
        sa.Column("source", types.KeyString(32), nullable=True),
        sa.Column("source_id", types.KeyString(128), nullable=True),
        sa.Column("content_hash", types.FixedBytes(32), nullable=True),
        sa.Column("id", types.GUID(), nullable=False),
        sa.Column("user_id", types.GUID(), nullable=True),
        sa.Column("guest_id", types.GUID(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.CheckConstraint("(user_id IS NULL) <> (guest_id IS NULL)", name=op.f("ck_conversations_owner")),
        sa.ForeignKeyConstraint(
            ["folder_id"], ["folders.id"], name="fk_conversations_folder_id_folders", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["guest_id"], ["guests.id"], name="fk_conversations_guest_id_guests", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_conversations_user_id_users", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
        sa.UniqueConstraint("guest_id", "client_session_id", name="uq_conversations_guest_id_client_session_id"),
        sa.UniqueConstraint("user_id", "client_session_id", name="uq_conversations_user_id_client_session_id"),
        sa.UniqueConstraint("user_id", "source", "source_id", name="uq_conversations_user_id_source_source_id"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_unicode_ci",
        mysql_engine="InnoDB",
    )
    op.create_index("ix_conversations_expires_at", "conversations", ["expires_at"])
    op.create_index("ix_conversations_folder_id", "conversations", ["folder_id"])
    op.create_index("ix_conversations_guest_id_created_at_id", "conversations", ["guest_id", "created_at", "id"])
    op.create_index(
        "ix_conversations_guest_id_is_archived_last_message_at_id",
        "conversations",
        ["guest_id", "is_archived", "last_message_at", "id"],
    )
    op.create_index(
        "ix_conversations_guest_id_last_message_at_id", "conversations", ["guest_id", "last_message_at", "id"]
    )
    op.create_index("ix_conversations_user_id_created_at_id", "conversations", ["user_id", "created_at", "id"])
    op.create_index(
        "ix_conversations_user_id_folder_id_last_message_at_id",
        "conversations",
        ["user_id", "folder_id", "last_message_at", "id"],
    )
    op.create_index(
        "ix_conversations_user_id_is_archived_last_message_at_id",
        "conversations",
        ["user_id", "is_archived", "last_message_at", "id"],
    )
    op.create_index(
        "ix_conversations_user_id_last_message_at_id", "conversations", ["user_id", "last_message_at", "id"]
    )


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("conversations")
