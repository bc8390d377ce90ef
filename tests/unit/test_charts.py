"""Charts as SVG: what is drawn where, that nothing sticks out, and colours that everybody can tell apart."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from PIL import Image, ImageFont

from ml_janitor.report.blocks import Rank, RowBlock
from ml_janitor.report.charts import (
    COLOUR_VARIABLES,
    DARK_COLOURS,
    FONT_FOLDER,
    LIGHT_COLOURS,
    MISSING_LETTERS,
    MOST_GROUPS,
    NARROW_FORM,
    PICTURE_FORM,
    WIDE_FORM,
    ChartForm,
    DailySeries,
    Mark,
    PlotArea,
    _cut,
    _dollars,
    _drawing,
    _labels,
    _marks,
    _ticks,
    _width,
    draw_columns,
    draw_waterfall,
    render_png,
)
from narrowing import not_none
from tables import cases

MONDAY = date(2026, 8, 10)
FORMS = pytest.mark.parametrize(
    "form", [PICTURE_FORM, WIDE_FORM, NARROW_FORM], ids=["picture", "wide", "narrow"]
)
HOSTILE = (
    "<script>alert(1)</script>" + "W" * 80,
    "数据平台预训练任务" * 4,
    "a\u202eb\x1b[31m",
    "Zażółć",
    "x",
)

type Box = tuple[float, float, float, float]


def series(
    amounts: Mapping[str, Sequence[float]],
    *,
    unsettled: int = 0,
    marks: Sequence[Mark] = (),
    title: str = "cost",
) -> DailySeries:
    days = max((len(each) for each in amounts.values()), default=0)
    return DailySeries(
        title=title,
        days=[MONDAY + timedelta(days=at) for at in range(days)],
        groups={name: [Decimal(str(one)) for one in each] for name, each in amounts.items()},
        unsettled=unsettled,
        marks=marks,
    )


def drawn(chart: DailySeries, form: ChartForm = PICTURE_FORM) -> ET.Element:
    return ET.fromstring(re.sub(' xmlns="[^"]+"', "", draw_columns(chart, form)))  # noqa: S314 - our own


def stacks(root: ET.Element) -> list[tuple[str, str, list[Box]]]:
    """Each path of columns: its colour, its opacity, and left, top, width and height of its rectangles."""
    found = []
    for path in root.iter("path"):
        boxes = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z", path.attrib["d"])
        if boxes:
            colour = path.attrib["style"].removeprefix("fill: ").partition(";")[0]
            rectangles = [(float(x), float(y), float(w), float(h)) for x, y, w, h in boxes]
            found.append((colour, path.attrib["fill-opacity"], rectangles))
    return found


def written(root: ET.Element) -> list[str]:
    return [text.text or "" for text in root.iter("text")]


def test_columns_are_as_high_as_their_dollars_and_stand_on_each_other() -> None:
    (colour_a, _, a), (colour_b, _, b) = stacks(drawn(series({"a": [100, 200, 0], "b": [50, 0, 25]})))

    assert (colour_a, colour_b) == (LIGHT_COLOURS["group-1"], LIGHT_COLOURS["group-2"])
    assert [len(a), len(b)] == [2, 2]  # nothing is drawn for nothing
    assert a[1][3] == pytest.approx(2 * a[0][3], abs=0.2)
    assert b[0][3] == pytest.approx(a[0][3] / 2, abs=0.2)
    assert b[0][1] + b[0][3] == pytest.approx(a[0][1], abs=0.2)  # b stands on a
    assert b[1][1] + b[1][3] == pytest.approx(a[0][1] + a[0][3], abs=0.2)  # and where there is no a, on zero
    assert b[0][0] == a[0][0] < a[1][0]


def test_credits_go_down_from_zero() -> None:
    root = drawn(series({"a": [100, 100], "credits": [-40, 0]}))

    (_, _, up), (_, _, down) = stacks(root)

    assert down[0][1] == pytest.approx(up[0][1] + up[0][3], abs=0.2)
    assert down[0][3] == pytest.approx(up[0][3] * 0.4, abs=0.2)
    assert "-$50" in written(root)
    assert "-$40.00" in written(root)  # in the legend


def test_days_that_may_change_are_pale_and_the_chart_says_so() -> None:
    root = drawn(series({"a": [1, 2, 3]}, unsettled=1))

    assert [(opacity, len(boxes)) for _, opacity, boxes in stacks(root)] == [("1", 2), ("0.5", 1)]
    assert "Pale days may still change." in written(root)
    assert "Pale days may still change." not in written(drawn(series({"a": [1, 2, 3]})))


@FORMS
@cases(
    "chart",
    series({}),
    series({"a": [5]}),
    series({"a": [0]}),
    series({"a": [-5, -1]}),
    series({"a": [0.004]}),
    ids=["no days", "one day", "nothing", "only credits", "less than a cent"],
)
def test_whatever_there_is_can_be_drawn(chart: DailySeries, form: ChartForm) -> None:
    root = drawn(chart, form)

    assert ("no days to show" in written(root)) == (not chart.days)
    assert all(width <= 48 for _, _, boxes in stacks(root) for _, _, width, _ in boxes)
    desc = not_none(root.find("desc"))
    assert desc.text == chart.reduced().description


@FORMS
def test_no_text_and_no_column_sticks_out_or_overlaps(form: ChartForm) -> None:
    chart = series(
        {name: [10**7 * (at + 1), 3] * 32 for at, name in enumerate(HOSTILE)}
        | {"credits": [-3_000_000, 0] * 32},
        unsettled=2,
        title="A title that is much longer than any picture is wide " * 4,
        marks=(Mark(MONDAY, "before: $57,000"), Mark(MONDAY + timedelta(days=32), "W" * 90)),
    )
    root = drawn(chart, form)
    right, bottom = float(root.attrib["width"]), float(root.attrib["height"])
    boxes = [box for text in root.iter("text") for box in placed(text)]

    for x, y, width, height in [*boxes, *(box for _, _, each in stacks(root) for box in each)]:
        assert x >= 0
        assert y >= 0
        assert x + width <= right
        assert y + height <= bottom
    for one, other in combinations(boxes, 2):
        assert not overlap(one, other)
    assert "W" * 90 not in written(
        root
    )  # a mark is written whole or not at all: half a sum would be another sum


def placed(text: ET.Element) -> list[Box]:
    """Where *text* stands, by the widths of the font of the pictures."""
    size, x, y = (float(text.attrib[name]) for name in ("font-size", "x", "y"))
    if not text.text:
        return []
    face = "Inter-Regular.otf" if text.attrib["font-weight"] == "400" else "Inter-SemiBold.otf"
    width = ImageFont.truetype(FONT_FOLDER / face, 100).getlength(text.text) * size / 100
    left = {"start": x, "middle": x - width / 2, "end": x - width}[text.attrib["text-anchor"]]
    return [(left, y - size * 0.75, width, size * 0.75)]


def overlap(one: Box, other: Box) -> bool:
    (ax, ay, aw, ah), (bx, by, bw, bh) = one, other
    return ax < bx + bw and bx < ax + aw and ay < by + bh and by < ay + ah


def test_weeks_are_named_by_their_mondays() -> None:
    months = drawn(
        DailySeries(
            title="",
            days=[date(2026, 8, 7) + timedelta(days=n) for n in range(60)],
            groups={"a": [Decimal(1)] * 60},
        )
    )
    week = drawn(series({"a": [1] * 7}))

    assert [said for said in written(months) if re.fullmatch(r"\d+ \w+", said)] == [
        "10 Aug", "24 Aug", "7 Sep", "21 Sep", "5 Oct",
    ]  # fmt: skip
    assert [said for said in written(week) if said.endswith("Aug")] == [f"{day} Aug" for day in range(10, 17)]


@cases(
    "low, high, ticks",
    ("0", "0", "$0.00 $0.20"),
    ("0", "0.004", "$0.000 $0.001 $0.002 $0.003 $0.004"),
    ("0", "1", "$0.00 $0.20 $0.40 $0.60 $0.80 $1.00"),
    ("0", "5", "$0 $1 $2 $3 $4 $5"),
    ("0", "5.01", "$0 $2 $4 $6"),
    ("0", "45", "$0 $10 $20 $30 $40 $50"),
    ("0", "100", "$0 $20 $40 $60 $80 $100"),
    ("-40", "100", "-$50 $0 $50 $100"),
    ("-3", "0", "-$3 -$2 -$1 $0"),
    ("0", "9000", "$0 $2,000 $4,000 $6,000 $8,000 $10,000"),
)
def test_ticks_are_round_and_about_five(low: str, high: str, ticks: str) -> None:
    found = _ticks(Decimal(low), Decimal(high))
    assert " ".join(_dollars(tick, found[1] - found[0]) for tick in found) == ticks


def plot(slot: float, days: int) -> PlotArea:
    """An area of *days*, each as wide as *slot*, whose columns are half of that."""
    return PlotArea(left=50, right=50 + slot * days, top=0, bottom=100, slot=slot, column=slot / 2)


@cases("apart, following", *pairwise((1, 2, 7, 14, 28, 91, 364)))
def test_as_many_days_are_named_as_have_room(apart: int, following: int) -> None:
    """From seven days on they are Mondays; each label is centred below its column."""
    room = _width("30 Sep", 13) + 6.5
    days = [MONDAY - timedelta(days=3) + timedelta(days=at) for at in range(1000)]
    for slot, every in ((room / apart + 1e-9, apart), (room / apart - 1e-9, following)):
        first = 0 if every < 7 else 3
        labels = list(_labels(days, plot(slot, 1000), replace(WIDE_FORM, width=10**6)))
        assert [text for _, text in labels[:2]] == [f"{days[first + at]:%-d %b}" for at in (0, every)]
        assert labels[0][0] == pytest.approx(50 + slot * (first + 0.5))


def test_the_last_day_is_named_only_where_its_label_ends_within_the_chart() -> None:
    days, half = [MONDAY, MONDAY + timedelta(days=1)], _width("11 Aug", 13) / 2
    for width, count in ((int(200 + half) + 1, 2), (int(200 + half), 1)):
        assert len(list(_labels(days, plot(100, 2), replace(WIDE_FORM, width=width)))) == count


def test_a_mark_is_written_where_it_ends_half_a_letter_before_the_next() -> None:
    chart = series({"a": [1] * 4}, marks=[Mark(MONDAY, "abc"), Mark(MONDAY + timedelta(days=2), "abc")])
    slot = (_width("abc", 13) + 6.5) / 2
    for wide, text in ((slot + 0.001, "abc"), (slot - 0.001, "")):
        assert list(_marks(chart, plot(wide, 4), 13)) == [(50, text, False), (50 + 2 * wide, text, True)]


@cases(
    "text, kept",
    ("project-a", "project-a"),
    ("project-team-a", "pro…m-a"),
    ("project-team-b", "pro…m-b"),
    ("x", "x"),
    ("WWWWWWWWWWWWWW", "WW…WW"),
    ("", ""),
)
def test_a_long_name_loses_its_middle(text: str, kept: str) -> None:
    assert _cut(text, 5.2 * 10, 10) == kept


@cases("room, kept", (30, "W…W"), (29.9, ""))
def test_a_name_without_room_is_left_out_unless_it_is_one_letter(room: float, kept: str) -> None:
    assert (_cut("W", 1, 10), _cut("WWWW", room, 10)) == ("W", kept)


def test_a_legend_beside_the_columns_has_the_order_of_a_stack() -> None:
    chart = series({"a": [3], "b": [2], "c": [1]})
    for form, order in ((PICTURE_FORM, "cba"), (NARROW_FORM, "abc")):
        assert "".join(name for _, _, name, _ in _drawing(chart, form)["legend"]) == order


@cases(
    "form, more, layout",
    (WIDE_FORM, {}, [47.58, 736.5, 10.4, 276.6, 23.4, 300]),
    (NARROW_FORM, {}, [43.92, 334, 9.6, 198.4, 224.8, 243]),
    (PICTURE_FORM, {"marks": [Mark(MONDAY, "x")]}, [63.24, 513, 66.6, 362.8, 80.6, 400]),
    (NARROW_FORM, {"unsettled": 1}, [43.92, 334, 9.6, 198.4, 224.8, 261]),
    (PICTURE_FORM, {"groups": {}, "days": []}, [63.24, 761, 45.6, 362.8, 59.6, 400]),
)
def test_a_chart_is_laid_out_as_its_form_says(
    form: ChartForm, more: dict[str, Any], layout: list[float]
) -> None:
    """Left, right, top and bottom of the columns, the first line of the legend, and the height of it all."""
    chart = replace(series({"a": [1, 2]}), **more)
    found = _drawing(chart, form)
    area = found["plot"]
    below = found["legend"][0][0] if found["legend"] else found["small_print"]
    shown = [area.left, area.right, area.top, area.bottom, below, found["height"]]
    assert [round(number, 2) for number in shown] == layout
    assert [round(x, 2) for x, _ in found["hovers"]] == [
        round(area.left + (area.right - area.left) / 2 * at, 2) for at in range(len(chart.days))
    ]


def test_each_bar_of_a_waterfall_begins_where_the_one_before_it_ended() -> None:
    def bars(*dollars: str | None) -> list[tuple[float, float]]:
        rows = [RowBlock(Rank.FIRST, ("x",), usd=None if usd is None else Decimal(usd)) for usd in dollars]
        assert [row for row, _ in draw_waterfall(rows)] == rows
        return [bar for _, bar in draw_waterfall(rows)]

    assert bars("10", "-4", None, "2") == [(0, 100), (60, 40), (60, 0), (60, 20)]
    assert bars("-5", "10") == [(0, 50), (0, 100)]
    assert bars("0") == [(0, 0)]


def test_a_mark_divides_the_days() -> None:
    root = drawn(
        series({"a": [1] * 20}, marks=[Mark(MONDAY, "before"), Mark(MONDAY + timedelta(10), "after")])
    )

    (line,) = [path for path in root.iter("path") if "stroke-dasharray" in path.attrib]
    (_, _, boxes), *_ = stacks(root)
    x = float(re.findall(r"M([\d.]+)", line.attrib["d"])[0])
    assert boxes[9][0] + boxes[9][2] < x < boxes[10][0]
    assert {"before", "after"} <= set(written(root))


def test_the_table_has_every_number_the_latest_day_first() -> None:
    assert list(series({"a": [100, 200], "b": [-1, 0.5]}).table) == [
        ("2026-08-11", ["$200", "$200", "$0.50"]),
        ("2026-08-10", ["$99.00", "$100", "-$1.00"]),
    ]


def test_a_series_is_described_by_its_days_its_dearest_and_its_groups() -> None:
    two, one = series({"b": [1, 2], "a": [3, -5], "c": [0, 0]}), series({"a": [4]})

    assert two.description == (
        "Dollars of 2 days from 2026-08-10 to 2026-08-11; the most is $4.00 on 2026-08-10. "
        "In total: b $3.00, a -$2.00, c $0.00."
    )
    assert one.description == "Dollars of 2026-08-10; the most is $4.00 on 2026-08-10. In total: a $4.00."
    assert series({}).description == "No days to show."
    empty = replace(one, groups={})
    assert empty.description == "Dollars of 2026-08-10; the most is $0.00 on 2026-08-10. In total: nothing."


def test_the_largest_groups_stay_and_those_of_nothing_go() -> None:
    groups = {"little": [1, 0], "credit": [-9, 0], "none": [0, 0], "b": [2, 3], "a": [5, 0], "even": [4, -4]}

    few = series(groups).reduced(3)

    assert list(few.groups) == ["credit", "a", "b", "2 others"]
    assert list(few.groups["2 others"]) == [5, -4]
    assert list(series(groups).reduced(4).groups)[3:] == ["little", "1 other"]
    assert list(series(groups).reduced(5).groups) == ["credit", "a", "b", "little", "even"]
    many = series({f"p{n}": [n, 1] for n in range(MOST_GROUPS + 1)})
    assert (list(many.reduced().groups)[-1], many.reduced().totals) == ("1 other", many.totals)
    assert LIGHT_COLOURS["others"] in {colour for colour, _, _ in stacks(drawn(many))}


def test_a_page_names_its_charts_and_says_a_days_numbers_under_the_pointer() -> None:
    svg = draw_columns(series({"a": [100, 200]}, unsettled=1), WIDE_FORM, id="daily")

    assert 'aria-labelledby="daily-title daily-desc"' in svg
    assert "<title>Tue 11 Aug 2026: $200, may still change = a $200</title>" in svg
    assert "var(--group-1)" in svg
    assert not re.search("#[0-9a-f]{6}", svg)
    assert "Tue 11" not in draw_columns(series({"a": [100, 200]}), PICTURE_FORM)


# --- colours --------------------------------------------------------------------------------------

SIGHTS = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "no green": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.01182, 0.04294, 0.968881),
    ),
    "no blue": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.3039),
    ),
}
"""How people see linear RGB: Machado, Oliveira and Fernandes (2009), severity 1."""


def linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]


def seen(colour: str, sight: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """*colour* in CIELAB, in which distances are how different colours look: 2.3 is just noticeable."""
    rgb = linear(colour)
    r, g, b = (min(max(sum(a * c for a, c in zip(row, rgb, strict=True)), 0), 1) for row in sight)
    xyz = (
        (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047,
        0.2126729 * r + 0.7151522 * g + 0.072175 * b,
        (0.0193339 * r + 0.119192 * g + 0.9503041 * b) / 1.08883,
    )
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("colours", [LIGHT_COLOURS, DARK_COLOURS], ids=["light", "dark"])
def test_everybody_can_tell_the_groups_apart(colours: dict[str, str], sight: str) -> None:
    groups = [colours["others"], *(colours[f"group-{number}"] for number in range(1, MOST_GROUPS + 1))]

    for one, other in combinations(groups, 2):
        assert math.dist(seen(one, SIGHTS[sight]), seen(other, SIGHTS[sight])) > 25, (one, other)


@pytest.mark.parametrize("colours", [LIGHT_COLOURS, DARK_COLOURS], ids=["light", "dark"])
def test_text_and_columns_stand_out_from_their_ground(colours: dict[str, str]) -> None:
    def luminance(name: str) -> float:
        r, g, b = linear(colours[name])
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    def contrast(name: str) -> float:
        low, high = sorted((luminance(name), luminance("card")))
        return (high + 0.05) / (low + 0.05)

    assert min(contrast("ink"), contrast("soft")) > 4.5  # WCAG 1.4.3
    assert all(contrast(name) > 2.3 for name in colours if name.startswith(("group", "others")))
    assert COLOUR_VARIABLES.keys() == colours.keys()


# --- PNG ------------------------------------------------------------------------------------------


def test_a_picture_is_a_png_of_twice_the_size_in_its_colours() -> None:
    with Image.open(
        BytesIO(render_png(draw_columns(series({"a": [1, 2, 3], "b": [3, 2, 1]}), PICTURE_FORM)))
    ) as image:
        assert (image.format, image.size) == ("PNG", (2 * PICTURE_FORM.width, 2 * PICTURE_FORM.height))
        seen_colours = {colour[:3] for _, colour in image.convert("RGBA").getcolors(10**6)}  # type: ignore[union-attr, index]
    for name in ("card", "ink", "group-1", "group-2"):
        assert tuple(int(LIGHT_COLOURS[name][at : at + 2], 16) for at in (1, 3, 5)) in seen_colours


def test_letters_without_a_glyph_are_seen_to_be_there() -> None:
    def picture(name: str) -> bytes:
        return render_png(draw_columns(series({name: [1]}), PICTURE_FORM))

    assert picture("数据") == picture("??")
    assert picture("Žižkov") != picture("??????")
    assert picture("café") != picture("caf")


def test_every_letter_that_is_not_replaced_has_a_glyph() -> None:
    face = ImageFont.truetype(FONT_FOLDER / "Inter-Regular.otf", 20)
    absent = bytes(face.getmask("\U000fffff"))

    known = [
        chr(n) for n in range(0x21, 0x2200) if chr(n).isprintable() and not MISSING_LETTERS.search(chr(n))
    ]
    assert [letter for letter in known if bytes(face.getmask(letter)) == absent] == [
        "ŉ"
    ]  # which Unicode deprecates
    assert {"a", "ż", "ψ", "ж", "€"} <= set(known)
