"""The operator's policy: storage classes by age, and the folders that each policy covers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ml_janitor.core.durations import parse_duration
from ml_janitor.core.lifecycles import TRANSITION_CLASSES, LifecycleRule

_EXPIRE = "expire"
_ALL_FOLDERS = "*"

DEFAULT_TIERING_POLICIES: Mapping[str, str] = {
    "experiments": "STANDARD_IA 30d, GLACIER_IR 90d, DEEP_ARCHIVE 365d",
    "processed": "STANDARD_IA 60d, GLACIER_IR 180d",
    "logs": "expire 90d",
    "tmp": "expire 7d",
    "other": "STANDARD_IA 90d, GLACIER_IR 180d",
}
DEFAULT_TIERING_FOLDERS: Mapping[str, str] = {
    "*/experiments/": "experiments",
    "*/checkpoints/": "experiments",
    "*/processed/": "processed",
    "*/datasets/": "processed",
    "*/features/": "processed",
    "*/logs/": "logs",
    "*/tmp/": "tmp",
    "*": "other",
}


@dataclass(frozen=True, slots=True)
class TieringPolicy:
    """One policy: *transitions* are ages in days and storage classes, *expire* is the age of deletion."""

    name: str
    transitions: tuple[tuple[int, str], ...]
    expire: int | None

    @property
    def first(self) -> int:
        """The age in days at which it first acts."""
        return min([day for day, _ in self.transitions] + ([] if self.expire is None else [self.expire]))


@dataclass(frozen=True, slots=True)
class TieringPolicies:
    """Every policy by name, and *folders*: globs over "bucket/folder/" in order of precedence."""

    named: Mapping[str, TieringPolicy]
    folders: Mapping[str, str] = field(default_factory=dict)

    def of(self, place: str) -> TieringPolicy | None:
        """Return the policy of the folder *place* ("bucket/folder/") itself, of no folder above it."""
        found = (
            name for glob, name in self.folders.items() if glob != _ALL_FOLDERS and fnmatchcase(place, glob)
        )
        return next((self.named[name] for name in found), None)

    @property
    def otherwise(self) -> TieringPolicy | None:
        """The policy of folders that only the glob "*" matches."""
        return self.named[self.folders[_ALL_FOLDERS]] if _ALL_FOLDERS in self.folders else None


def parse_policies(policies: Mapping[str, str], folders: Mapping[str, str]) -> TieringPolicies:
    """Return the policies in an operator's settings. Raises ValueError for invalid ones."""
    named = {name: _policy(name, words) for name, words in policies.items()}
    for glob, name in folders.items():
        if name not in named:
            raise ValueError(f'folders: "{glob}" names the policy "{name}", which policies does not have')
        if glob != _ALL_FOLDERS and not glob.endswith("/"):
            raise ValueError(
                f'folders: expected a glob over "bucket/folder/" with its last slash, got "{glob}"'
            )
    return TieringPolicies(named, folders)


def _policy(name: str, words: str) -> TieringPolicy:
    steps = [step.split() for step in words.split(",")]
    wrong = f'policies.{name}: expected steps like "STANDARD_IA 30d, expire 365d", got "{words}"'
    if any(len(step) != 2 or step[0] not in {*TRANSITION_CLASSES, _EXPIRE} for step in steps):
        raise ValueError(wrong)
    try:
        ages = [(parse_duration(age).days, what) for what, age in steps]
    except ValueError as error:
        raise ValueError(wrong) from error
    moved = tuple((age, what) for age, what in ages if what != _EXPIRE)
    ends = [age for age, what in ages if what == _EXPIRE]
    if len(ends) > 1:
        raise ValueError(wrong)
    try:
        LifecycleRule(id=name, transitions=moved, expire_after=ends[0] if ends else None)
    except ValueError as error:
        raise ValueError(f"policies.{name}: {error}") from error
    return TieringPolicy(name, moved, ends[0] if ends else None)
