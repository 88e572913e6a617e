"""Workers and administrators read along indexes, however many jobs were done, on every database."""

import re
from datetime import timedelta
from typing import Any

from sqlalchemy import event, insert, text

from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.jobs.types import JobStatus
from tests.jobs.stage import KIND, Stage

ROWS = 3000
# What tells that the table is read from end to end, or sorted.
BAD = {
    "sqlite": r"SCAN jobs(?! USING INDEX)|TEMP B-TREE",
    "postgresql": r"Seq Scan|Sort  ",
    "mysql": r'"table_name": "jobs",\s+"access_type": "ALL"|filesort',
}
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN ", "mysql": "EXPLAIN FORMAT=JSON "}


async def fill(stage: Stage) -> None:
    """Many jobs of several kinds that are done, some that wait, one whose worker died, and statistics that say so."""
    now = stage.clock.now()
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        status = JobStatus.QUEUED if number % 50 == 0 else JobStatus.RUNNING if number == 1 else JobStatus.DONE
        made_at = now - timedelta(seconds=ROWS - number)
        due_at = None if status is JobStatus.DONE else now + timedelta(seconds=number - ROWS // 2)
        kind = KIND if number % 50 < 2 else f"test.{number % 5}"
        row = {"kind": kind, "status": status, "due_at": due_at, "created_at": made_at, "payload": {"to": "x" * 200}}
        rows.append(row | {"attempts": 0, "max_attempts": 3})
    async with stage.database.writer.begin() as connection:
        await connection.execute(insert(Job), rows)
    analyze = "ANALYZE TABLE jobs" if stage.database.url.backend == "mysql" else "ANALYZE"
    async with stage.database.reader.connect() as connection:
        await connection.execute(text(analyze))


async def test_no_look_reads_the_whole_table(stage: Stage) -> None:
    await fill(stage)
    backend, sent = stage.database.url.backend, []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip("(").startswith("SELECT") and "jobs" in statement:
            sent.append((statement, parameters))

    database = stage.database  # one pool has one set of listeners, however many engines share it
    engines = {id(one.pool): one.sync_engine for one in (database.reader, database.writer)}.values()
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        runner = stage.runner()
        await runner.next_due()
        assert len(await runner.take(3)) == 3
        async with stage.database.session() as session:
            jobs = JobRepository(session, stage.clock)
            for where in ([], [Job.status == JobStatus.DEAD], [Job.kind == KIND]):
                await jobs.page(*where, sort="-created_at", limit=20)
            await jobs.has_leases_beyond(stage.clock.now())
            await jobs.delete_done(timedelta(hours=1), limit=10)
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
    assert len(sent) == 8
    async with stage.database.reader.connect() as connection:
        for statement, parameters in sent:
            result = await connection.exec_driver_sql(EXPLAIN[backend] + statement, parameters)
            plan = "\n".join(" ".join(map(str, row)) for row in result)
            assert not re.search(BAD[backend], plan), (statement[-200:], plan)
