"""The pictures of the README: which there are, and that nothing is left out when a message is drawn."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from docs import pictures
from tables import cases

ROOT = Path(__file__).parent.parent.parent
LARGEST = 200_000


def text(said: str, kind: str = "mrkdwn") -> dict[str, str]:
    return {"type": kind, "text": said}


def message(*blocks: dict[str, Any], ts: str = "1791255601.000002") -> dict[str, Any]:
    return {"ts": ts, "text": "", "blocks": blocks}


def test_the_readme_shows_every_picture_and_no_other() -> None:
    shown = re.findall(
        r'src="docs/images/([^"]+)"|\]\(docs/images/([^)]+)\)', (ROOT / "README.md").read_text()
    )

    assert sorted(html or markdown for html, markdown in shown) == ["digest.png", "report.png", "warning.png"]
    assert {path.name for path in pictures.IMAGES.iterdir()} == {"digest.png", "report.png", "warning.png"}


@pytest.mark.parametrize("name", ["report", "warning", "digest"])
def test_a_picture_is_sharp_and_small_and_says_what_it_was_made_from(name: str) -> None:
    path = pictures.IMAGES / f"{name}.png"
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > 1200
    assert path.stat().st_size < LARGEST
    assert re.fullmatch("[0-9a-f]{64}", str(pictures.hash_of(name)))


@cases(
    "said, shown",
    ("*$3,570 a month*", "<b>$3,570 a month</b>"),
    ("`a*b*`", "<code>a*b*</code>"),
    ("*all of `x`*", "<b>all of <code>x</code></b>"),
    ("<@U0RAVIMENON>, yours", '<span class="mention">@Ravi Menon</span>, yours'),
    ("<https://example.com/?a=1&amp;b|here>", '<a href="https://example.com/?a=1&amp;b">here</a>'),
    ("one\ntwo &lt;three&gt;", "one<br>two &lt;three&gt;"),
    ("(<$0.01 a month)", "(&lt;$0.01 a month)"),
    ("plain", "plain"),
)
def test_markup_is_drawn(said: str, shown: str) -> None:
    assert pictures.mrkdwn(said) == shown


@pytest.mark.parametrize("said", ["<!here>", "<@U1|somebody>", "a > b", "R&D", "<b>bold</b>"])
def test_markup_that_cannot_be_drawn_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="not known how Slack shows"):
        pictures.mrkdwn(said)


def test_a_block_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="a block of type image"):
        pictures.slack(message({"type": "image", "image_url": "https://example.com/cat.png"}))


def test_the_hash_is_of_the_words_and_not_of_the_looks() -> None:
    page = pictures.slack(message({"type": "section", "text": text("*$12* a month")}))
    looks = page.replace("#1d1c1d", "#000").replace("<b>", "<strong>").replace("</b>", "</strong>")

    assert looks != page
    assert pictures.Picture(looks, width=660).hash == pictures.Picture(page, width=660).hash
    assert pictures.Picture(page.replace("$12", "$13"), 660).hash != pictures.Picture(page, 660).hash
