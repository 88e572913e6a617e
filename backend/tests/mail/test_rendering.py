"""Templates: subject, text and HTML, whatever they are given."""

import re
from pathlib import Path

import jinja2
import pytest

from app.mail.rendering import MailTemplates

URL = "https://merit.example.com/account/verify?a=1&b=2"
TEXT = """{% extends "layout.txt.j2" %}
{% block subject %}Confirm, {{ name }}{% endblock %}
{% block content %}
Hello {{ name }},

{{ url }}
{% endblock %}
"""
HTML = """{% extends "layout.html.j2" %}
{% block content %}
<p>Hello {{ name }},</p>
{{ parts.button(url, "Confirm") }}
{{ parts.code("123456") }}
{{ parts.facts([("Where", name)]) }}
{% endblock %}
"""


@pytest.fixture
def templates(tmp_path: Path) -> MailTemplates:
    (tmp_path / "hello.txt.j2").write_text(TEXT)
    (tmp_path / "hello.html.j2").write_text(HTML)
    return MailTemplates(tmp_path)


def test_a_mail_has_three_parts(templates: MailTemplates) -> None:
    subject, text, html = templates.render("hello", {"name": "Ada", "url": URL})
    assert subject == "Confirm, Ada"
    assert text.startswith(f"Hello Ada,\n\n{URL}\n")
    assert "\n-- \n" in text
    assert text.endswith("\n")
    assert f'href="{URL.replace("&", "&amp;")}"' in html
    assert "<title>Confirm, Ada</title>" in html


def test_html_escapes_what_it_is_given_and_text_does_not(templates: MailTemplates) -> None:
    name = "<script>alert('1')</script> & {{ url }}"
    subject, text, html = templates.render("hello", {"name": name, "url": URL})
    assert subject == f"Confirm, {name}"
    assert f"Hello {name}," in text
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 3, "in the title, in the text and in a macro"


def test_a_subject_is_the_first_line_alone(templates: MailTemplates) -> None:
    subject, _, _ = templates.render("hello", {"name": "Ada\nBcc: eve@example.com", "url": URL})
    assert subject == "Confirm, Ada"


def test_a_name_that_is_missing_is_an_error(templates: MailTemplates) -> None:
    with pytest.raises(jinja2.UndefinedError):
        templates.render("hello", {"name": "Ada"})
    with pytest.raises(jinja2.TemplateNotFound):
        templates.render("nothing", {})


def test_the_frame_loads_nothing_and_suits_every_screen(templates: MailTemplates) -> None:
    """No picture, script or font from elsewhere: they tell a third party that the mail was opened."""
    _, _, html = templates.render("hello", {"name": "Ada", "url": URL})
    assert not re.search(r"<(img|script|link|iframe|object|video|form|base)\b|@import|url\(|\bsrc=", html)
    assert set(re.findall(r'href="([^"]*)"', html)) == {URL.replace("&", "&amp;")}
    assert '<html lang="en"' in html
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert '<meta name="color-scheme" content="light dark">' in html
    assert "prefers-color-scheme: dark" in html
    assert not re.search(r"font-size:(\d|1[0-3])px", html), "legible on a phone"


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("front", "back"),
    [("#111827", "#ffffff"), ("#4b5563", "#ffffff"), ("#ffffff", "#1d4ed8"),
     ("#f3f4f6", "#111827"), ("#9ca3af", "#111827"), ("#111827", "#93c5fd")],
)  # fmt: skip
def test_the_colours_can_be_told_apart(templates: MailTemplates, front: str, back: str) -> None:
    """WCAG 2.2 level AA, 1.4.3: 4.5 to 1, in the light and in the dark."""
    _, _, html = templates.render("hello", {"name": "Ada", "url": URL})
    assert front in html
    assert back in html
    light, dark = sorted((luminance(front), luminance(back)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
