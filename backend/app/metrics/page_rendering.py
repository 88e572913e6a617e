"""The dashboard page and its login. They need no JavaScript and load nothing; charts are SVG in the page itself."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.metrics import charts
from app.metrics.charts import NOTHING, Chart, Steps, number_text, plotted, stacked, track
from app.metrics.dashboard import Dashboard, Usage
from app.metrics.types import Answer, Period, Point, Stats

_FOLDER = Path(__file__).parent / "page_templates"
_STYLE = (_FOLDER / "page.css").read_text(encoding="utf-8").strip()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Cache-Control": "no-store",
    # With `no-referrer` browsers would send the login form with the origin `null`.
    "Referrer-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
}
_SUCCEEDED = ("1xx", "2xx", "3xx")
_REFUSED = ("4xx",)

_environment = Environment(
    loader=FileSystemLoader(_FOLDER),
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the whole period."""

    name: str
    style: str
    figure: str
    unit: str
    more: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of operations."""

    operation: str
    calls: str
    failed: str
    has_failed: bool
    average: str
    longest: str
    share: int
    percent: str


def render_login(period: Period, message: str | None = None) -> str:
    """The page that asks who somebody is."""
    template = _environment.get_template("login.html.j2")
    return template.render(style=Markup(_STYLE), period=period.value, message=message)  # noqa: S704 - our own file


def render_dashboard(dashboard: Dashboard) -> str:
    """The page with all figures."""
    return _environment.get_template("dashboard.html.j2").render(
        style=Markup(_STYLE),  # noqa: S704 - our own file
        dashboard=dashboard,
        periods=list(Period),
        tiles=_tiles(dashboard),
        charts=_charts(dashboard),
        busiest=_rows(dashboard.busiest),
        width=charts.WIDTH,
        height=charts.HEIGHT,
        left=charts.LEFT,
        right=charts.RIGHT,
    )


def _tiles(dashboard: Dashboard) -> list[Tile]:
    requests, jobs, models = dashboard.requests.total, dashboard.jobs.total, dashboard.models.total
    minutes = (dashboard.end - dashboard.start).total_seconds() / 60
    p50, p95, p99 = (_percentile(requests, q) for q in (0.5, 0.95, 0.99))
    prompt, completion = dashboard.prompt_tokens.total.sum_ms, dashboard.completion_tokens.total.sum_ms
    health = dashboard.job_health
    rate = requests.error_rate or 0
    return [
        Tile("Requests", "e1", number_text(requests.count), "", f"{number_text(requests.count / minutes)} a minute"),
        Tile("Failed requests", "e3", number_text(100 * rate), "%", f"{number_text(requests.errors)} with 5xx or none"),
        Tile("p95 time to answer", "e4", p95, "ms", f"p50 {p50} · p99 {p99}"),
        Tile("Jobs", "e2", number_text(jobs.count), "", f"{jobs.errors} failed · {health.dead} dead"),
        Tile(
            "Model calls",
            "e5",
            number_text(models.count),
            "",
            f"{models.errors} failed · p95 {_percentile(models, 0.95)} ms",
        ),
        Tile(
            "Tokens",
            "e5",
            number_text(prompt + completion),
            "",
            f"{number_text(prompt)} in · {number_text(completion)} out",
        ),
    ]


def _charts(dashboard: Dashboard) -> list[Chart]:
    steps = Steps.of(dashboard.requests, dashboard.step_seconds)
    latencies = [
        track(f"p{q * 100:g}", style, dashboard.requests.lines, steps, _percentile_of(q))
        for q, style in ((0.5, "c1"), (0.95, "c2"), (0.99, "c3"))
    ]
    tokens = [
        track("prompt", "c1", dashboard.prompt_tokens.lines, steps, _sum),
        track("completion", "c5", dashboard.completion_tokens.lines, steps, _sum),
    ]
    return [
        _requests(dashboard, steps),
        plotted("latency", "Time to answer", "ms", steps, latencies),
        plotted("errors", "Error rate", "% of requests", steps, [_error_rate(dashboard.requests, steps)]),
        _outcomes("jobs", "Jobs", dashboard.jobs, steps, "c4"),
        _outcomes("models", "Model calls", dashboard.models, steps, "c5"),
        stacked("tokens", "Tokens", "tokens", steps, tokens),
    ]


def _requests(dashboard: Dashboard, steps: Steps) -> Chart:
    lines = dashboard.statuses.lines
    answered = [line for line in lines if line.dimensions["status"] in _SUCCEEDED]
    refused = [line for line in lines if line.dimensions["status"] in _REFUSED]
    failed = [line for line in lines if line.dimensions["status"] not in (*_SUCCEEDED, *_REFUSED)]

    def per_minute(point: Point) -> float:
        so_far = (dashboard.made_at - point.at).total_seconds()  # of the step that is not over
        return point.stats.count * 60 / min(steps.step_seconds, max(60, so_far))

    tracks = [
        track("answered", "c1", answered, steps, per_minute),
        track("refused (4xx)", "c2", refused, steps, per_minute),
        track("failed (5xx)", "c3", failed, steps, per_minute),
    ]
    return stacked("requests", "Requests", "a minute", steps, tracks)


def _error_rate(answer: Answer, steps: Steps) -> charts.Track:
    return track(
        "failed",
        "c3 solid",
        answer.lines,
        steps,
        lambda point: None if point.stats.error_rate is None else 100 * point.stats.error_rate,
    )


def _outcomes(id_: str, title: str, answer: Answer, steps: Steps, style: str) -> Chart:
    done = track("done", style, answer.lines, steps, lambda point: point.stats.count - point.stats.errors)
    failed = track("failed", "c3", answer.lines, steps, lambda point: point.stats.errors)
    return stacked(id_, title, "ended", steps, [done, failed])


def _sum(point: Point) -> float:
    return point.stats.sum_ms


def _percentile_of(q: float) -> charts.Value:
    return lambda point: _value_at(point.stats, q)


def _value_at(stats: Stats, q: float) -> float | None:
    return next((one.ms for one in stats.percentiles if one.q == q), None)


def _percentile(stats: Stats, q: float) -> str:
    value = _value_at(stats, q)
    return NOTHING if value is None else number_text(value)


def _rows(busiest: list[Usage]) -> list[Row]:
    total = sum(one.average_ms * one.count for one in busiest) or 1
    return [_row(one, 100 * one.average_ms * one.count / total) for one in busiest]


def _row(one: Usage, percent: float) -> Row:
    return Row(
        operation=one.operation,
        calls=number_text(one.count),
        failed=number_text(one.errors),
        has_failed=one.errors > 0,
        average=number_text(one.average_ms),
        longest=number_text(one.max_ms),
        share=round(percent),
        percent="<1" if percent < 0.5 else f"{percent:.0f}",
    )
