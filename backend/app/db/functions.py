"""SQL functions that every database writes in its own way."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, cast, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.functions import FunctionElement


class _EpochSeconds(FunctionElement[int]):
    """Whole seconds since 1970 of a `UtcDateTime`, for moments after that."""

    type = BigInteger()
    inherit_cache = True


@compiles(_EpochSeconds, "postgresql")
def _epoch_postgresql(element: _EpochSeconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(FLOOR(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **options)})) AS BIGINT)"


@compiles(_EpochSeconds, "mysql")
@compiles(_EpochSeconds, "mariadb")
def _epoch_mysql(element: _EpochSeconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"TIMESTAMPDIFF(SECOND, '1970-01-01', {compiler.process(element.clauses, **options)})"


@compiles(_EpochSeconds, "sqlite")
def _epoch_sqlite(element: _EpochSeconds, compiler: SQLCompiler, **options: Any) -> str:
    # Without its microseconds, which would be rounded to milliseconds, and the last of a second to the next second.
    return f"CAST(strftime('%s', substr({compiler.process(element.clauses, **options)}, 1, 19)) AS INTEGER)"


def epoch_bucket(moment: SQLCoreOperations[datetime], seconds: int) -> ColumnElement[int]:
    """The number of the bucket of so many seconds, counted from 1970, that a moment falls into."""
    since: Any = _EpochSeconds(moment)
    # Written into the statement: PostgreSQL takes two parameters of the same value for different expressions.
    return cast(func.floor(since / literal_column(str(int(seconds)), Integer())), BigInteger())
