"""A chart as PNG, for Slack: with the fonts beside this module and none of the machine's."""

from __future__ import annotations

import re
from pathlib import Path

FONTS = Path(__file__).parent / "fonts"
ZOOM = 2
"""Pixels of the picture for one of the chart: most screens have two."""


UNKNOWN = re.compile(r"[^\u0000-\u017f\u0386-\u03ce\u0400-\u045f\u2010-\u2015\u2018-\u201e\u2026\u20ac]")
"""What the fonts have no letter for: it would be left out without a trace."""


def png(svg: str) -> bytes:
    """*svg* as a PNG on a white ground. The library is imported late: few runs draw."""
    from resvg_py import svg_to_bytes

    return svg_to_bytes(
        svg_string=UNKNOWN.sub("?", svg),
        zoom=ZOOM,
        background="#ffffff",
        skip_system_fonts=True,
        shape_rendering="crisp_edges",
        font_files=[str(path) for path in sorted(FONTS.glob("*.otf"))],
        sans_serif_family="Inter",
    )
