"""Which lines and branches of the application the tests have run. Run: `python -m tools.coverage [--under 95]`.

SlipCover puts its probes into the code as it is imported, which costs the tests a tenth of their time; a tracer, as
coverage.py has on these versions of Python, costs twice the time of the tests. The root's `conftest.py` starts it.
"""

import argparse
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slipcover import FileMatcher, ImportManager, Slipcover, merge_coverage, print_coverage
from slipcover.slipcover import add_summaries

FOLDER = Path("var/coverage")
"""Each process of a run writes its part here."""
SOURCE = "app"
_NEVER = -1
"""Probes that have been passed are not taken out again: looking for them costs more than passing them."""

Coverage = dict[str, Any]


class Measurement:
    """What this process runs of the application, from when it is made on: imported before, it is not measured."""

    def __init__(self, source: str = SOURCE) -> None:
        self._slipcover = Slipcover(
            branch=True, source=[source], d_miss_threshold=_NEVER, exclude_also=_lines_left_out()
        )
        ImportManager(self._slipcover, FileMatcher(sources=[source])).__enter__()

    def write(self, folder: Path = FOLDER) -> None:
        """Leave what was run, and what was not, for the report."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{os.getpid()}.json").write_text(json.dumps(self._slipcover.get_coverage()))


def _lines_left_out(project: Path = Path("pyproject.toml")) -> list[str]:
    lines: list[str] = tomllib.loads(project.read_text())["tool"]["coverage"]["exclude_also"]
    return lines


def forget(folder: Path = FOLDER) -> None:
    """Forget what former runs have left."""
    shutil.rmtree(folder, ignore_errors=True)


def read(folder: Path = FOLDER) -> Coverage:
    """What all processes together have run.

    Raises:
        FileNotFoundError: none has left anything.
    """
    parts = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not parts:
        raise FileNotFoundError(folder)
    whole: Coverage = parts[0]
    for part in parts[1:]:
        merge_coverage(whole, part)
    return whole


def within(coverage: Coverage, folders: Iterable[str]) -> Coverage:
    """The part of some folders of the application."""
    prefixes = tuple(f"{folder.rstrip('/')}/" for folder in folders)
    files = {name: file for name, file in coverage["files"].items() if name.startswith(prefixes)}
    part = {"meta": coverage["meta"], "files": files}
    add_summaries(part)
    return part


def main(arguments: list[str] | None = None) -> int:
    """Show what was not run; the exit code is 1 where that is too much."""
    parser = argparse.ArgumentParser(prog="python -m tools.coverage", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="count these only, such as app/auth")
    parser.add_argument("--under", type=float, default=0.0, metavar="PERCENT", help="what is too little")
    parser.add_argument("--forget", action="store_true", help="forget former runs instead")
    options = parser.parse_args(arguments)
    if options.forget:
        forget()
        return 0
    coverage = read()
    part = within(coverage, options.folders or [SOURCE])
    if not part["files"]:
        parser.error("nothing was measured there")
    print_coverage(part, outfile=sys.stdout, skip_covered=True)
    percent = part["summary"]["percent_covered"]
    print(f"\n{percent:.2f} % of the lines and branches of {len(part['files'])} files")
    return 1 if percent < options.under else 0


if __name__ == "__main__":
    sys.exit(main())
