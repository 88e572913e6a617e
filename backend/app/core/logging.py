"""Structured logs: one JSON object a line, with the request id, and without secrets."""

import logging
import re
import sys
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.settings import Environment, LogFormat, Settings

request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)

_SECRET_WORDS = ("password", "passwd", "secret", "token", "authorization", "cookie", "api_key")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
REDACTED = "[redacted]"


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    request_id = request_id_var.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


@lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    lowered = key.lower()
    return any(word in lowered for word in _SECRET_WORDS)


def redact_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the value of every key that names a secret, whoever logged it."""
    for key, value in event.items():
        if _names_secret(str(key)):
            event[key] = REDACTED
        elif isinstance(value, dict | list | tuple):
            event[key] = _redacted(value)
    return event


def _redacted(value: Any) -> Any:
    match value:
        case dict():
            return {key: REDACTED if _names_secret(str(key)) else _redacted(item) for key, item in value.items()}
        case list() | tuple():
            return [_redacted(item) for item in value]
        case _:
            return value


def _escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Show control characters as escapes, so that no text from outside can forge a line or steer the terminal."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _CONTROLS.sub(lambda match: repr(match[0])[1:-1], value)
    return event


def _to_json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate, which UTF-8 cannot carry
        return orjson.dumps(
            {key: str(value).encode(errors="backslashreplace").decode() for key, value in event.items()}
        )


def _to_text(_logger: WrappedLogger, _method: str, line: Any) -> str:
    return bytes(line).decode()


def _to_bytes(_logger: WrappedLogger, _method: str, line: Any) -> bytes:
    return str(line).encode(errors="backslashreplace")


def configure_logging(settings: Settings, *, to_stderr: bool = False) -> None:
    """Send structlog and the standard library's loggers through one chain to standard output (or error)."""
    stream = sys.stderr if to_stderr else sys.stdout
    log_format = settings.log_format or (
        LogFormat.CONSOLE if settings.environment is Environment.DEVELOPMENT and stream.isatty() else LogFormat.JSON
    )
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _add_request_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact_secrets,
    ]
    text: list[Processor]
    binary: list[Processor]
    if log_format is LogFormat.JSON:
        binary = [structlog.processors.format_exc_info, _to_json]
        text = [*binary, _to_text]
    else:
        # The prettier traceback would show local variables, and with them passwords.
        text = [_escape_controls, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        binary = [*text, _to_bytes]
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(
        processors=[*shared, *binary],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(stream.buffer),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *text],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("aiosqlite", "httpcore", "openai"):  # at DEBUG they write what is in statements, headers and prompts
        logging.getLogger(name).setLevel(logging.INFO)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `logger=name`. Where every microsecond counts, keep what its `bind()` returns."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
