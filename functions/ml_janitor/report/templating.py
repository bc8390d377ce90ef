"""Templates of this package: autoescaped, and an undefined name is an error."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

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
    return environment


def add_breaks(text: str) -> Markup:
    """Return *text* escaped, so that a browser may break names, addresses and ARNs after their separators."""
    from markupsafe import Markup, escape

    return Markup(BREAK_POINTS.sub(r"\g<0><wbr>", str(escape(text))))  # noqa: S704 - escaped here
