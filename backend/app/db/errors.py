"""What a database failure means for the caller."""

import re

from sqlalchemy import Index, Table
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.schema import ColumnCollectionConstraint

from app.core.errors import AppError, ConflictError, InvalidInputError, ServiceUnavailableError, StorageFullError
from app.db.base import Base

_SQLITE_COLUMNS = re.compile(r"(?:UNIQUE|NOT NULL) constraint failed: ([\w., ]+)")
_QUOTED_NAME = re.compile(r"""(?:constraint|key|index)\s+["'`]([\w.]+)["'`]""", re.IGNORECASE)
_STORAGE_FULL = re.compile(r"disk is full|No space left|table .* is full", re.IGNORECASE)


def to_app_error(error: BaseException) -> AppError | None:
    """The refusal that a database or network failure becomes, or None where it is a fault of ours.

    A violated constraint answers with the error that its `info["error"]` names, a refused value with 422,
    a lost or overloaded database with 503 and `Retry-After`, a full disk with 507.
    """
    if isinstance(error, DBAPIError) and _is_storage_full(error.orig):
        return StorageFullError()
    if isinstance(error, IntegrityError):
        return _of_constraint(error)
    if _is_refused_value(error):
        return InvalidInputError("A value cannot be stored.")
    if isinstance(error, StaleDataError):
        return ConflictError("The row was changed in the meantime.")
    if _is_unavailable(error):
        return ServiceUnavailableError("The database cannot answer at the moment.")
    return None


def is_deadlock(error: DBAPIError) -> bool:
    """Whether the database has undone a transaction because it and another one waited for each other."""
    # Error 1213 of MySQL and MariaDB; SQLite has one writer.
    return _sqlstate(error.orig) == "40P01" or getattr(error.orig, "args", ())[:1] == (1213,)


def _is_storage_full(original: BaseException | None) -> bool:
    return _sqlstate(original) == "53100" or bool(_STORAGE_FULL.search(str(original)))


def _is_refused_value(error: BaseException) -> bool:
    """Whether a value fits no column: said by our types, by the driver, or by the server (SQLSTATE class 22)."""
    if isinstance(error, DataError | OverflowError):
        return True
    original = error.orig if isinstance(error, StatementError) else error
    is_ours = isinstance(error, StatementError) and isinstance(original, ValueError)
    is_drivers = "DataError" in _kinds(original) | _kinds(getattr(original, "__cause__", None))
    return is_ours or is_drivers or _sqlstate(original)[:2] == "22"


def _is_unavailable(error: BaseException) -> bool:
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlite_errorname", None) == "SQLITE_ERROR":
        return False  # a statement with a mistake, which sqlite3 reports as an OperationalError too
    if isinstance(error, OperationalError | InterfaceError | DisconnectionError | PoolTimeoutError):
        return True
    if isinstance(error, OSError | TimeoutError) or _is_unavailable_driver(error):
        return True
    # asyncpg reports a cancelled, timed out or administratively ended statement as a plain DBAPIError.
    return isinstance(error, DBAPIError) and (error.connection_invalidated or _is_operator_intervention(error.orig))


def _is_unavailable_driver(error: BaseException) -> bool:
    """Whether the driver itself says so: reads may go to it directly, and a pool may meet a dead connection."""
    return not _kinds(error).isdisjoint({"InterfaceError", "OperationalError"}) or _is_operator_intervention(error)


def _kinds(error: BaseException | None) -> set[str]:
    """The classes of an error by name: those of PEP 249 are called the same in every driver."""
    return {kind.__name__ for kind in type(error).__mro__}


def _is_operator_intervention(original: BaseException | None) -> bool:
    state = _sqlstate(original)
    # 08 connection, 25P03 idle in transaction, 40 rollback, 53 resources, 55 object state, 57 operator, 58 system.
    return state == "25P03" or state[:2] in {"08", "40", "53", "55", "57", "58"}


def _sqlstate(original: BaseException | None) -> str:
    return getattr(original, "sqlstate", None) or ""


def _of_constraint(error: IntegrityError) -> AppError:
    constraint = _violated_constraint(error.orig)
    error_class: type[AppError] = (
        constraint.info.get("error", ConflictError) if constraint is not None else ConflictError
    )
    return error_class()


def _violated_constraint(original: BaseException | None) -> ColumnCollectionConstraint | Index | None:
    name = getattr(getattr(original, "__cause__", None), "constraint_name", None)
    # Not `str(original)`: MySQL's error has two arguments, and their representation escapes the quotes.
    message = str(original.args[-1]) if original is not None and original.args else ""
    columns: set[str] = set()
    if name is None and (match := _SQLITE_COLUMNS.search(message)):
        columns = {column.strip() for column in match[1].split(",")}
    elif name is None and (names := _QUOTED_NAME.findall(message)):
        name = names[-1].rpartition(".")[2]  # MySQL quotes the refused value first, and it may hold anything
    for table in Base.metadata.tables.values():
        for constraint in _constraints(table):
            if constraint.name == name or (columns and {str(column) for column in constraint.columns} == columns):
                return constraint
    return None


def _constraints(table: Table) -> list[ColumnCollectionConstraint | Index]:
    named = [item for item in table.constraints if isinstance(item, ColumnCollectionConstraint)]
    return [*named, *table.indexes]
