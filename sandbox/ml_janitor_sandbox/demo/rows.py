"""
The demo account's resources in the TOML tables of `account/`: one resource a line, named by its key.

TOML rather than CSV, because rows hold lists and tables of their own (an endpoint's variants), and because
most rows leave most fields out. The row `"*"` holds what the rows of its section have in common, `labels`
names a set of labels in `people.toml`, and a time is how long before the demo's now: "3d 5h 12m".
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, TypeAdapter

from ml_janitor_sandbox.demo.plan import Plan, name_member, sagemaker_arn
from ml_janitor_sandbox.demo.times import NOW

ACCOUNT = Path(__file__).parent / "account"
UNITS = {"d": "days", "h": "hours", "m": "minutes"}

DOMAIN = "example.com"
PIPELINE = "deploy-pipeline"
"""The role that creates most things in production."""


def read(file: str) -> dict[str, dict[str, Any]]:
    """Read a table of `account/`, by section."""
    return tomllib.loads((ACCOUNT / file).read_text(encoding="utf-8"))


def look_up[V](known: Mapping[str, V], name: str, what: str) -> V:
    """Return the value of *name*; `ValueError` says that it is not a *what*."""
    if name not in known:
        raise ValueError(f"{name!r} is no {what}; known: {', '.join(known)}")
    return known[name]


def span(text: str) -> timedelta:
    """Parse a duration such as "3d 5h 12m"."""
    return timedelta(**{look_up(UNITS, part[-1], "unit"): float(part[:-1]) for part in text.split()})


Span = Annotated[timedelta, BeforeValidator(span)]
Ago = Annotated[datetime, BeforeValidator(lambda text: NOW - span(text))]


@dataclass(frozen=True, slots=True)
class Project:
    """Something a *team* works on, who leads it, and who pays."""

    name: str
    team: str
    cost_center: str
    lead: str


PEOPLE = read("people.toml")
PROJECTS = {name: Project(name, **members) for name, members in PEOPLE["projects"].items()}
LABELS: Mapping[str, dict[str, Any]] = PEOPLE["labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A resource, the tags that its labels give it, and what an audit should say of it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    resource: ClassVar[str]
    """Its type, as in its ARN."""

    name: str
    project: Annotated[str, AfterValidator(lambda name: look_up(PROJECTS, name, "project").name)] = ""
    """Without one, it has no labels."""
    environment: str = "staging"
    managed_by: str = "manual"
    owner: str = ""
    """By default the project's lead."""
    stack: str = ""
    """The CloudFormation stack that made it."""
    also: Mapping[str, str] = field(default_factory=dict)
    """Further tags."""
    without: tuple[str, ...] = ()
    """Tags that are left out."""
    by: str = ""
    """Who created it, if not whom its labels suggest."""

    waste: str = ""
    """Why it is waste, which a signal proves."""
    likely_waste: str = ""
    """Why it is waste, as far as the absence of a signal can tell."""
    lookalike: str = ""
    """Why it is not waste, although a hasty rule would think so."""
    unknown: str = ""
    """Why nobody can tell."""

    def common(self) -> dict[str, Any]:
        """Return the members that all rows have, with their values in this one."""
        return {column.name: getattr(self, column.name) for column in fields(Row)}

    @property
    def arn(self) -> str:
        return sagemaker_arn(self.resource, self.name)

    @property
    def in_use(self) -> bool:
        """Tell whether it is neither waste nor impossible to judge."""
        return not (self.waste or self.likely_waste or self.unknown)

    @property
    def creator(self) -> str:
        """Return the user whom CloudTrail names: a person for what was made by hand, else the pipeline."""
        if self.by or self.managed_by != "manual":
            return self.by or PIPELINE
        return self.owner or PROJECTS[self.project].lead

    @property
    def labels(self) -> dict[str, str]:
        values = self._labels() if self.project else {}
        values |= self.also
        return {key: value for key, value in values.items() if key not in self.without}

    def tags(self) -> list[dict[str, str]]:
        """Return its tags as the Tags of a Create call."""
        return [{"Key": key, "Value": value} for key, value in self.labels.items()]

    def _labels(self) -> dict[str, str]:
        project = PROJECTS[self.project]
        values = {
            "team": project.team,
            "project": self.project,
            "environment": self.environment,
            "cost-center": project.cost_center,
            "managed-by": self.managed_by,
            "owner": f"{self.owner or project.lead}@{DOMAIN}",
        }
        return values | {"aws:cloudformation:stack-name": self.stack} if self.stack else values

    def make(self, plan: Plan, at: datetime, kind: str, **params: Any) -> None:
        """Have its creator make a SageMaker resource of a *kind*, with its tags and by default its name."""
        named = {name_member(kind): self.name, **params, "Tags": self.tags()}
        plan.call(at, self.creator, f"sagemaker.create_{kind}", **named)

    def plan(self, plan: Plan) -> None:
        """Add every call, metric and log line that makes it what it is."""
        raise NotImplementedError


def load[R: Row](file: str, default: type[R], **kinds: type[R]) -> tuple[R, ...]:
    """Load the rows of *file* in order, each of the class that its `kind` names in *kinds*, or *default*."""
    found: list[R] = []
    checked = {word: TypeAdapter(dict[str, kind]) for word, kind in {"": default, **kinds}.items()}  # type: ignore[valid-type]  # told at run time
    for section in read(file).values():
        common = section.pop("*", {})
        for name, row in section.items():
            members = {**common, **row, "name": name}
            labels = look_up(LABELS, members.pop("labels", "manual"), f"set of labels, in {name}")
            kind = look_up(checked, members.pop("kind", ""), f"kind, in {name}")
            found += kind.validate_python({name: labels | members}).values()
    return tuple(found)
