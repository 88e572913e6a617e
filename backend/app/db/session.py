"""The one session dependency."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from starlette.requests import Request

from app.db.engine import Database, Session
from app.db.recent_writers import RecentWriters

__all__ = ["SessionDep", "reads_replica"]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 section 9.2.1
EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])


def reads_replica(endpoint: EndpointT) -> EndpointT:
    """Let a GET endpoint read the replica: a moment old perhaps, but never older than the caller's own write."""
    endpoint.__reads_replica__ = True  # type: ignore[attr-defined]
    return endpoint


async def get_session(request: Request) -> AsyncIterator[Session]:
    """One session a request: committed before the answer's first byte, rolled back when anything raises.

    Requests with a safe method get a read session, which holds no transaction.
    """
    database: Database = request.app.state.merit.database
    writers: RecentWriters = request.app.state.merit.recent_writers
    caller = request.scope.get("merit.caller")
    if request.method in _SAFE_METHODS:
        wants_replica = database.replica is not None and getattr(request.scope["endpoint"], "__reads_replica__", False)
        from_replica = wants_replica and caller is not None and not writers.has_written(caller)
        session: Session = database.read_session(from_replica=from_replica)
        try:
            yield session
        finally:
            if session.in_transaction():  # closing costs more than a small read; most have nothing to close
                await session.close()
        return
    async with database.session() as session:
        try:
            yield session
        except BaseException:
            await session.rollback()  # commit: the one place
            raise
        await session.commit()  # commit: the one place
    database.failpoints.hit("before_answer")
    if caller is not None:
        writers.note(caller)


SessionDep = Annotated[Session, Depends(get_session, scope="function")]
"""The only way an endpoint gets a session. With FastAPI's default scope the commit would follow the answer."""
