"""A small language for the tests: what do the rules say about this text?"""

from collections.abc import Callable, Iterator
from textwrap import dedent

import pytest

from tools.lint.source import Finding, Source

Check = Callable[..., list[int]]


@pytest.fixture
def lines_found() -> Check:
    """Return the lines at which a rule finds something in `text`, as if it stood in `path`."""

    def check(rule: Callable[[Source], Iterator[Finding]], text: str, path: str = "app/auth/service.py") -> list[int]:
        return [finding.line for finding in rule(Source(path, dedent(text).lstrip("\n")))]

    return check
