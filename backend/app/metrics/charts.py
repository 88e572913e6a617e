"""Charts as numbers: what stands where in an SVG of 480 by 200 units. The page's template draws them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.metrics.types import Answer, Line, Point, Resolution

WIDTH, HEIGHT = 480, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 24
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
_BASE = HEIGHT - BOTTOM
_Y_STEPS = 4
_X_LABELS = 6
_GAP = 0.22
_NICE = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)

Value = Callable[[Point], float | None]
NOTHING = "–"  # noqa: RUF001 - a dash it is


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of time along the axis."""

    start: datetime
    step_seconds: int
    count: int

    @classmethod
    def of(cls, answer: Answer, step_seconds: int) -> "Steps":
        """Those of an answer."""
        count = math.ceil((answer.end - answer.start) / timedelta(seconds=step_seconds))
        return cls(answer.start, step_seconds, count)

    @property
    def moments(self) -> list[datetime]:
        """When each begins."""
        return [self.start + timedelta(seconds=self.step_seconds * number) for number in range(self.count)]

    def label(self, moment: datetime) -> str:
        """The moment in as few characters as tell it, in UTC."""
        if self.step_seconds >= Resolution.DAY:
            return f"{moment:%b} {moment.day}"
        return f"{moment:%a %H:%M}" if self.step_seconds > Resolution.HOUR else f"{moment:%H:%M}"


@dataclass(frozen=True, slots=True)
class Track:
    """Numbers with a name and the CSS class of their colour: one for each step, None where there is none."""

    name: str
    style: str
    values: list[float | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle, and what it says when it is pointed at."""

    style: str
    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart, ready to be drawn; `rows` are its numbers for those who read them."""

    id: str
    title: str
    unit: str
    tracks: list[Track]
    rows: list[tuple[str, list[str]]]
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, str]]
    bars: list[Bar] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    dots: list[Bar] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.rows


def track(name: str, style: str, lines: Sequence[Line], steps: Steps, value: Value) -> Track:
    """The values of some lines together, step by step."""
    found: dict[datetime, float] = {}
    for line in lines:
        for point in line.points:
            number = value(point)
            if number is not None:
                found[point.at] = found.get(point.at, 0.0) + number
    return Track(name, style, [found.get(moment) for moment in steps.moments])


def stacked(id_: str, title: str, unit: str, steps: Steps, tracks: list[Track]) -> Chart:
    """Bars on top of each other."""
    sums = [sum(value or 0 for value in values) for values in zip(*(one.values for one in tracks), strict=True)]
    top = _nice_top(max(sums, default=0))
    slot = _PLOT_WIDTH / max(1, steps.count)
    bars = []
    for number, moment in enumerate(steps.moments):
        y = float(_BASE)
        for one in tracks:
            value = one.values[number] or 0
            height = value / top * _PLOT_HEIGHT
            if height > 0:
                y -= height
                text = f"{steps.label(moment)}: {number_text(value)} {unit}, {one.name}"
                x = LEFT + slot * (number + _GAP / 2)
                bars.append(Bar(one.style, _round(x), _round(y), _round(slot * (1 - _GAP)), _round(height), text))
    chart = _frame(id_, title, unit, steps, tracks, top)
    chart.bars.extend(bars)
    return chart


def plotted(id_: str, title: str, unit: str, steps: Steps, tracks: list[Track]) -> Chart:
    """Lines, interrupted where nothing happened; a value alone is a dot."""
    top = _nice_top(max((value for one in tracks for value in one.values if value is not None), default=0))
    slot = _PLOT_WIDTH / max(1, steps.count)
    chart = _frame(id_, title, unit, steps, tracks, top)
    for one in tracks:
        run: list[str] = []
        for number, value in enumerate([*one.values, None]):
            if value is None:
                if len(run) > 1:
                    chart.lines.append((one.style, " ".join(run)))
                run = []
                continue
            x, y = _round(LEFT + slot * (number + 0.5)), _round(_BASE - value / top * _PLOT_HEIGHT)
            run.append(f"{x},{y}")
            text = f"{steps.label(steps.moments[number])}: {number_text(value)} {unit}, {one.name}"
            chart.dots.append(Bar(one.style, x, y, 0, 0, text))
    return chart


def _frame(id_: str, title: str, unit: str, steps: Steps, tracks: list[Track], top: float) -> Chart:
    slot = _PLOT_WIDTH / max(1, steps.count)
    every = max(1, math.ceil(steps.count / _X_LABELS))
    moments = steps.moments
    rows = [
        (f"{moment:%Y-%m-%d %H:%M}", [NOTHING if value is None else number_text(value) for value in values])
        for moment, *values in zip(moments, *(one.values for one in tracks), strict=True)
        if any(value is not None for value in values)
    ]
    return Chart(
        id=id_,
        title=title,
        unit=unit,
        tracks=tracks,
        rows=rows,
        y_ticks=[
            (_round(_BASE - _PLOT_HEIGHT * number / _Y_STEPS), number_text(top * number / _Y_STEPS))
            for number in range(_Y_STEPS + 1)
        ],
        x_ticks=[
            (_round(LEFT + slot * (number + 0.5)), steps.label(moments[number]))
            for number in range(every // 2, steps.count, every)
        ],
    )


def number_text(value: float) -> str:
    """A number in few characters: 1234567 is `1.23M`, 0.1234 is `0.123`."""
    for limit, scale, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{_three_digits(value / scale)}{unit}"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _nice_top(highest: float) -> float:
    """A round number at or above the highest value, for the end of the axis."""
    if highest <= 0:
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(highest))
    return unit * next(nice for nice in _NICE if nice * unit >= highest * 0.999)


def _round(value: float) -> float:
    return round(value, 1)
