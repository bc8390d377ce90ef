"""Refuses a glob over ARNs that protects nothing, because no detector judges an ARN that it matches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from ml_janitor.config.layers import SettingsError
from ml_janitor.engine.detector import SERVICES, Detector

TOKEN = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
"""One character of a glob, or a set of them."""

FIELD = "~"
"""In a format, not in an operator's glob: some text without a colon."""

ACCOUNT = "[0-9]" * 12
FORMATS = {"bucket": f"arn:{FIELD}:s3:::?{FIELD}", "object": f"arn:{FIELD}:s3:::?{FIELD}/?*"}
"""How ARNs are written that do not name their kind."""


def check_globs(globs: Iterable[str], where: str, registry: Sequence[type[Detector[Any]]]) -> None:
    """Refuse the first of *globs* that matches no ARN that *registry* judges. Raises SettingsError."""
    kinds = list(dict.fromkeys(kind for detector in registry for kind in detector.kinds))
    formats = [
        FORMATS.get(kind, f"arn:{FIELD}:{SERVICES.get(kind, 'sagemaker')}:{FIELD}:{ACCOUNT}:{kind}/?{FIELD}")
        for kind in kinds
    ]
    for glob in globs:
        if not matches_any(glob, formats):
            near = next((each for each in _similar(glob, kinds) if matches_any(each, formats)), "*/NAME")
            raise SettingsError(
                f'{where}: "{glob}" matches no ARN of a kind that a detector judges; did you mean "{near}"?'
            )


def matches_any(glob: str, formats: Iterable[str]) -> bool:
    """Whether some text matches *glob* and one of *formats*; case and surrounding blanks do not matter."""
    return any(_overlap(glob.strip().lower(), each) for each in formats)


def _overlap(glob: str, form: str) -> bool:
    """Whether some text matches both: a walk over the pairs of places in them that one text can reach."""
    globs, forms = TOKEN.findall(glob), TOKEN.findall(form)
    reachable, seen = [(0, 0)], set[tuple[int, int]]()
    while reachable:
        i, j = here = reachable.pop()
        if here in seen:
            continue
        seen.add(here)
        a, b = (*globs, "")[i], (*forms, "")[j]
        if a == b == "":
            return True
        if a == "*":
            reachable += [(i + 1, j), *([(i, j + 1)] if b else [])]
        elif b in {"*", FIELD}:
            reachable += [(i, j + 1), *([(i + 1, j)] if a and (b, a) != (FIELD, ":") else [])]
        elif a and b and _same(a, b):
            reachable.append((i + 1, j + 1))
    return False


def _same(one: str, other: str) -> bool:
    """Whether one character can match both; of two sets, that is assumed."""
    sets = [len(each) > 1 or each == "?" for each in (one, other)]
    return all(sets) or fnmatchcase(one, other) or fnmatchcase(other, one)


def _similar(glob: str, kinds: Sequence[str]) -> Iterator[str]:
    """What *glob* may be meant for, the likeliest first."""
    glob = glob.strip()
    head, _, resource = glob.rpartition(":")
    kind, slash, name = resource.partition("/")
    if not resource:
        return
    if not glob.startswith("arn:"):
        yield f"*:{glob}" if slash else f"*/{glob}"
    else:
        yield from (f"{head}:{near}/{name}" for near in get_close_matches(kind, kinds, 1))
        yield f"{head}:*:{resource}"
    if slash:
        yield f"*:{resource}"
    yield f"*/{name or resource}"
