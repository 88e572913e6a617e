"""What tests of the index begin with: an owner, and documents in few words."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select

from app.auth.guests.models import Guest
from app.auth.guests.types import Owner
from app.core.ids import new_id
from app.db.engine import Session
from app.main import Services
from app.search.models import SearchCollection, SearchDocument, SearchPosting
from app.search.service import SearchIndex
from app.search.types import Document, Hits, Target


class Library:
    """The index of one domain, each call in a transaction of its own."""

    def __init__(self, services: Services, domain: str = "test") -> None:
        self.services = services
        self.index = SearchIndex(domain, services.clock)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A transaction that is committed."""
        async with self.services.database.session() as session:
            yield session
            await session.commit()

    async def guest(self) -> Owner:
        """A new guest."""
        now, id_ = self.services.clock.now(), new_id()
        async with self.services.database.writer.begin() as connection:
            row = {"id": id_, "secret_hash": id_.bytes * 2, "created_at": now, "last_seen_at": now}
            await connection.execute(insert(Guest).values(row))
        return Owner(guest_id=id_)

    async def put(self, owner: Owner, *bodies: str, **members: Any) -> list[Target]:
        """Put texts in; what they stand for."""
        documents = [Document(Target("text", new_id()), body, **members) for body in bodies]
        await self.put_documents(owner, documents)
        return [document.target for document in documents]

    async def put_documents(self, owner: Owner, documents: Iterable[Document]) -> None:
        """Put documents in."""
        async with self.session() as session:
            await self.index.put_many(session, owner, documents)

    async def query(self, owner: Owner, text: str, *, limit: int = 20, **options: Any) -> Hits:
        """Search."""
        return await self.index.query(self.services.database.read_session(), owner, text, limit=limit, **options)

    async def find(self, owner: Owner, text: str, **options: Any) -> list[UUID]:
        """The ids of what is found, the best first."""
        return [hit.target.id for hit in (await self.query(owner, text, **options)).items]

    async def counts(self) -> tuple[int, int, int]:
        """How many collections, documents and postings there are."""
        session = self.services.database.read_session()
        models = (SearchCollection, SearchDocument, SearchPosting)
        found = [(await session.rows(select(func.count()).select_from(model)))[0][0] for model in models]
        return (found[0], found[1], found[2])
