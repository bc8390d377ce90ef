"""The statements of the SCPs and the IAM policy: denials over what AWS's actions know. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

type PolicyJson = dict[str, Any]
type DenyStatement = dict[str, Any]

CLOUDFORMATION_SERVICE = "cloudformation.amazonaws.com"

UNTAGGABLE_KINDS = {"space"}
"""
Kinds that no policy refuses without tags: Studio creates a space when somebody opens an application, and asks
nobody for tags. By a setting of its domain, it copies those of the domain (SageMaker developer guide, "Custom
tag propagation").
"""

JOB_CALLS = ("CreateHyperParameterTuningJob", "CreateProcessingJob", "CreateTrainingJob")
"""Calls that create jobs, which run for as long as they are allowed to."""

POOL_CALLS = ("CreateTrainingJob", "UpdateTrainingJob")
"""Calls that keep instances waiting after a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnforcedLimits:
    """
    The wishes that the policies enforce.

    *tags* are the keys that everything needs. Times are in seconds. *instance_types* may hold * and ?; when
    empty, every type is allowed. *exempt* are ARNs of roles that are refused nothing.
    """

    tags: tuple[str, ...]
    max_runtime: int
    max_keep_alive: int
    instance_types: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()


def make_policy(statements: Iterable[DenyStatement]) -> PolicyJson:
    """Build an SCP, or an identity policy: the same words serve as both."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def tag_denials(wanted: EnforcedLimits) -> list[DenyStatement]:
    """
    Return, for each tag, a statement that denies creating resources without it or with an empty value.

    A statement of its own for each: the conditions of one all have to hold. A negated operator holds for an
    absent key (IAM user guide, "Condition operators"), so `StringNotLike` "?*" is both absent and empty. If
    CloudFormation creates a resource first and tags it then, creation is denied only to callers that do not
    come through CloudFormation; with `ForAllValues`, that includes calls without `aws:CalledVia`.
    """
    at_once = [kind for kind in taggable_kinds() if kind["tag_on_create"] is not False]
    later = [kind for kind in taggable_kinds() if kind["tag_on_create"] is False]
    directly = {"ForAllValues:StringNotEquals": {"aws:CalledVia": [CLOUDFORMATION_SERVICE]}}
    return [
        deny_statement(
            wanted,
            f"{name}{suffix}",
            sorted(action for kind in those for action in kind["actions"]),
            {"StringNotLike": {f"aws:RequestTag/{key}": "?*"}} | when,
        )
        for key, name in zip(wanted.tags, statement_ids(wanted.tags), strict=True)
        for suffix, those, when in (("", at_once, {}), ("Direct", later, directly))
        if those
    ]


def job_denials(wanted: EnforcedLimits) -> list[DenyStatement]:
    """
    Return denials of jobs that may run too long, on other instances, or keep them waiting too long.

    A job that states no MaxRuntime, or no instance type, is denied too. No KeepAlivePeriod means no pool.
    """
    runtime, pool, types = (
        f"sagemaker:{key}" for key in ("MaxRuntimeInSeconds", "KeepAlivePeriod", "InstanceTypes")
    )
    found = [
        deny_statement(
            wanted,
            "RuntimeAboveLimitOrNotStated",
            actions_knowing_key(runtime, JOB_CALLS),
            {"NumericGreaterThanIfExists": {runtime: str(wanted.max_runtime)}},
        ),
        deny_statement(
            wanted,
            "WarmPoolAboveLimit",
            actions_knowing_key(pool, POOL_CALLS),
            {"NumericGreaterThan": {pool: str(wanted.max_keep_alive)}},
        ),
    ]
    if wanted.instance_types:
        allowed = {"ForAnyValue:StringNotLike": {types: list(wanted.instance_types)}}
        found += [
            deny_statement(wanted, "InstanceTypeNotAllowed", actions_knowing_key(types, JOB_CALLS), allowed),
            deny_statement(
                wanted,
                "InstanceTypeNotStated",
                actions_knowing_key(types, JOB_CALLS),
                {"Null": {types: "true"}},
            ),
        ]
    return found


def deny_statement(
    wanted: EnforcedLimits, name: str, actions: Sequence[str], when: dict[str, Any]
) -> DenyStatement:
    """Build one statement that holds for everybody but exempt roles."""
    exempt = {"ArnNotLike": {"aws:PrincipalArn": list(wanted.exempt)}} if wanted.exempt else {}
    return {
        "Sid": name,
        "Effect": "Deny",
        "Action": list(actions),
        "Resource": "*",
        "Condition": when | exempt,
    }


def statement_ids(tags: Sequence[str]) -> list[str]:
    """Name the statements about *tags*: letters and digits, each name once, as IAM wants it."""
    words = (re.findall(r"[A-Za-z0-9]+", key) for key in tags)
    names = ["No" + "".join(word[:1].upper() + word[1:] for word in parts) for parts in words]
    return [
        name if names.count(name) == 1 else f"{name}{number}" for number, name in enumerate(names, start=1)
    ]


@cache
def policy_kinds_data() -> dict[str, Any]:
    """Return the data that `python -m docs.policy_kinds` has read from AWS's references."""
    found: dict[str, Any] = json.loads((files(__package__) / "kinds.json").read_text(encoding="utf-8"))
    return found


def taggable_kinds() -> list[dict[str, Any]]:
    """Return the kinds whose Create actions an SCP may refuse."""
    return [kind for kind in policy_kinds_data()["kinds"] if kind["kind"] not in UNTAGGABLE_KINDS]


def actions_knowing_key(key: str, names: Iterable[str]) -> list[str]:
    """Return the actions of *names* that know the condition *key*: for others, the key is always absent."""
    return [action for name in names if (action := f"sagemaker:{name}") in policy_kinds_data()["limits"][key]]
