"""Finding out whether the audit trail is still what was written."""

from collections.abc import AsyncIterator
from contextlib import suppress

from app.auth.audit.chain import AuditChain
from app.auth.audit.models import AuditHead
from app.auth.audit.repository import AuditHeadRepository, ChainedEvent, ChainRepository
from app.auth.audit.types import BEFORE_FIRST, AuditReport, Fault, FaultKind, Link, Progress
from app.core.clock import Clock
from app.db.engine import Database

_BATCH_SIZE = 500
_KEPT_FAULTS = 100


class AuditVerifier:
    """Reads the chain from its start to its head, in batches, while others go on writing."""

    def __init__(self, database: Database, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._chain = chain
        self._clock = clock

    async def verify(self, after: Link = BEFORE_FIRST, progress: Progress | None = None) -> AuditReport:
        """Check every event behind `after`, the head, and that no event stands outside the chain.

        `after` is a link that an earlier verification ended at, or that was kept elsewhere: it must still be there.
        """
        async with self._database.read_session() as session:
            last = await ChainRepository(session, self._clock).last_sequence()
            head = await AuditHeadRepository(session, self._clock).get_head()  # later, so that it is not behind
        walk = _Walk(self._chain, after, None if head is None else Link(head.sequence, head.mac))
        if not await self._is_there(after):
            walk.fault(FaultKind.ANCHOR, after.sequence)
        end = max(last, walk.head_sequence)
        async for batch in self._batches(after.sequence, end):
            for sequence, event in batch:
                walk.step(sequence, event)
            if progress is not None:
                progress(Link(walk.reached, walk.previous or b""))
        is_sealed = head is not None and self._is_sealed(head)
        walk.finish(is_sealed=is_sealed)
        async with self._database.read_session() as session:
            before_chain, unchained = await ChainRepository(session, self._clock).count_outside()
        if unchained or (is_sealed and head is not None and before_chain != head.before_chain):
            walk.fault(FaultKind.UNCHAINED, None)
        return walk.report(before_chain)

    async def length(self) -> int:
        """The number of the last event."""
        async with self._database.read_session() as session:
            return await ChainRepository(session, self._clock).last_sequence()

    def _is_sealed(self, head: AuditHead) -> bool:
        end, before_chain = Link(head.sequence, head.mac), head.before_chain
        seals = (self._chain.seal(end), self._chain.seal_before_chain(before_chain))
        return (head.seal, head.before_chain_seal) == seals

    async def head(self) -> Link | None:
        """The last link of the trail; None where nothing is on record yet."""
        async with self._database.read_session() as session:
            found = await AuditHeadRepository(session, self._clock).get_head()
        return None if found is None or found.sequence == 0 else Link(found.sequence, found.mac)

    async def _is_there(self, link: Link) -> bool:
        if link.sequence == BEFORE_FIRST.sequence:
            return link == BEFORE_FIRST
        async with self._database.read_session() as session:
            return await ChainRepository(session, self._clock).mac_of(link.sequence) == link.mac

    async def _batches(self, after: int, end: int) -> AsyncIterator[list[tuple[int, ChainedEvent | None]]]:
        while after < end:
            async with self._database.read_session() as session:
                batch = await _read(ChainRepository(session, self._clock), after, end)
            if not batch:
                return
            yield batch
            after = batch[-1][0]


async def _read(events: ChainRepository, after: int, end: int) -> list[tuple[int, ChainedEvent | None]]:
    """The next events by their numbers; None in the place of one that cannot be read."""
    with suppress(ValueError, TypeError):
        return [(event["sequence"], event) for event in await events.list_chained(after, end, limit=_BATCH_SIZE)]
    batch: list[tuple[int, ChainedEvent | None]] = []
    for sequence in await events.list_sequences(after, end, limit=_BATCH_SIZE):
        found = None
        with suppress(ValueError, TypeError):
            (found,) = await events.list_chained(sequence - 1, sequence, limit=1)
        batch.append((sequence, found))
    return batch


class _Walk:
    """How far a verification has come. After a fault it goes on from what stands there, to find all of them."""

    def __init__(self, chain: AuditChain, after: Link, head: Link | None) -> None:
        self._chain = chain
        self._head = head
        self._events = 0
        self._faults: list[Fault] = []
        self._fault_count = 0
        self.reached = after.sequence
        self.previous: bytes | None = after.mac  # None behind an event that is gone: whatever follows cannot be checked

    @property
    def head_sequence(self) -> int:
        """The number of the last event, as the head has it."""
        return 0 if self._head is None else self._head.sequence

    def fault(self, kind: FaultKind, sequence: int | None, last: int | None = None) -> None:
        """Note a fault."""
        self._fault_count += 1
        if len(self._faults) < _KEPT_FAULTS:
            self._faults.append(Fault(kind, sequence, last))

    def step(self, sequence: int, event: ChainedEvent | None) -> None:
        """Check the next event that is there."""
        if sequence > self.reached + 1:
            self.fault(FaultKind.MISSING, self.reached + 1, sequence - 1)
            self.previous = None
        if event is None:
            self.fault(FaultKind.UNREADABLE, sequence)
        elif self._head is not None and sequence > self._head.sequence:
            self.fault(FaultKind.BEHIND_HEAD, sequence)
        elif self.previous is not None and not self._is_genuine(event, self.previous):
            self.fault(FaultKind.CHANGED, sequence)
        self._events += 1
        self.reached = sequence
        self.previous = None if event is None else event["mac"]

    def finish(self, *, is_sealed: bool) -> None:
        """Compare the end with the head."""
        if self._head is None:
            self.fault(FaultKind.HEAD_MISSING, self.reached)
        elif not is_sealed:
            self.fault(FaultKind.HEAD_CHANGED, self._head.sequence)
        elif self.reached < self._head.sequence:
            self.fault(FaultKind.CUT_OFF, self.reached + 1, self._head.sequence)
        elif self.reached == self._head.sequence and self.previous != self._head.mac and not self._faults:
            self.fault(FaultKind.HEAD_CHANGED, self.reached)

    def report(self, before_chain: int) -> AuditReport:
        """What was found."""
        return AuditReport(
            events=self._events,
            before_chain=before_chain,
            end=self._head,
            faults=tuple(self._faults),
            fault_count=self._fault_count,
        )

    def _is_genuine(self, event: ChainedEvent, previous: bytes) -> bool:
        with suppress(ValueError, TypeError, AttributeError):  # a column that holds another type of value
            return self._chain.is_genuine(event, previous)
        return False
