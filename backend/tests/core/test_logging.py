"""Log lines are one JSON object each, carry no secrets and cannot be forged."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from app.core.logging import REDACTED, configure_logging, get_logger, request_id_var
from app.core.settings import LogFormat, Settings


@pytest.fixture(autouse=True)
def previous_logging() -> Iterator[None]:
    """Leave the loggers as they were."""
    root = logging.getLogger()
    handlers, level, config = root.handlers, root.level, structlog.get_config()
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**config)


def configure(log_format: LogFormat | None = LogFormat.JSON, level: str = "INFO") -> None:
    secret = SecretStr("c4" * 32)
    configure_logging(Settings(_env_file=None, secret_key=secret, log_format=log_format, log_level=level))


def read_lines(capture: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capture.readouterr().out.splitlines()]


def test_a_line_names_logger_level_time_and_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    token = request_id_var.set("r-1")
    get_logger("app.test").info("done", count=3)
    request_id_var.reset(token)
    get_logger("app.test").debug("unseen")
    (line,) = read_lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "done", "count": 3, "logger": "app.test", "level": "info", "request_id": "r-1"}


def test_secrets_are_redacted_whoever_logs_them(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    nested = {"Access-Token": "hunter2", 7: {"api_key": "hunter2"}, "listed": [({"secret": "hunter2"}, "shown")]}
    get_logger("app.test").info("x", password="hunter2", nested=nested, headers=[{"Cookie": "hunter2"}])
    output = capsys.readouterr().out
    assert "hunter2" not in output
    line = json.loads(output)
    assert (line["password"], line["headers"]) == (REDACTED, [{"Cookie": REDACTED}])
    assert line["nested"]["listed"] == [[{"secret": REDACTED}, "shown"]]


def test_no_text_can_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    get_logger("app.test").info("a\nb", agent="\x1b[2J\n{}", broken="\ud800")
    logging.getLogger("library").warning("said %s", "a\nb")
    ours, theirs = read_lines(capsys)
    assert (ours["event"], ours["agent"], ours["broken"]) == ("a\nb", "\x1b[2J\n{}", "\\ud800")
    assert (theirs["event"], theirs["logger"]) == ("said a\nb", "library")


def test_a_terminal_gets_no_control_characters_from_outside(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.CONSOLE)
    get_logger("app.test").info("a\nb", agent="\x1b[2J\x9b\u2028", broken="\ud800")
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert "\x1b[2J" not in output
    assert r"\x1b[2J\x9b\u2028" in output


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str], log_format: LogFormat) -> None:
    configure(log_format)
    password = "hunter2"  # a local variable, as a traceback with values would show
    try:
        raise LookupError(len(password))
    except LookupError as error:
        get_logger("app.test").error("failed", exc_info=error)
    output = capsys.readouterr().out
    assert "LookupError: 7" in output
    assert "'hunter2'" not in output


def test_without_a_terminal_the_format_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(None, "WARNING")
    get_logger("app.test").info("unseen")
    get_logger("app.test").warning("seen")
    assert [line["event"] for line in read_lines(capsys)] == ["seen"]
