"""The tables of the index.

Keys are whole numbers that the database counts up, not UUIDs: nobody outside sees them, there is a posting for each
different word of each document, and a UUID would make it twice as large.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import MYSQL_TABLE, Base
from app.db.types import EnumString, KeyString, SafeString, SafeText
from app.search.types import (
    MAX_DOMAIN_LENGTH,
    MAX_TITLE_LENGTH,
    MAX_TYPE_LENGTH,
    EmbeddingState,
    Language,
)

MAX_TERM_LENGTH = 64
MAX_POSITIONS = 64
"""Places of one word in one document that phrases are found at."""

COUNTED = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up in nothing but INTEGER
POSITIONS = LargeBinary(2 * MAX_POSITIONS).with_variant(mysql.VARBINARY(2 * MAX_POSITIONS), "mysql", "mariadb")


class SearchCollection(Base):
    """What an account or a guest has in one domain: the documents that are searched, counted and ranked together."""

    __tablename__ = "search_collections"
    __table_args__ = (
        CheckConstraint("(user_id IS NULL) <> (guest_id IS NULL)", name="owner"),
        UniqueConstraint("user_id", "domain"),
        UniqueConstraint("guest_id", "domain"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(COUNTED, primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    guest_id: Mapped[UUID | None] = mapped_column(ForeignKey("guests.id", ondelete="CASCADE"))
    domain: Mapped[str] = mapped_column(KeyString(MAX_DOMAIN_LENGTH))


class SearchDocument(Base):
    """A text that can be found. `length` counts its words; newer documents have higher ids."""

    __tablename__ = "search_documents"
    __table_args__ = (
        UniqueConstraint("collection_id", "target_id", "target_type"),
        Index(None, "collection_id", "id", "length"),
        Index(None, "group_id"),
        MYSQL_TABLE,
    )

    id: Mapped[int] = mapped_column(COUNTED, primary_key=True)
    collection_id: Mapped[int] = mapped_column(ForeignKey("search_collections.id", ondelete="CASCADE"))
    target_type: Mapped[str] = mapped_column(KeyString(MAX_TYPE_LENGTH))
    target_id: Mapped[UUID]
    group_id: Mapped[UUID | None]
    title: Mapped[str] = mapped_column(SafeString(MAX_TITLE_LENGTH))
    body: Mapped[str] = mapped_column(SafeText())
    language: Mapped[Language] = mapped_column(EnumString(Language))
    length: Mapped[int]
    updated_at: Mapped[datetime]
    embedding_state: Mapped[EmbeddingState] = mapped_column(EnumString(EmbeddingState), default=EmbeddingState.PENDING)


class SearchPosting(Base):
    """That a word is in a document: how often, and at which places, two bytes each.

    The key leads from a collection's word to its documents, the newest last; it holds all that ranking needs, for
    `length` is the document's. The second index is the way back, for deleting.
    """

    __tablename__ = "search_postings"
    __table_args__ = (
        PrimaryKeyConstraint("collection_id", "term", "document_id", postgresql_include=["frequency", "length"]),
        Index(None, "document_id"),
        {**MYSQL_TABLE, "sqlite_with_rowid": False},
    )

    collection_id: Mapped[int] = mapped_column(BigInteger)
    term: Mapped[str] = mapped_column(KeyString(MAX_TERM_LENGTH))
    document_id: Mapped[int] = mapped_column(ForeignKey("search_documents.id", ondelete="CASCADE"))
    frequency: Mapped[int] = mapped_column(SmallInteger)
    length: Mapped[int]
    positions: Mapped[bytes] = mapped_column(POSITIONS)
