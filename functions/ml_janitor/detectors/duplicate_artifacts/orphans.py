"""What is loaded by the name of a model or package that was deleted since: nobody knows from where. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ml_janitor.detectors.duplicate_artifacts.manifests import members

NAMES = {
    "InferenceComponent": ("ModelName", "serves", "model"),
    "Model": ("ModelPackageName", "is made of", "model package"),
}
"""Whose description names what it loads, in which member, instead of telling where that lies."""

UNKNOWN = "which exists no more: what it loads is unknown"


@dataclass(frozen=True, slots=True)
class Named:
    """*by* loads what the *kind* ("model") called *name* refers to; *verb* is how that is said."""

    by: str
    verb: str
    kind: str
    name: str

    def within(self, account: str, region: str) -> bool:
        """Whether it is of this account and region: what others hold is not listed here."""
        return not self.name.startswith("arn:") or self.name.split(":")[3:5] == [region, account]


def named(by: str, noun: str, description: dict[str, Any]) -> Iterator[Named]:
    """What *description*, of a *noun*, names."""
    if noun in NAMES:
        member, verb, kind = NAMES[noun]
        for one in members(description):
            if name := one.get(member):
                yield Named(by, verb, kind, name)


def orphaned(
    found: Iterable[Named], there: Mapping[str, Collection[str]], account: str, region: str
) -> Iterator[str]:
    """Which of *found* are not *there* any more, by kind, in words. Names and ARNs count in any case."""
    known = {kind: {bare(name).lower() for name in names} for kind, names in there.items()}
    for one in found:
        if one.within(account, region) and bare(one.name).lower() not in known[one.kind]:
            yield f"{one.by} {one.verb} {one.kind} {bare(one.name)}, {UNKNOWN}"


def bare(name: str) -> str:
    """*name* without its ARN: of a version in a group, "churn/3"."""
    return name.partition("model-package/")[2] or name
