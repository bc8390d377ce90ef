"""Wildcards as IAM means them."""

from __future__ import annotations

import re
from functools import cache

ARN_PARTS = 6


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def like(pattern: str, text: str) -> bool:
    """Any number of characters for *, exactly one for ?; nothing else is special."""
    return _pattern(pattern).fullmatch(text) is not None


def arn_like(pattern: str, arn: str) -> bool:
    """
    A wildcard ends where its part of the ARN ends, of which there are six; a lone * is everything.

    IAM user guide, "ArnEquals and ArnLike": "Each of the six colon-delimited components of the ARN is
    checked separately".
    """
    if pattern == "*":
        return True
    parts, others = pattern.split(":", ARN_PARTS - 1), arn.split(":", ARN_PARTS - 1)
    return len(parts) == len(others) and all(map(like, parts, others))
