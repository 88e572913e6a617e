"""What commands print: tables, JSON and progress."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.main import get_command

from app.auth.types import Role
from app.cli import app as commands
from app.cli.output import progress, say, show_record, show_records
from app.core.ids import new_id

# Commands that print no records: they run until they are told to stop, or print a document that is JSON already.
WITHOUT_JSON = {("serve",), ("worker",), ("export-openapi",)}

MOMENT = datetime(2026, 11, 22, 3, 54, 1, 999, tzinfo=UTC)


def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """With values as people write them, whole lines for whoever pipes them, and headings without underscores."""
    record = {"last_seen": MOMENT, "role": Role.ADMIN, "names": {"b", "a"}, "more": {"n": 1}, "gone": None, "ok": True}
    show_records([record, {**record, "ok": False}], as_json=False)
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "last seen"
    assert " ".join(first.split()) == '2026-11-22 03:54:01Z admin a, b {"n":1} - yes'
    assert second.split()[-1] == "no"
    show_records([{"text": "x" * 500}], as_json=False)
    assert "x" * 500 in capsys.readouterr().out
    show_records([], as_json=False)
    assert capsys.readouterr().out == "None.\n"


def test_programs_get_a_line_of_json_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    """All members, though people see only some columns."""
    id_ = new_id()
    show_records([{"id": id_, "at": MOMENT, "names": frozenset({"b", "a"})}] * 2, as_json=True, columns=["id"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"id": str(id_), "at": "2026-11-22T03:54:01.000999+00:00", "names": ["a", "b"]}] * 2
    show_records([], as_json=True)
    assert capsys.readouterr().out == ""
    show_records([{"id": id_, "at": MOMENT}], as_json=False, columns=["id"], has_more=True)
    shown = capsys.readouterr()
    assert "2026" not in shown.out
    assert "--limit" in shown.err


def test_a_name_plays_no_tricks_with_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither escape sequences nor bidirectional overrides reach it, nor does Rich read markup in them."""
    for text in ("\x1b[2J", "\u202eevil", "a\nb"):
        show_record({"name": text}, as_json=False)
        say(text, {}, as_json=False)
        assert text not in capsys.readouterr().out
    show_record({"name": "[red]ada[/red]"}, as_json=False)
    assert "[red]ada[/red]" in capsys.readouterr().out
    show_record({"name": "\x1b[2J"}, as_json=True)
    assert "\x1b" not in capsys.readouterr().out


def test_bars_and_folded_lines_are_for_terminals_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, so that output can be piped; where nobody looks, nothing."""
    with progress("Working", 2) as advance:
        advance()
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress("Working", 2) as advance:
        advance()
        advance(1)
    shown = capsys.readouterr()
    assert (shown.out, "Working" in shown.err) == ("", True)
    monkeypatch.setenv("COLUMNS", "40")
    show_records([{"text": "x" * 60}], as_json=False)
    assert "x" * 41 not in capsys.readouterr().out  # a terminal gets no longer lines than it has room for


def test_every_command_speaks_to_programs() -> None:
    """`--json` everywhere: a command without it is named above, and those that are named are there."""
    assert {path for path, command in commands_of(get_command(commands)) if not takes_json(command)} == WITHOUT_JSON


def commands_of(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, *path, name)
        else:
            yield (*path, name), command


def takes_json(command: Any) -> bool:
    return any("--json" in parameter.opts for parameter in command.params)
