"""
Checks prose by rules that can be listed: `make check-prose` prints what is wrong, and exits with 1.

It reads pages (without their generated parts, code and tables), docstrings, and texts in what users run.
CONTRIBUTING says how to write; `RULES` has what this check refuses, each with a better way.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import naming

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "kit/README.md",
    "corrections/README.md",
    "docs/**/*.md",
)
MOST_WORDS = 20
"""The most words of a sentence on a page that a user reads."""

LISTED = 4
"""From so many commas on, a sentence is a list, whose words are not counted."""

LONG_ALLOWED = ("docs/decisions/", "CONTRIBUTING.md", "corrections/", "docs/architecture.md")
"""Pages of developers."""


class Rule(NamedTuple):
    """A pattern that no sentence matches, and what to write instead."""

    pattern: re.Pattern[str]
    advice: str


def _rule(pattern: str, advice: str) -> Rule:
    return Rule(re.compile(pattern), advice)


RULES = (
    _rule(
        r"^(?:What|Whether|Which|Whose|Why|How|Of)\b(?=(?:\s+\S+){4})(?!.*\?$)",
        "begin with who does it, or ask a question",
    ),
    _rule(r"^(?:(?:One|Those|That) (?:that|which|whose|with|without)|(?:That|Those) of)\b", "name the noun"),
    _rule(r"(?<!here )\b(?:is|are|was|were) no (?!longer\b|more\b|\w+er\b)", 'write "is not a ..."'),
    _rule(r"\bin no (?:sum|plan|total)\b", 'write "without a price" or "left out"'),
    _rule(r"\b(?:makes? no sense|on Earth|[Nn]oticed besides|may lack\b|of it all\b)", "say what is meant"),
)


class Text(NamedTuple):
    """A text that people read, and its place."""

    place: str
    text: str
    limit: int | None = None
    """The most words of a sentence, if they are counted."""


def pages(root: Path = ROOT) -> Iterator[Text]:
    """List the paragraphs and items of the pages."""
    for path in sorted({path for pattern in PAGES for path in root.glob(pattern)}):
        name = path.relative_to(root).as_posix()
        limit = None if name.startswith(LONG_ALLOWED) else MOST_WORDS
        for number, block in blocks(path.read_text("utf-8")):
            yield Text(f"{name}:{number}", block, limit)


def blocks(page: str) -> Iterator[tuple[int, str]]:
    """List the paragraphs and items of a page by their lines, without markup that is no prose."""
    for pattern in (
        r"<!-- (\S+) -->\n.*?<!-- /\1 -->",
        r"^ *```.*?^ *```",
        r"^ *\|.*?$",
        r"^#.*?$",
        r"<[^>]+>",
    ):
        page = re.sub(pattern, _blank, page, flags=re.DOTALL | re.MULTILINE)
    number, taken = 1, list[str]()
    for at, line in enumerate([*page.split("\n"), ""], start=1):
        if not line.strip() or re.match(r" *(?:[-*]|\d+\.) ", line):
            if taken:
                yield number, " ".join(taken)
            taken = []
        if line.strip():
            number = number if taken else at
            taken.append(re.sub(r"^ *(?:[-*]|\d+\.) ", "", line).strip())


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def docstrings(code: naming.Trees) -> Iterator[Text]:
    """List the paragraphs of all docstrings."""
    for path, tree in code.items():
        for node in ast.walk(tree):
            if isinstance(node, naming.Named.__value__):
                for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                    yield Text(f"{path}:{getattr(node, 'lineno', 1)}", " ".join(paragraph.split()))


def messages(code: naming.Trees) -> Iterator[Text]:
    """List the texts of several words in what users run."""
    for path, tree in code.items():
        if path.startswith(("functions/", "cli/", "infra/", "kit/src/")):
            documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                match node:
                    case ast.Constant(value=str(text)) if text.count(" ") > 1 and id(node) not in documented:
                        yield Text(f"{path}:{node.lineno}", text)


def sentences(text: str) -> Iterator[str]:
    """Divide a paragraph into its sentences, which a colon or a semicolon also ends."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    yield from re.split(r"(?<=[.?!:;])[\"*_)]*\s+(?=[\"(*`\w\[])", plain)


def faults(text: Text) -> Iterator[str]:
    """List what is wrong with a text, a line each."""
    for sentence in sentences(text.text):
        bare = sentence.lstrip("_\"'( ")  # bold words are a heading, which may ask
        for rule in RULES:
            if rule.pattern.search(bare):
                yield f"{text.place}: {sentence[:100]!r}: {rule.advice}"
        words = len(re.sub(r"\([^()]*\)", "", sentence).split())
        if text.limit and words > text.limit and sentence.count(",") < LISTED:
            yield f"{text.place}: {words} words, {text.limit} at most: {sentence[:100]!r}"


def violations(code: Mapping[str, ast.Module], root: Path = ROOT) -> Iterator[str]:
    """List everything that this check refuses."""
    for texts in (pages(root), docstrings(code), messages(code)):
        for text in texts:
            yield from faults(text)


if __name__ == "__main__":
    sys.exit(1 if naming.say(violations(naming.trees())) else 0)
