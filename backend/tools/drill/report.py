"""What was promised and what happened: one line a drill, on the screen and in `docs/reliability.md`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_COLUMNS = ("promise", "database", "operations", "faults", "figure", "verdict")


class Verdict(StrEnum):
    """How a drill ended; VOID where too little happened to prove anything."""

    PASS = "PASS"  # noqa: S105 - a verdict
    FAIL = "FAIL"
    VOID = "VOID"


@dataclass(frozen=True, slots=True)
class Result:
    """One drill on one database. `violations` are the broken promises, `shortfalls` what makes the run worthless."""

    promise: str
    database: str
    operations: int
    faults: int
    figure: str
    violations: list[str] = field(default_factory=list)
    shortfalls: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """FAIL where the promise was broken, however little was done; VOID where it was hardly tried."""
        if self.violations:
            return Verdict.FAIL
        return Verdict.VOID if self.shortfalls else Verdict.PASS

    def cells(self) -> tuple[str, ...]:
        """The cells of the table's row."""
        faults = str(self.faults) if self.faults else ""
        return self.promise, self.database, f"{self.operations:,}", faults, self.figure, self.verdict.value


def at_least(minimum: int, actual: int, what: str) -> list[str]:
    """The shortfall where less happened than a drill needs."""
    return [] if actual >= minimum else [f"only {actual} {what}, {minimum} are needed"]


def promises_of(results: Iterable[Result]) -> set[int]:
    """The numbers of the promises that have a result."""
    return {int(result.promise.split(" ", 1)[0]) for result in results}


def table(results: list[Result]) -> str:
    """The results as a Markdown table."""
    rows = [_COLUMNS, *(result.cells() for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )


def write(part: str, text: str, page: Path = PAGE) -> None:
    """Put a text between the marks that a page has for this part.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f"<!-- drill {part}: begin -->", f"<!-- drill {part}: end -->"
    before, found_begin, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"{page.name} has no {begin} … {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
