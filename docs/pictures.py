"""
Makes the pictures of the README from what the program itself says: `make pictures`.

The report is that of `make audit`, the warning and the digest are messages that the sandbox's Slack
received during the three nights. Each file carries a hash of its words, by which the check of the docs and
the test of the nights find a picture that is out of date.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import sync_playwright
from rich.console import Console

from ml_janitor_cli.main import main as janitor
from ml_janitor_sandbox.night import Played, play
from ml_janitor_sandbox.night.script import PEOPLE, ZONE, Digest, Swept, user

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
FONT = ROOT / "node_modules" / "@fontsource-variable" / "inter" / "files" / "inter-latin-wght-normal.woff2"

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCALE = 2
COLOURS = 128
"""Enough for text in a handful of colours, and a third of the bytes of a picture in all of them."""

HASH = "Hash of the words"

NAMES = {user(person): name for person, name in PEOPLE.items()}

MARKUP = re.compile(
    r"`(?P<code>[^`\n]+)`|\*(?P<bold>[^*\n]+)\*|<@(?P<user>\w+)>|<(?P<url>https?://[^<>|]+)\|(?P<label>[^<>]+)>"
)
"""The part of Slack's markup that the program writes."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A page, and how wide it is shown."""

    page: str
    width: int

    @property
    def hash(self) -> str:
        """What changes when the page says something else."""
        return hashlib.sha256(" ".join(Words(self.page).said).encode()).hexdigest()


def main() -> int:
    """Play the nights in the sandbox that the environment names, and write every picture."""
    if "AWS_ENDPOINT_URL" not in os.environ or "JANITOR_TABLE" not in os.environ:
        sys.stderr.write("docs/pictures.py runs inside a sandbox: make pictures\n")
        return 2
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        janitor(["audit", "--bill", "--plan", "--html", str(page)])
        played = play(os.environ["AWS_ENDPOINT_URL"], os.environ, Console(file=io.StringIO()), Path(folder))
        write({"report": report_picture(page.read_text()), **pictures(played)})
    return 0


def report_picture(page: str) -> Picture:
    """The first screen of the page that `make audit` writes."""
    return Picture(summary(page), width=1280)


def pictures(played: Played) -> dict[str, Picture]:
    """The pictures of Slack by their names."""
    return {
        "warning": Picture(slack(*warned(played)), width=660),
        "digest": Picture(slack(digested(played)), width=660),
    }


def outdated(played: Played) -> list[str]:
    """The pictures that show other words than the program says now."""
    return [name for name, picture in pictures(played).items() if hash_of(name) != picture.hash]


def hash_of(name: str) -> str | None:
    """The hash of the words that the picture shows, as its file says."""
    with Image.open(IMAGES / f"{name}.png") as image:
        return image.info.get(HASH)


def warned(played: Played) -> list[Mapping[str, Any]]:
    """The first warning of the first night, and what hangs in its thread."""
    first = next(number for number, one in enumerate(played.happened) if isinstance(one, Swept))
    channel, *others = played.messages[first]
    return [channel, *(one for one in others if one["thread_ts"] == channel["ts"])]


def digested(played: Played) -> Mapping[str, Any]:
    """The digest, as it was posted."""
    number = next(number for number, one in enumerate(played.happened) if isinstance(one, Digest))
    (*_, digest) = (message for message in played.messages[number] if not message.get("thread_ts"))
    return digest


def summary(report: str) -> str:
    """The report as far as its table: what a reader sees first."""
    above, table, _ = report.partition('<section class="card findings">')
    if not table:
        raise ValueError("the report has no table of findings")
    return f"{above}<style>main {{ padding-bottom: 20px }}</style></main></body></html>"


# --- Slack ----------------------------------------------------------------------------------------


def slack(message: Mapping[str, Any], *replies: Mapping[str, Any]) -> str:
    """*message* as Slack shows it; of the *replies* in its thread the first, and how many there are."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"mrkdwn": mrkdwn, "clock": clock, "refused": refused}
    template = environment.get_template("pictures.html.j2")
    return template.render(messages=[message, *replies[:1]], replies=len(replies))


def refused(block: str) -> str:
    """Fail for a block that the template cannot draw, so that none goes missing."""
    raise ValueError(f"the template does not know how Slack draws a block of type {block}")


def mrkdwn(text: str) -> Markup:
    """Slack's markup as HTML; ValueError for any that is not known here, so that nothing goes missing."""
    parts, end = [], 0
    for found in MARKUP.finditer(text):
        parts += [plain(text[end : found.start()]), marked(found)]
        end = found.end()
    return Markup("").join([*parts, plain(text[end:])])


def marked(found: re.Match[str]) -> Markup:
    """One piece of markup."""
    match found.lastgroup:
        case "code":
            return Markup("<code>{}</code>").format(plain(found["code"]))
        case "bold":
            return Markup("<b>{}</b>").format(mrkdwn(found["bold"]))
        case "user":
            return Markup('<span class="mention">@{}</span>').format(NAMES[found["user"]])
        case _:
            return Markup('<a href="{}">{}</a>').format(plain(found["url"]), plain(found["label"]))


def plain(text: str) -> Markup:
    """Text without markup; of `&`, `<` and `>` only the `<` of `<$0.01` is not escaped in it."""
    if re.search(r"<(?!\$)|>|&(?!amp;|lt;|gt;)", text):
        raise ValueError(f"not known how Slack shows: {text}")
    return Markup(text.replace("<", "&lt;").replace("\n", "<br>"))  # noqa: S704 - escaped, as Slack demands


def clock(ts: str) -> str:
    """When a message came, as its readers' clocks show it."""
    return f"{datetime.fromtimestamp(float(ts), UTC).astimezone(ZONE):%-I:%M %p}"


# --- words ----------------------------------------------------------------------------------------


class Words(HTMLParser):
    """The text of a page, without its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self._unseen = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002
        self._unseen += tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        self.said += [] if self._unseen else data.split()


# --- images ---------------------------------------------------------------------------------------


def write(pictures: Mapping[str, Picture]) -> None:
    """Let Chromium show every page, and keep what it shows."""
    if CHROMIUM is None:
        raise SystemExit("needs Chromium (apt-get install chromium)")
    face = base64.b64encode(FONT.read_bytes()).decode()
    style = (
        f"@font-face {{ font-family: Inter; font-weight: 100 900; src: url(data:font/woff2;base64,{face}) }}"
        "body { font-family: Inter !important }"
    )
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-lcd-text"]
        )
        for name, picture in pictures.items():
            page = browser.new_page(
                viewport={"width": picture.width, "height": 400}, device_scale_factor=SCALE, bypass_csp=True
            )
            page.set_content(picture.page)
            page.add_style_tag(content=style)
            page.evaluate("document.fonts.ready")
            shot = page.locator("main").screenshot(animations="disabled")
            image = Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            words = PngInfo()
            words.add_text(HASH, picture.hash)
            image.save(IMAGES / f"{name}.png", optimize=True, pnginfo=words)
        browser.close()


if __name__ == "__main__":
    raise SystemExit(main())
