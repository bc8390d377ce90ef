"""
Charts of dollars by day as SVG, one template for the HTML report and for Slack's PNG.
Beside each chart belongs a table with its numbers (`DailySeries.table`), for those who see no picture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import accumulate, pairwise
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.core.text import count_noun, currency_sign, escape_text, format_usd

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from ml_janitor.report.blocks import RowBlock

# --- daily series ---------------------------------------------------------------------------------

MOST_GROUPS = 7
"""Groups with a colour of their own: nobody can tell more apart. The rest is one grey group."""


class Mark(NamedTuple):
    """A line before *day*, and the text above the days that follow."""

    day: date
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DailySeries:
    """
    Dollars by day and group: each of *groups* has one amount for each of *days*.

    The last *unsettled* days may still change, and are drawn paler.
    """

    title: str
    days: Sequence[date]
    groups: Mapping[str, Sequence[Decimal]]
    unsettled: int = 0
    marks: Sequence[Mark] = ()

    def reduced(self, most: int = MOST_GROUPS) -> DailySeries:
        """Return this series with the largest groups, largest first, and the other groups as one."""
        ranked = sorted(self.groups, key=lambda name: (-abs(sum(self.groups[name], Decimal(0))), name))
        ranked = [name for name in ranked if any(self.groups[name])]
        groups = {name: self.groups[name] for name in ranked[:most]}
        if rest := ranked[most:]:
            amounts = zip(*(self.groups[name] for name in rest), strict=True)
            groups[count_noun(len(rest), "other")] = [sum(day, Decimal(0)) for day in amounts]
        return replace(self, groups=groups)

    @property
    def totals(self) -> list[Decimal]:
        return [
            sum((group[at] for group in self.groups.values()), Decimal(0)) for at in range(len(self.days))
        ]

    @property
    def table(self) -> Iterator[tuple[str, list[str]]]:
        """List the table's row for each day, the latest first: the total and each group."""
        for at, total in reversed(list(enumerate(self.totals))):
            yield (
                self.days[at].isoformat(),
                [format_usd(total), *(format_usd(group[at]) for group in self.groups.values())],
            )

    @property
    def description(self) -> str:
        """Describe the chart in a sentence or two."""
        if not self.days:
            return "No days to show."
        top, day = max(zip(self.totals, self.days, strict=True))
        days = (
            f"{count_noun(len(self.days), 'day')} from {self.days[0]} to {self.days[-1]}"
            if len(self.days) > 1
            else f"{day}"
        )
        groups = ", ".join(
            f"{escape_text(name, 80)} {format_usd(sum(group, Decimal(0)))}"
            for name, group in self.groups.items()
        )
        return f"Dollars of {days}; the most is {format_usd(top)} on {day}. In total: {groups or 'nothing'}."


# --- drawing --------------------------------------------------------------------------------------

COLOURS = {
    "ink": ("#1b1f24", "#e6e9ed"),
    "soft": ("#5b6470", "#9aa4b1"),
    "line": ("#dfe3e8", "#313842"),
    "card": ("#ffffff", "#1c2026"),
    "others": ("#8a929c", "#7d8794"),
    "group-1": ("#424fc9", "#6eb0f2"),
    "group-2": ("#e2811d", "#f2ae25"),
    "group-3": ("#0a3824", "#0e7646"),
    "group-4": ("#48aff2", "#f2d5f1"),
    "group-5": ("#8c3f07", "#957000"),
    "group-6": ("#c39271", "#c2f299"),
    "group-7": ("#532b75", "#6045f2"),
}
LIGHT_COLOURS = {name: light for name, (light, _) in COLOURS.items()}
DARK_COLOURS = {name: dark for name, (_, dark) in COLOURS.items()}
"""Fixed colours. People who see no red, no green or no blue can tell the groups apart: a test computes it."""

COLOUR_VARIABLES = {name: f"var(--{name})" for name in LIGHT_COLOURS}
"""The same colours as variables of the page, which has them in light and dark."""

TICK_COUNT = 5
WIDEST_COLUMN = 48.0
PALE_OPACITY = 0.5
"""The opacity of days that may still change."""

LETTER_WIDTHS = {
    **dict.fromkeys(".,:;!|'`()[]/iIjl ", 0.36),
    **dict.fromkeys('ftr-{}"*\\1', 0.46),
    **dict.fromkeys("abcdeghknopqsuvxyz_?0235679$", 0.65),
    **dict.fromkeys("mwMW@%", 1.0),
}
"""Widths of letters in usual sans-serifs, relative to their height; others: up to 0.8, beyond Latin 1."""

FONT_FOLDER = Path(__file__).parent / "fonts"
PICTURE_ZOOM = 2
"""Pixels of the picture for one of the chart: most screens have two."""

MISSING_LETTERS = re.compile(
    r"[^\u0000-\u017f\u0386-\u03ce\u0400-\u045f\u2010-\u2015\u2018-\u201e\u2026\u20ac]"
)
"""Characters that the fonts lack, and would leave out without a trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartForm:
    """
    The form of a chart: its size, that of its letters, and its colours by name.

    The legend is *beside* the columns or below them. *titled*: the title is written above. *hover*: a column
    shows its numbers under the pointer. *margin* is left free on each side.
    """

    width: int
    height: int
    letters: int = 13
    colours: Mapping[str, str]
    beside: bool = True
    titled: bool = False
    hover: bool = False
    margin: int = 0


WIDE_FORM = ChartForm(width=1080, height=300, colours=COLOUR_VARIABLES, hover=True)
NARROW_FORM = ChartForm(width=340, height=220, letters=12, colours=COLOUR_VARIABLES, beside=False, hover=True)
PICTURE_FORM = ChartForm(width=780, height=400, letters=14, colours=LIGHT_COLOURS, titled=True, margin=12)


def draw_columns(series: DailySeries, form: ChartForm, *, id: str = "chart") -> str:  # noqa: A002 - HTML's word
    """Draw *series* as stacked columns, in SVG. *id* tells charts of one page apart."""
    series = series.reduced()
    template = template_environment().get_template("chart.svg.j2")
    return template.render(_drawing(series, form), series=series, form=form, id=id)


def render_png(svg: str) -> bytes:
    """
    Return *svg* as a PNG on a white ground, with the fonts beside this module and none of the machine's.

    The library is imported late: few runs draw.
    """
    from resvg_py import svg_to_bytes

    return svg_to_bytes(
        svg_string=MISSING_LETTERS.sub("?", svg),
        zoom=PICTURE_ZOOM,
        background="#ffffff",
        skip_system_fonts=True,
        shape_rendering="crisp_edges",
        font_files=[str(path) for path in sorted(FONT_FOLDER.glob("*.otf"))],
        sans_serif_family="Inter",
    )


class PlotArea(NamedTuple):
    """The part of a drawing that has the columns: its edges, and the *slot* of a day with its *column*."""

    left: float
    right: float
    top: float
    bottom: float
    slot: float
    column: float

    def x(self, at: int) -> float:
        """Return where the column of a day begins."""
        return self.left + self.slot * at + (self.slot - self.column) / 2


def _drawing(series: DailySeries, form: ChartForm) -> dict[str, Any]:
    """Return everything that the template draws, in its coordinates."""
    letters, line, edge = form.letters, form.letters * 1.5, form.width - form.margin
    ticks = _ticks(*_extent(series))
    dollars = [_dollars(tick, ticks[1] - ticks[0]) for tick in ticks]
    legend_width = form.width * 0.3 if form.beside else edge
    left = form.margin + max(_width(label, letters) for label in dollars) + letters * 0.7
    right = edge - (legend_width + letters * 1.5 if form.beside and series.groups else letters * 0.5)
    slot = (right - left) / max(len(series.days), 1)
    plot = PlotArea(
        left=left,
        right=right,
        top=form.margin + (line * 1.6 if form.titled else letters * 0.8) + (line if series.marks else 0),
        bottom=form.height - form.margin - line * 1.2,
        slot=slot,
        column=min(slot * 0.8, WIDEST_COLUMN),
    )

    def y(amount: Decimal) -> float:
        return plot.bottom - float((amount - ticks[0]) / (ticks[-1] - ticks[0])) * (plot.bottom - plot.top)

    legend_top = plot.top + letters if form.beside else form.height + letters * 0.4
    legend = list(_legend(series, legend_width, form))
    below = legend_top + line * len(legend)
    return {
        "plot": plot,
        "zero": y(Decimal(0)),
        "edge": edge,
        "height": form.height if form.beside else round(below + (line if series.unsettled else 0)),
        "title": _cut(series.title, edge - form.margin, letters * 1.2),
        "ticks": [(y(tick), label) for tick, label in zip(ticks, dollars, strict=True)],
        "layers": list(_layers(series, plot, y)),
        "labels": list(_labels(series.days, plot, form)),
        "marks": list(_marks(series, plot, letters)),
        "hovers": [(plot.left + slot * at, _day_summary(series, at)) for at in range(len(series.days))],
        "legend": [(legend_top + line * at, *entry) for at, entry in enumerate(legend)],
        "legend_left": edge - legend_width if form.beside else 0,
        "small_print": below,
    }


def _extent(series: DailySeries) -> tuple[Decimal, Decimal]:
    """Return the lowest and the highest end of a stack: credits go down from zero, all else up."""
    by_day = list(zip(*series.groups.values(), strict=True))
    return (
        min(
            (sum((amount for amount in day if amount < 0), Decimal(0)) for day in by_day), default=Decimal(0)
        ),
        max(
            (sum((amount for amount in day if amount > 0), Decimal(0)) for day in by_day), default=Decimal(0)
        ),
    )


def _ticks(low: Decimal, high: Decimal) -> list[Decimal]:
    """Return round amounts from *low* or less to *high* or more, about five, one of them zero."""
    span = high - low or Decimal(1)
    power = Decimal(10) ** floor(log10(span / TICK_COUNT))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * TICK_COUNT >= span)
    first = floor(low / step)
    return [step * at for at in range(first, max(ceil(high / step), first + 1) + 1)]


def _dollars(tick: Decimal, step: Decimal) -> str:
    digits = 0 if step >= 1 else max(2, -floor(log10(step)))
    return f"{'-' if tick < 0 else ''}{currency_sign()}{abs(tick):,.{digits}f}"


def _layers(
    series: DailySeries, plot: PlotArea, y: Callable[[Decimal], float]
) -> Iterator[tuple[str, Sequence[tuple[float, str]]]]:
    """Yield the columns of each group: its colour, and a path with its opacity for settled and other days."""
    up, down = [Decimal(0)] * len(series.days), [Decimal(0)] * len(series.days)
    final = len(series.days) - series.unsettled
    for place, amounts in enumerate(series.groups.values()):
        paths: dict[float, list[str]] = {1: [], PALE_OPACITY: []}
        for at, amount in enumerate(amounts):
            stack = up if amount > 0 else down
            start, stack[at] = stack[at], stack[at] + amount
            if amount:
                high, low = sorted((y(start), y(stack[at])))
                path = f"M{plot.x(at):.1f} {high:.1f}h{plot.column:.1f}v{low - high:.1f}h-{plot.column:.1f}z"
                paths[1 if at < final else PALE_OPACITY].append(path)
        yield _colour(place), [(opacity, "".join(drawn)) for opacity, drawn in paths.items() if drawn]


def _colour(place: int) -> str:
    """Return the name of a group's colour; groups past the last colour are the others."""
    return f"group-{place + 1}" if place < MOST_GROUPS else "others"


def _labels(days: Sequence[date], plot: PlotArea, form: ChartForm) -> Iterator[tuple[float, str]]:
    """Yield the days to name below the columns: as many as have room; Mondays if one a week or fewer."""
    room = _width("30 Sep", form.letters) + form.letters * 0.5
    every = next((days_apart for days_apart in (1, 2, 7, 14, 28, 91) if plot.slot * days_apart >= room), 364)
    first = next((at for at, day in enumerate(days[:7]) if day.weekday() == 0), 0) if every >= 7 else 0
    for at in range(first, len(days), every):
        label, middle = f"{days[at]:%-d %b}", plot.x(at) + plot.column / 2
        if middle + _width(label, form.letters) / 2 <= form.width:
            yield middle, label


def _marks(series: DailySeries, plot: PlotArea, letters: int) -> Iterator[tuple[float, str, bool]]:
    """Yield a mark's place, its text if there is room, and whether it has a line: not at the left."""
    known = [mark for mark in series.marks if mark.day in series.days]
    places = [plot.left + plot.slot * series.days.index(mark.day) for mark in known]
    for mark, (here, following) in zip(known, pairwise([*places, plot.right]), strict=True):
        fits = _width(mark.text, letters) <= following - here - letters * 0.5
        yield here, mark.text if fits else "", here > plot.left


def _day_summary(series: DailySeries, at: int) -> str:
    """Write one day's numbers in a line: the total, and the groups with an amount."""
    parts = [
        f"{escape_text(name, 80)} {format_usd(group[at])}"
        for name, group in series.groups.items()
        if group[at]
    ]
    end = ", may still change" if at >= len(series.days) - series.unsettled else ""
    total = f"{series.days[at]:%a %-d %b %Y}: {format_usd(series.totals[at])}{end}"
    return f"{total} = {', '.join(parts)}" if parts else total


def _legend(series: DailySeries, width: float, form: ChartForm) -> Iterator[tuple[str, str, str]]:
    """Yield colour, name and dollars of each group; beside the columns in the order of a stack."""
    entries = [(_colour(place), *entry) for place, entry in enumerate(series.groups.items())]
    for colour, name, amounts in reversed(entries) if form.beside else entries:
        amount = format_usd(sum(amounts, Decimal(0)))
        yield (
            colour,
            _cut(name, width - form.letters * 2.4 - _width(amount, form.letters), form.letters),
            amount,
        )


def _width(text: str, letters: float) -> float:
    """Estimate how wide *text* is at most in a usual sans-serif."""
    return letters * sum(LETTER_WIDTHS.get(char, 0.8 if char <= "\u024f" else 1.0) for char in text)


def _cut(text: str, room: float, letters: float) -> str:
    """Cut *text* in the middle to fit into *room*: names that begin alike end differently."""
    shown = escape_text(text, 200)
    kept = len(shown)
    while kept > 1 and _width(shown, letters) > room:
        kept -= 1
        shown = _without_middle(escape_text(text, 200), kept)
    return shown if kept > 1 or len(shown) == 1 else ""


def _without_middle(text: str, kept: int) -> str:
    front = (kept + 1) // 2
    return f"{text[:front]}…{text[len(text) - (kept - front) :]}"


# --- templates ------------------------------------------------------------------------------------

BREAK_POINTS = re.compile(r"(?<=\w)(?:[/@_](?=\w)|(?<!\b\d\d):(?=\w)|\.(?=[a-zA-Z]))")
"""Separators after which a browser may break a long word, besides hyphens: not in a number or a time."""


@cache
def template_environment() -> Environment:
    """Return the environment of all templates; jinja2 is imported late, for the runs that draw nothing."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ml_janitor.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["breakable"] = add_breaks
    environment.filters["waterfall"] = draw_waterfall
    return environment


def add_breaks(text: str) -> Markup:
    """
    Return *text* escaped, so that a browser may break names, addresses and ARNs after their separators.

    A number keeps its percent sign.
    """
    from markupsafe import Markup, escape

    whole = str(escape(text)).replace(" %", "\N{NO-BREAK SPACE}%")
    return Markup(BREAK_POINTS.sub(r"\g<0><wbr>", whole))  # noqa: S704 - escaped here


# --- waterfall ------------------------------------------------------------------------------------


class WaterfallBar(NamedTuple):
    """A bar's beginning and its width, in percent."""

    left: float
    width: float


def draw_waterfall(rows: Sequence[RowBlock]) -> Iterator[tuple[RowBlock, WaterfallBar]]:
    """Yield each row with its bar, which begins where the bar before it ended."""
    amounts = [row.usd or Decimal(0) for row in rows]
    ends = list(accumulate(amounts, initial=Decimal(0)))
    low, whole = min(ends), max(ends) - min(ends) or Decimal(1)
    for row, amount, (start, end) in zip(rows, amounts, pairwise(ends), strict=True):
        left, width = (min(start, end) - low) / whole * 100, abs(amount) / whole * 100
        yield row, WaterfallBar(round(float(left), 2), round(float(width), 2))
