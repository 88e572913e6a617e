"""What people read is true: links lead somewhere, make targets exist, and nobody can use an example's password."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from app.auth.bootstrap import ExampleCredentialsError, create_admin
from app.auth.errors import WeakPasswordError
from app.core.settings import BACKEND_DIR
from app.main import Services

ROOT = BACKEND_DIR.parent
PAGES = (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((BACKEND_DIR / "docs").rglob("*.md")))
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")
REFERENCE = re.compile(r"^\[[^]]+\]:\s+<?([^\s>]+)", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
MAKE_TARGET = re.compile(r"(?:^ {4,}|^\$ |`)make ([a-z][a-z-]*)", re.MULTILINE)
# `"password": "…"`, `password=…` of a form, FIRST_SUPERUSER_PASSWORD=…
SHOWN_PASSWORD = re.compile(
    r"""(?: ["'][a-z_]*password["']\s*:\s*["'](?P<json>[^"']+)["']
          | (?P<quote>["'])[a-z_]*password=(?P<form>[^"']+)(?P=quote)
          | \b[A-Za-z_]*PASSWORD=["']?(?P<setting>[^\s"'`]+)
        )""",
    re.VERBOSE,
)


def anchors_of(text: str) -> set[str]:
    """The names under which the headings of a page can be linked to."""
    headings = re.findall(r"^#+ +(.+?)\s*#*$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    text = page.read_text(encoding="utf-8")
    dead = []
    for link in LINK.findall(text) + REFERENCE.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        is_alive = target.exists() and (not anchor or anchor in anchors_of(target.read_text(encoding="utf-8")))
        if not is_alive:
            dead.append(link)
    return dead


def shown_passwords(text: str) -> set[str]:
    """The passwords that a page shows; a placeholder such as `$PASSWORD` or `<…>` is none."""
    found = {match["json"] or match["form"] or match["setting"] for match in SHOWN_PASSWORD.finditer(text)}
    return {password for password in found if not re.match(r"[$<{…]|\.\.\.", password)}


def example_passwords(node: Any, name: str = "", *, is_example: bool = False) -> Iterator[str]:
    """The examples and defaults of an OpenAPI document whose name ends in `password`."""
    if isinstance(node, str):
        if is_example and name.endswith("password"):
            yield node
    elif isinstance(node, list):
        for item in node:
            yield from example_passwords(item, name, is_example=is_example)
    elif isinstance(node, dict):
        for key, value in node.items():
            is_shown = key in {"default", "example", "examples"}
            inner = name if is_shown or key in {"allOf", "anyOf", "items", "oneOf", "value"} else key
            yield from example_passwords(value, inner, is_example=is_example or is_shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """The pages link to each other, to files and folders, and to headings."""
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    """The rule above can fail: a missing file, a missing heading, a reference at the foot."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A b\n[x](gone.md) [y](#a-b) [z](#c) [self](page.md#a-b) [w](https://example.com/)\n\n[r]: no.md\n"
    )
    assert dead_links(page) == ["gone.md", "#c", "no.md"]


def test_every_named_make_target_exists() -> None:
    """`make …` in the pages, as a command of its own."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {target for page in PAGES for target in MAKE_TARGET.findall(page.read_text(encoding="utf-8"))}
    assert {"run", "test", "admin"} <= named
    assert named <= targets


async def test_no_example_is_a_password_that_an_administrator_can_have(app: FastAPI, services: Services) -> None:
    """A1: what the pages and the API's description show as a password is refused for the first administrator."""
    shown = {password for page in PAGES for password in shown_passwords(page.read_text(encoding="utf-8"))}
    described = set(example_passwords(app.openapi()))
    assert shown
    assert described
    for password in sorted(shown | described):
        with pytest.raises((ExampleCredentialsError, WeakPasswordError)):
            await create_admin(services.database, services.auth, email="chief@example.net", password=password)


def test_every_way_to_show_a_password_is_seen() -> None:
    """The rule above can fail: JSON, a form, a setting; in an OpenAPI document as a whole body or as one member."""
    text = """-d '{"email": "a@b", "new_password": "one two"}' -d 'password=three four' FIRST_SUPERUSER_PASSWORD=five
        `PASSWORD=$SECRET` `grant_type=password`"""
    assert shown_passwords(text) == {"one two", "three four", "five"}
    body = {"examples": [{"password": "six"}], "example": {"grant_type": "password"}}
    member = {"properties": {"password": {"anyOf": [{"examples": ["seven"]}], "title": "Password"}}}
    assert sorted(example_passwords({"a": body, "b": member})) == ["seven", "six"]
