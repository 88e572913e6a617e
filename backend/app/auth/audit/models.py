"""The end of the audit trail's chain."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import MYSQL_TABLE, Base
from app.db.types import FixedBytes


class AuditHead(Base):
    """The last link of the chain, in the one row with id 1. `seal` proves that this service wrote it.

    `before_chain` is how many events are older than the chain, under a seal of its own: the end moves, this stays.
    """

    __tablename__ = "audit_heads"
    __table_args__ = (MYSQL_TABLE,)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger())
    mac: Mapped[bytes] = mapped_column(FixedBytes(32))
    seal: Mapped[bytes] = mapped_column(FixedBytes(32))
    before_chain: Mapped[int] = mapped_column(BigInteger())
    before_chain_seal: Mapped[bytes] = mapped_column(FixedBytes(32))
