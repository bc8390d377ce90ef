"""
Prepares the documentation as a site with search in the folder .build/site: `make site`.

The pages stay where the repository has them, so that their links hold; files that they link to come along.
The sections are the plan that a reader sees. A page without a place in it, or a broken link, is an error.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
SITE = ROOT / ".build" / "site"

PLAN = {
    "Start": ("README.md", "docs/sandbox.md", "docs/night.md"),
    "Use": (
        *("docs/plan.md", "docs/bill.md", "docs/case-study.md", "docs/estimate.md", "docs/policies.md"),
        "docs/kit.md",
    ),
    "Arm": ("docs/arming.md", "docs/slack.md", "docs/notify.md", "docs/notebook-activity/README.md"),
    "Operate": ("docs/operating.md", "docs/cost.md", "docs/privacy.md", "CHANGELOG.md"),
    "Organization": ("docs/organization.md", "docs/scale.md"),
    "Detectors": ("docs/detectors/*.md",),
    "Reference": (
        *("docs/settings.md", "docs/permissions.md", "docs/api.md", "docs/performance.md"),
        "docs/comparison.md",
    ),
    "Internals": (
        *("docs/architecture.md", "docs/security.md", "SECURITY.md", "CONTRIBUTING.md", "kit/README.md"),
        *("corrections/README.md", "docs/decisions/*.md"),
    ),
}
"""The pages of each section, in order."""

LINK = re.compile(r'(?P<before>\]\(|src=")(?P<path>[^()#:"]+)(?P<anchor>#[^()]*)?(?P<after>\)|")')
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r"^# (.*)$", re.MULTILINE)
CONFIG = {
    "site_name": "ML Janitor",
    "docs_dir": "pages",
    "site_dir": "html",
    "use_directory_urls": False,
    "theme": {"font": False, "features": ["navigation.sections", "navigation.footer", "search.highlight"]},
    "markdown_extensions": {
        "tables": {},
        "pymdownx.superfences": {},
        "toc": {"slugify": {"object": "pymdownx.slugs.slugify", "kwds": {"case": "lower"}}},
    },
}


def main() -> None:
    """Write the pages and the configuration anew."""
    shutil.rmtree(SITE, ignore_errors=True)
    plan = {
        section: [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
        for section, patterns in PLAN.items()
    }
    planned = [path for paths in plan.values() for path in paths]
    left = {*ROOT.glob("docs/**/*.md")} - {*planned}
    if left or len({*planned}) < len(planned):
        raise SystemExit(f"docs/website.py: not once in the plan: {', '.join(map(str, left)) or planned}")
    for path in planned:
        write_page(path)
    nav = [{section: [{title_of(path): page_of(path)} for path in paths]} for section, paths in plan.items()]
    (SITE / "mkdocs.yml").write_text(json.dumps(CONFIG | {"nav": nav}, indent=1))


def title_of(path: Path) -> str:
    """The title of a page."""
    found = TITLE.search(path.read_text("utf-8"))
    if found is None:
        raise SystemExit(f"docs/website.py: {path} has no title")
    return found[1].replace("`", "")


def page_of(path: Path) -> str:
    """The place of a page in the site; README.md is the page of its folder."""
    place = path.relative_to(ROOT)
    return str(place.with_name("index.md") if place.name == "README.md" else place)


def write_page(path: Path) -> None:
    """Write one page, and the files that it links to; the link to a folder leads to its first page."""

    def link(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(path.parent / found["path"]))
        if target.is_dir():
            target = min(target.glob("*.md"))
        elif target.suffix != ".md":
            copy_file(target)
        place = SITE / "pages" / page_of(target)
        return (
            f"{found['before']}{os.path.relpath(place, here.parent)}{found['anchor'] or ''}{found['after']}"
        )

    here = SITE / "pages" / page_of(path)
    here.parent.mkdir(parents=True, exist_ok=True)
    here.write_text(LINK.sub(link, indented(path.read_text("utf-8"))), "utf-8")


def indented(page: str) -> str:
    """A page with four spaces before the paragraphs of its lists, as Python-Markdown needs them."""
    fences, parts = FENCED.findall(page), FENCED.split(page)
    for pattern, by in ((r"^ {3}(?=\S)", "    "), (r"^( {4}.*\n)(?=\d+\. )", r"\1\n")):
        parts = [re.sub(pattern, by, part, flags=re.MULTILINE) for part in parts]
    return "".join(part + fence for part, fence in zip(parts, [*fences, ""], strict=True))


def copy_file(path: Path) -> None:
    """Copy a file that a page links to."""
    copy = SITE / "pages" / path.relative_to(ROOT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, copy)


if __name__ == "__main__":
    main()
