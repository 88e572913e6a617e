"""What was measured against what was promised: one line a promise, on the screen and in `docs/performance.md`."""

from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Line:
    """One figure. `target` and `passed` are None for a figure that only informs; `passed` alone is None for VOID."""

    what: str
    figure: str
    target: str | None = None
    passed: bool | None = None

    @property
    def verdict(self) -> str:
        """PASS, MISS, VOID (too little was measured), or nothing."""
        if self.target is None:
            return ""
        return {True: "PASS", False: "MISS", None: "VOID"}[self.passed]


@dataclass(slots=True)
class Report:
    """The lines of one run, in order, and the circumstances."""

    circumstances: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Adds a circumstance of the run."""
        self.circumstances.append(text)

    def inform(self, what: str, figure: str) -> None:
        """Adds a figure without a target."""
        self.lines.append(Line(what, figure))

    def at_least(self, what: str, value: float, target: float, unit: str = "", *, enough: bool = True) -> None:
        """Adds a figure that should reach its target; VOID unless enough was measured."""
        self._judge(what, value, f"≥ {target:g}{unit}", unit, (value >= target) if enough else None)

    def at_most(self, what: str, value: float, target: float, unit: str = "", *, enough: bool = True) -> None:
        """Adds a figure that should not exceed its target; VOID unless enough was measured."""
        self._judge(what, value, f"≤ {target:g}{unit}", unit, (value <= target) if enough else None)

    def _judge(self, what: str, value: float, target: str, unit: str, passed: bool | None) -> None:
        digits = 1 if unit in {" ms", " MiB", " %"} else 2
        self.lines.append(Line(what, f"{value:.{digits}f}{unit}", target, passed))

    def table(self) -> str:
        """The run as a Markdown table with its circumstances."""
        rows = [("what", "figure", "target", ""), ("---", "---", "---", "---")]
        rows += [(line.what, line.figure, line.target or "", line.verdict) for line in self.lines]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        body = "\n".join(
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
        )
        return body + "\n\n" + "\n".join(f"- {text}" for text in self.circumstances)

    @property
    def is_met(self) -> bool:
        """Whether every target was reached; not where too little was measured to say."""
        return all(line.passed is True for line in self.lines if line.target is not None)

    def write(self, part: str, page: Path = PAGE) -> None:
        """Put the table between the marks that a page has for this part.

        Raises:
            ValueError: the page has no such marks.
        """
        begin, end = f"<!-- bench {part}: begin -->", f"<!-- bench {part}: end -->"
        before, found_begin, rest = page.read_text(encoding="utf-8").partition(begin)
        _, found_end, after = rest.partition(end)
        if not found_begin or not found_end:
            raise ValueError(f"{page.name} has no {begin} … {end}")
        page.write_text(f"{before}{begin}\n{self.table()}\n{end}{after}", encoding="utf-8")
