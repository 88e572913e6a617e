"""From a template to the three parts of a mail."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

_SHARED = Path(__file__).parent / "templates"


class MailTemplates:
    """The templates of one domain: `<name>.txt.j2`, whose first line is the subject, and `<name>.html.j2`.

    Both begin with `{% extends "layout.….j2" %}`, the frame that all mails share. A name that the context lacks is an
    error, and HTML escapes all that it is given.
    """

    def __init__(self, folder: Path) -> None:
        self._environment = Environment(
            loader=FileSystemLoader([folder, _SHARED]),
            undefined=StrictUndefined,
            autoescape=select_autoescape(enabled_extensions=("html.j2",)),
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def render(self, name: str, context: Mapping[str, Any]) -> tuple[str, str, str]:
        """Subject, text and HTML; the HTML template knows the subject as `subject`.

        Raises:
            jinja2.TemplateError: there is no such template, or it needs what the context lacks.
        """
        lines = self._environment.get_template(f"{name}.txt.j2").render(context)
        subject, _, text = lines.strip().partition("\n")
        html = self._environment.get_template(f"{name}.html.j2").render({**context, "subject": subject.strip()})
        return subject.strip(), f"{text.strip()}\n", html
