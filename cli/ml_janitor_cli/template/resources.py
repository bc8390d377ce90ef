"""A template of CloudFormation, built resource by resource: logical ids and policies are as CDK's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ACCOUNT, REGION = "${AWS::AccountId}", "${AWS::Region}"
PARTITION, URL_SUFFIX = "${AWS::Partition}", "${AWS::URLSuffix}"

type Statement = dict[str, Any]
"""A statement of a policy, with lists of actions, resources and principals."""

TEXT_REFERENCE = re.compile(r"\$\{(AWS::\w+|\w+)(?:\.(\w+))?\}")
"""A reference in a text: to a pseudo parameter, to a resource, or to an attribute of a resource."""


@dataclass(frozen=True, slots=True)
class PolicyStatements:
    """A policy of *statements*, which are merged as CDK does; *numbered* ones get a Sid if they have none."""

    statements: list[Statement] = field(default_factory=list)
    numbered: bool = False


class StackTemplate:
    """
    The template of the stack *name*, whose roles have a path and a boundary, if those are set.

    A text may hold references: `${LogicalId}`, `${LogicalId.Attribute}`, `${AWS::Region}`. Names that are not
    resources of the template stay as they are.
    """

    def __init__(self, name: str, *, role_path: str = "/", permissions_boundary: str = "") -> None:
        self.name = name
        self.role_path = None if role_path == "/" else role_path
        self.permissions_boundary = permissions_boundary or None
        self.resources: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, dict[str, Any]] = {}
        self.conditions: dict[str, dict[str, Any]] = {}

    def add(
        self,
        path: str,
        kind: str,
        properties: Mapping[str, Any],
        *,
        removal: str = "",
        after: Sequence[str] = (),
        condition: str = "",
    ) -> str:
        """
        Add a resource and return its logical id, which CDK makes from its *path*; a None is left out.

        *removal* says what becomes of it when it leaves the stack, and *after* what has to be there before.
        It is made only where the *condition* of that name holds.
        """
        where = {"Condition": condition} if condition else {}
        made = {"Type": kind, **where, "Properties": {k: v for k, v in properties.items() if v is not None}}
        policies = {"UpdateReplacePolicy": removal, "DeletionPolicy": removal} if removal else {}
        id_ = logical_id(path)
        self.resources[id_] = {**made, **({"DependsOn": sorted(after)} if after else {}), **policies}
        return id_

    def output(self, name: str, value: str, description: str = "") -> None:
        """Add an output."""
        self.outputs[name] = {**({"Description": description} if description else {}), "Value": value}

    def render(self) -> dict[str, Any]:
        """Return the template as CloudFormation takes it."""
        conditions = {"Conditions": self.conditions} if self.conditions else {}
        parts = {"Resources": self.resources, "Outputs": self.outputs}
        return {**conditions, **{name: self._filled_in(part) for name, part in parts.items()}}

    def _filled_in(self, value: Any) -> Any:
        match value:
            case str() if "${" in value:
                return self._joined(value)
            case {"Fn::Sub": _}:
                return value
            case PolicyStatements():
                return self._document(value)
            case dict():
                return {key: self._filled_in(item) for key, item in value.items()}
            case list():
                return [self._filled_in(item) for item in value]
            case _:
                return value

    def _joined(self, text: str) -> Any:
        """Return *text* as a join of its parts and references."""
        parts: list[Any] = []
        end = 0
        for found in TEXT_REFERENCE.finditer(text):
            if found[1] not in self.resources and not found[1].startswith("AWS::"):
                continue
            of = {"Fn::GetAtt": [found[1], found[2]]} if found[2] else {"Ref": found[1]}
            parts += [text[end : found.start()], of]
            end = found.end()
        parts = [part for part in (*parts, text[end:]) if part != ""]
        return parts[0] if len(parts) == 1 else {"Fn::Join": ["", parts]}

    def _document(self, document: PolicyStatements) -> dict[str, Any]:
        made: list[dict[str, Any]] = []
        for statement in merge_statements(document.statements):
            filled = {
                "Action": _sorted(statement["Action"]),
                **({"Condition": self._filled_in(c)} if (c := statement.get("Condition")) else {}),
                "Effect": statement["Effect"],
            }
            if statement["Resource"]:
                filled["Resource"] = _sorted(self._filled_in(statement["Resource"]))
            if principal := statement.get("Principal"):
                own = self._filled_in(principal)
                filled["Principal"] = own if isinstance(own, str) else {k: _sorted(v) for k, v in own.items()}
            if sid := statement.get("Sid"):
                filled["Sid"] = sid
            if filled not in made:
                made.append(filled)
        for number, filled in enumerate(made if document.numbered else ()):
            filled.setdefault("Sid", str(number))
        return {"Statement": made, "Version": "2012-10-17"}


def logical_id(path: str) -> str:
    """Return the logical id that CDK gives to the resource at *path* within its stack."""
    names = path.split("/")
    told = [
        name
        for name, before in zip(names, ["", *names], strict=False)
        if not before.endswith(name) or not before
    ]
    human = "".join(re.sub("[^A-Za-z0-9]", "", name) for name in told if name != "Resource")
    return human[:240] + hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()[:8].upper()


def allow_actions(
    actions: Sequence[str], *resources: str, when: Mapping[str, Any] | None = None
) -> Statement:
    """Return a statement that allows *actions* on *resources*."""
    return {"Effect": "Allow", "Action": [*actions], "Resource": [*resources], "Condition": when or {}}


# --- policies -------------------------------------------------------------------------------------
# CDK's rules (aws-cdk-lib, aws-iam: merge-statements, policy-document, role), so that both ways of deploying
# make the same policies.

MERGED_SIZE, INLINE_SIZE, MANAGED_SIZE = 2_000, 10_000, 6_000
"""Estimated characters of a merged statement, of the policy in a role, and of a managed one."""

REFERENCE_SIZE = 110
"""Estimated characters of an ARN with a reference: arnSizeEstimate of cdk.json."""


def merge_statements(statements: Iterable[Statement], *, limited: bool = False) -> list[Statement]:
    """Merge statements that differ in actions, resources or principals only; *limited* ones stay short."""
    merged = list(statements)
    changed = True
    while changed:
        changed, at = False, 0
        while at < len(merged):
            other = at + 1
            while other < len(merged):
                both = _combined(merged[at], merged[other])
                if both is None or (limited and _estimated_size(both) > MERGED_SIZE):
                    other += 1
                else:
                    merged[at], changed = both, True
                    del merged[other]
            at += 1
    return merged


def split_statements(statements: Iterable[Statement]) -> list[list[Statement]]:
    """Divide the statements of a role among its inline policy and as many managed policies as they need."""
    inline: list[Statement] = []
    more: list[list[Statement]] = []
    size = 0
    for statement in merge_statements(statements, limited=True):
        own = _estimated_size(statement)
        if size + own < INLINE_SIZE:
            inline.append(statement)
            size += own
            continue
        fits = (some for some in more if sum(map(_estimated_size, some)) + own <= MANAGED_SIZE)
        if (found := next(fits, None)) is None:
            more.append([statement])
        else:
            found.append(statement)
    return [inline, *more]


def _combined(first: Statement, second: Statement) -> Statement | None:
    """Return both statements as one, if two of action, resource and principal are the same."""
    if first.get("Sid") or second.get("Sid") or first["Effect"] != second["Effect"]:
        return None
    if json.dumps(first.get("Condition")) != json.dumps(second.get("Condition")):
        return None
    if first.get("Principal") != second.get("Principal"):
        return None
    parts = "Action", "Resource"
    if not any(set(first[part]) == set(second[part]) for part in parts):
        return None
    return first | {part: sorted({*first[part], *second[part]}) for part in parts}


def _estimated_size(statement: Statement) -> int:
    def count(name: str, unknown: int) -> int:
        return len(name) + 5 + sum((unknown if "${" in v else len(v)) + 3 for v in statement[name])

    conditions = len(json.dumps(statement.get("Condition") or {}, separators=(",", ":")))
    return (
        len(f'"Effect": "{statement["Effect"]}",')
        + count("Action", 20)
        + count("Resource", REFERENCE_SIZE)
        + conditions
    )


def _sorted(values: Any) -> Any:
    """Return *values* in their order as JSON; a single value by itself."""
    if not isinstance(values, list):
        return values
    by_text = {json.dumps(value, separators=(",", ":"), ensure_ascii=False): value for value in values}
    found = [by_text[text] for text in sorted(by_text)]
    return found[0] if len(found) == 1 else found


# --- roles ----------------------------------------------------------------------------------------


def add_role(
    template: StackTemplate,
    path: str,
    *,
    service: str,
    description: str,
    statements: Iterable[Statement],
    when: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> tuple[str, list[str]]:
    """Add a role for *service* with its policies; return its logical id, and those of the policies."""
    trust = allow_actions(["sts:AssumeRole"]) | {"Principal": {"Service": f"{service}.amazonaws.com"}}
    role = template.add(
        f"{path}/Resource",
        "AWS::IAM::Role",
        {
            "AssumeRolePolicyDocument": PolicyStatements([trust | {"Condition": when or {}}]),
            "Description": description[:1000],
            "Path": template.role_path,
            "PermissionsBoundary": template.permissions_boundary,
            "RoleName": name,
        },
    )
    inline, *more = split_statements(statements)
    policies = [add_policy(template, f"{path}/DefaultPolicy", role, inline)]
    for number, some in enumerate(more, 1):
        managed = {
            "Description": f"Part of the policies for {template.name}/{path}",
            "Path": "/",
            "PolicyDocument": PolicyStatements(some),
            "Roles": [f"${{{role}}}"],
        }
        policies.append(
            template.add(f"{path}/OverflowPolicy{number}/Resource", "AWS::IAM::ManagedPolicy", managed)
        )
    return role, policies


def add_policy(template: StackTemplate, path: str, role: str, statements: list[Statement]) -> str:
    """Add an inline policy of *role*, and return its logical id."""
    path = f"{path}/Resource"
    own = {"PolicyName": logical_id(path), "Roles": [f"${{{role}}}"]}
    return template.add(path, "AWS::IAM::Policy", {"PolicyDocument": PolicyStatements(statements), **own})
