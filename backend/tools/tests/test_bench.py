"""The benches must be able to miss a goal, and to say that too little was measured."""

from pathlib import Path

import pytest

from tools.bench.__main__ import PARTS
from tools.bench.report import PAGE, Report
from tools.bench.search import Times, judge, p95


def verdicts(report: Report) -> list[str]:
    return [line.verdict for line in report.lines if line.target]


def test_a_run_is_met_only_where_every_goal_is() -> None:
    met, missed, void = Report(), Report(), Report()
    for report in (met, missed, void):
        report.inform("something", "1")
        report.at_most("time", 1, 2, " ms")
    assert met.is_met
    missed.at_least("ratio", 9, 10)
    void.at_least("ratio", 11, 10, enough=False)
    assert (verdicts(missed), missed.is_met) == (["PASS", "MISS"], False)
    assert (verdicts(void), void.is_met) == (["PASS", "VOID"], False)


def test_each_part_is_written_between_its_own_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marked = "a\n<!-- bench {0}: begin -->\nold\n<!-- bench {0}: end -->\nz\n"
    page.write_text(marked.format("search") + marked.format("appending"))
    report = Report()
    report.inform("figure", "7")
    report.write("search", page)
    assert page.read_text() == marked.format("search").replace("old", report.table()) + marked.format("appending")
    with pytest.raises(ValueError, match="has no"):
        report.write("accounts", page)
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"<!-- bench {part}: {edge} -->" in text for part in PARTS for edge in ("begin", "end"))


def test_the_95th_percentile_is_a_measured_value() -> None:
    assert p95([float(number) for number in range(1, 101)]) == 95
    assert p95([float(number) for number in range(1, 21)]) == 19
    assert p95([3.0]) == 3


def test_searches_are_judged_over_all_queries_and_a_kind_that_misses_is_marked() -> None:
    quick, slow = Times([10.0] * 60, [250.0] * 60), Times([20.0] * 2, [150.0] * 2)
    report = Report()
    judge(report, "SQLite", {"words": quick, "phrases": slow}, enough=True)
    assert verdicts(report) == ["PASS", "PASS"]
    figures = {line.what: line.figure for line in report.lines}
    assert "MISSED" in figures["SQLite: phrases"]
    assert "MISSED" not in figures["SQLite: words"]
    assert "by p95 7.5 times" in figures["SQLite: phrases"]


@pytest.mark.parametrize(
    ("search", "scan", "enough", "expected"),
    [
        ([10.0] * 20, [150.0] * 20, True, ["PASS", "PASS"]),
        ([10.0] * 20, [99.0] * 20, True, ["PASS", "MISS"]),
        ([10.0] * 18 + [110.0] * 2, [2_000.0] * 20, True, ["MISS", "PASS"]),
        ([10.0] * 18 + [90.0] * 2, [150.0] * 20, True, ["PASS", "MISS"]),
        ([10.0] * 20, [150.0] * 20, False, ["VOID", "VOID"]),
    ],
)
def test_a_search_goal_can_be_missed(search: list[float], scan: list[float], enough: bool, expected: list[str]) -> None:
    report = Report()
    judge(report, "SQLite", {"words": Times(search, scan)}, enough=enough)
    assert verdicts(report) == expected
