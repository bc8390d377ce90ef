"""Policy documents, and what they say about one action on one resource."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ml_janitor_sandbox.iam import conditions
from ml_janitor_sandbox.iam.conditions import ARN_PARTS, Condition, Context, arn_like, like

VERSION = "2012-10-17"
ELEMENTS = {"Action", "Condition", "Effect", "NotAction", "NotResource", "Principal", "Resource", "Sid"}


class PolicyKind(Enum):
    """The place of a policy: at an identity, at a role as whom it trusts, or at a resource."""

    IDENTITY = "an identity policy has resources and no principals"
    TRUST = "a trust policy has principals and no resources"
    RESOURCE = "a resource policy has principals and resources"


class Decision(Enum):
    """The decision of a set of policies; an explicit deny wins over every allow."""

    ALLOWED = "allowed"
    SILENT = "not mentioned"
    DENIED = "explicitly denied"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. *principals* are names; an identity policy has none, and a trust policy no resources."""

    allows: bool
    actions: tuple[str, ...]
    all_but_actions: bool
    resources: tuple[str, ...] | None
    all_but_resources: bool
    principals: frozenset[str] | None
    conditions: tuple[Condition, ...]

    @classmethod
    def of(cls, given: dict[str, Any], kind: PolicyKind) -> Statement:
        """Read one statement. `ValueError` for what IAM would refuse or the sandbox could not judge."""
        if unknown := set(given) - ELEMENTS:
            raise ValueError(f"unknown elements of a statement: {', '.join(sorted(unknown))}")
        if given.get("Effect") not in ("Allow", "Deny"):
            raise ValueError(f"Effect must be Allow or Deny, not {given.get('Effect')}")
        actions, all_but_actions = _either(given, "Action")
        if kind is PolicyKind.TRUST:
            resources, all_but_resources = None, False
        else:
            resources, all_but_resources = _either(given, "Resource")
            if short := [arn for arn in resources if arn != "*" and arn.count(":") < ARN_PARTS - 1]:
                raise ValueError(f"a Resource is * or a whole ARN, not {', '.join(short)}")
        unasked = kind is PolicyKind.TRUST and {"Resource", "NotResource"} & set(given)
        if (kind is PolicyKind.IDENTITY) == ("Principal" in given) or unasked:
            raise ValueError(kind.value)
        return cls(
            allows=given["Effect"] == "Allow",
            actions=tuple(action.lower() for action in actions),
            all_but_actions=all_but_actions,
            resources=resources,
            all_but_resources=all_but_resources,
            principals=_principals(given["Principal"]) if "Principal" in given else None,
            conditions=conditions.read(given.get("Condition", {})),
        )

    def applies(self, action: str, resource: str, context: Context, principals: frozenset[str]) -> bool:
        """Tell whether it is about this request, made by someone with these names."""
        named = any(like(pattern, action.lower()) for pattern in self.actions)
        if named == self.all_but_actions:
            return False
        if self.resources is not None:
            covered = any(arn_like(pattern, resource) for pattern in self.resources)
            if covered == self.all_but_resources:
                return False
        if self.principals is not None and not self.principals & principals:
            return False
        return all(condition.holds(context) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy document."""

    statements: tuple[Statement, ...]

    @classmethod
    def of(cls, document: dict[str, Any], kind: PolicyKind = PolicyKind.IDENTITY) -> Policy:
        """Read a document. `ValueError` says what is wrong with it."""
        if document.get("Version") != VERSION:
            raise ValueError(f"Version must be {VERSION}, not {document.get('Version')}")
        if not document.get("Statement"):
            raise ValueError("a policy needs a Statement")
        return cls(tuple(Statement.of(statement, kind) for statement in _listed(document["Statement"])))


def decide(
    policies: Iterable[Policy],
    action: str,
    resource: str,
    context: Context,
    principals: frozenset[str] = frozenset(),
) -> tuple[Decision, tuple[int, ...]]:
    """Return the decision of all policies, and the numbers of the deciding statements, over all policies."""
    statements = [statement for policy in policies for statement in policy.statements]
    matching = {
        number: statement.allows
        for number, statement in enumerate(statements)
        if statement.applies(action, resource, context, principals)
    }
    if denying := tuple(number for number, allows in matching.items() if not allows):
        return Decision.DENIED, denying
    return (Decision.ALLOWED if matching else Decision.SILENT), tuple(matching)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _either(given: dict[str, Any], name: str) -> tuple[tuple[str, ...], bool]:
    """Return the member that is there, *name* or its Not (such as `NotAction`), and whether it is the Not."""
    there = [member for member in (name, f"Not{name}") if member in given]
    if len(there) != 1:
        raise ValueError(f"a statement has either {name} or Not{name}")
    values = tuple(_listed(given[there[0]]))
    if any(not isinstance(value, str) or "${" in value for value in values):
        raise ValueError(f"{there[0]} must be plain texts without variables, not {values}")
    return values, there[0] != name


def _principals(element: Any) -> frozenset[str]:
    """Return the names of principals: ARNs, account numbers, services, or *."""
    if element == "*":
        return frozenset({"*"})
    if unknown := set(element) - {"AWS", "Service"}:
        raise ValueError(
            f"the sandbox knows the principals AWS and Service, not {', '.join(sorted(unknown))}"
        )
    return frozenset(name for names in element.values() for name in _listed(names))
