"""Refuses a glob over ARNs that protects nothing, because no detector judges an ARN that it matches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from ml_janitor.config.layers import SettingsError
from ml_janitor.engine.detector import KIND_SERVICES, Detector

GLOB_TOKEN = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
"""One character of a glob, or a set of them."""

ARN_FIELD = "~"
"""Text without a colon, in a format (never in an operator's glob)."""

ACCOUNT_GLOB = "[0-9]" * 12
ARN_FORMATS = {
    "bucket": f"arn:{ARN_FIELD}:s3:::?{ARN_FIELD}",
    "object": f"arn:{ARN_FIELD}:s3:::?{ARN_FIELD}/?*",
}
"""Formats of ARNs that do not name their kind."""


def check_globs(globs: Iterable[str], where: str, registry: Sequence[type[Detector[Any]]]) -> None:
    """Refuse the first of *globs* that matches no ARN that *registry* judges. Raises SettingsError."""
    kinds = list(dict.fromkeys(kind for detector in registry for kind in detector.kinds))
    formats = [
        ARN_FORMATS.get(
            kind,
            f"arn:{ARN_FIELD}:{KIND_SERVICES.get(kind, 'sagemaker')}:{ARN_FIELD}:{ACCOUNT_GLOB}"
            f":{kind}/?{ARN_FIELD}",
        )
        for kind in kinds
    ]
    for glob in globs:
        if not matches_format(glob, formats):
            near = next(
                (suggestion for suggestion in _similar(glob, kinds) if matches_format(suggestion, formats)),
                "*/NAME",
            )
            raise SettingsError(
                f'{where}: "{glob}" matches no ARN of a kind that a detector judges; did you mean "{near}"?'
            )


def matches_format(glob: str, formats: Iterable[str]) -> bool:
    """Return whether a text matches both *glob* and a format; case and surrounding blanks do not matter."""
    return any(_overlap(glob.strip().lower(), form) for form in formats)


def _overlap(glob: str, form: str) -> bool:
    """Return whether a text matches both, by a walk over the pairs of places that such a text can reach."""
    globs, forms = GLOB_TOKEN.findall(glob), GLOB_TOKEN.findall(form)
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
        elif b in {"*", ARN_FIELD}:
            reachable += [(i, j + 1), *([(i + 1, j)] if a and (b, a) != (ARN_FIELD, ":") else [])]
        elif a and b and _same(a, b):
            reachable.append((i + 1, j + 1))
    return False


def _same(this: str, other: str) -> bool:
    """Return whether a character can match both; of two sets, that is assumed."""
    sets = [len(symbol) > 1 or symbol == "?" for symbol in (this, other)]
    return all(sets) or fnmatchcase(this, other) or fnmatchcase(other, this)


def _similar(glob: str, kinds: Sequence[str]) -> Iterator[str]:
    """Yield globs that *glob* may have meant, the likeliest first."""
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
