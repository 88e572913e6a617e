"""The refusals of the job system, what handlers and workers raise, and how a failure is noted."""

import re

from sqlalchemy.exc import SQLAlchemyError

from app.core.errors import ConflictError, NotFoundError
from app.core.text import clean_header

MAX_ERROR_LENGTH = 500

# What might be a secret: the query of an address, and long runs of the characters that tokens are made of.
_ADDRESS_DETAIL = re.compile(r"(?<=\w)[?#]\S+|(?<=://)[^/\s@]+@")
_TOKEN = re.compile(r"[\w.~+/=-]{32,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MASK = "[...]"


class PermanentJobError(Exception):
    """Raised by a handler whose job can never succeed: it is dead at once. The message is kept, so no secrets in it."""


class LeaseLostError(Exception):
    """The worker was too slow: another one has, or may have, taken the job. What it did in `finish` is undone."""


class JobNotFoundError(NotFoundError):
    """No job has this id, or it was done some time ago."""

    code = "job_not_found"
    title = "Job not found"


class JobNotWaitingError(ConflictError):
    """Only a job that is dead or waits for a later time can be queued for now."""

    code = "job_not_waiting"
    title = "The job is neither dead nor waiting"


def describe(error: BaseException) -> str:
    """The type and the message of a failure on one line, cut, and without what looks like a secret.

    A database's message shows values of rows; of that one only the types are told.
    """
    name = type(error).__name__
    if isinstance(error, SQLAlchemyError):
        original = getattr(error, "orig", None)
        return name if original is None else f"{name} ({type(original).__name__})"
    text = _ADDRESS_DETAIL.sub(_MASK, str(error)[: 4 * MAX_ERROR_LENGTH])
    text = _TOKEN.sub(lambda match: match[0] if _UUID.fullmatch(match[0]) else _MASK, text)
    return clean_header(f"{name}: {text}" if text else name, MAX_ERROR_LENGTH)
