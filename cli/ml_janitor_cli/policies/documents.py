"""What the policy files say: pure, from the required tags, the limits, and what AWS's actions know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

type Document = dict[str, Any]
type Statement = dict[str, Any]

SCP_LIMIT = 10_240
"""
Characters of a service control policy, blanks too: the API saves a policy exactly as it is given.

AWS Organizations user guide, "Quotas and service limits", as of 2026; before, and in older texts, 5,120.
"""

TAG_POLICY_LIMIT = 10_000
"""Characters of a tag policy (AWS Organizations user guide, "Quotas and service limits")."""

IAM_LIMIT = 6_144
"""Characters of a managed policy without blanks (IAM user guide, "IAM and AWS STS quotas")."""

TAG_KEY = re.compile(r"(?!aws:)[\w\s.:/=+\-@]{1,128}", re.IGNORECASE)
"""SageMaker's API reference, Tag; the prefix aws: is AWS's own."""

CLOUDFORMATION = "cloudformation.amazonaws.com"

TAGGED_BY_NOBODY = {"space"}
"""
Kinds that no policy refuses without tags: Studio creates a space when somebody opens an application, and
asks nobody for tags. By a setting of its domain, it copies those of the domain (SageMaker developer guide,
"Custom tag propagation").
"""

JOBS = ("CreateHyperParameterTuningJob", "CreateProcessingJob", "CreateTrainingJob")
"""What runs for as long as it is allowed to."""

POOLS = ("CreateTrainingJob", "UpdateTrainingJob")
"""What keeps instances waiting after a job."""

TAG_POLICY_TYPES = (
    "ecr:repository",
    "s3:bucket",
    *(
        f"sagemaker:{kind}"
        for kind in (
            "cluster", "data-quality-job-definition", "domain", "endpoint", "endpoint-config",
            "inference-component", "model", "model-bias-job-definition",
            "model-explainability-job-definition", "model-package-group", "model-quality-job-definition",
            "monitoring-schedule", "notebook-instance", "pipeline", "processing-job", "space", "user-profile",
        )
    ),
)  # fmt: skip
"""
What a tag policy may require tags for, of what untagged-resources judges: training, tuning and transform jobs
are no such types. From AWS's mapping in hashicorp/terraform-provider-aws, internal/tags/tagpolicy, 2025-11.
"""

CONFIG_RULES: Mapping[str, str] = {
    "SAGEMAKER_APP_IMAGE_CONFIG_TAGGED": "Studio image configurations",
    "SAGEMAKER_DOMAIN_TAGGED": "Studio domains",
    "SAGEMAKER_FEATURE_GROUP_TAGGED": "feature groups",
    "SAGEMAKER_IMAGE_TAGGED": "Studio images",
    "SAGEMAKER_INFERENCEEXPERIMENT_TAGGED": "inference experiments",
    "ECR_REPOSITORY_TAGGED": "repositories",
}
"""AWS Config's managed rules for tags, as of 2026: none is for endpoints, notebooks, models or jobs."""

TAGS_A_RULE = 6
"""How many keys REQUIRED_TAGS takes (AWS Config developer guide, "required-tags")."""


class ImpossibleError(ValueError):
    """A policy cannot be written; one line that says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    What the policies enforce.

    *tags* are the keys that everything needs. Times are in seconds. *instance_types* may hold * and ?; when
    empty, every type is allowed. *exempt* are ARNs of roles that are refused nothing.
    """

    tags: tuple[str, ...]
    max_runtime: int
    max_keep_alive: int
    instance_types: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()


def written(wanted: Wanted) -> dict[str, str]:
    """The text of each file by its name. Raises ImpossibleError."""
    check_tags(wanted.tags)
    limits = policy(job_limits(wanted))
    return {
        "tag-policy.json": fitting(tag_policy(wanted.tags), TAG_POLICY_LIMIT, "tag policy", FEWER_TAGS),
        "required-tags.scp.json": fitting(policy(required_tags(wanted)), SCP_LIMIT, SCP, FEWER_TAGS),
        "job-limits.scp.json": fitting(limits, SCP_LIMIT, SCP, SHORTER_LIST),
        "job-limits.iam.json": fitting(limits, IAM_LIMIT, "managed policy", SHORTER_LIST),
        "config-rules.json": json.dumps(config_rules(wanted.tags), indent=2) + "\n",
        "required_tags.py": filled("required_tags.py.template", wanted.tags),
        "required_tags.rego": filled("required_tags.rego.template", wanted.tags),
    }


SCP = "service control policy"
FEWER_TAGS = (
    "write it for a part of the tags at a time, into two directories, and attach both: "
    "--set 'untagged-resources.required=[\"team\"]'"
)
SHORTER_LIST = 'write fewer or wider patterns in policies.instance_types, such as "ml.g5.*"'


def check_tags(tags: Sequence[str]) -> None:
    """Refuse keys that AWS refuses, or that are one key to IAM. Raises ImpossibleError."""
    where = "detectors.untagged-resources.required"
    if not tags:
        raise ImpossibleError(f"{where}: it is empty, so there is no tag to enforce; name at least one")
    for key in tags:
        if not TAG_KEY.fullmatch(key):
            raise ImpossibleError(
                f'{where}: "{key}" cannot be the key of a tag; expected at most 128 letters, digits, blanks '
                "and . : / = + - @ _, not beginning with aws:"
            )
    if len({key.lower() for key in tags}) < len(tags):
        raise ImpossibleError(f"{where}: two keys differ in capitals only, and are one key to IAM; keep one")


def fitting(document: Document, limit: int, what: str, remedy: str) -> str:
    """*document* as text, a statement or tag to a line. Raises ImpossibleError if it exceeds *limit*."""
    text = lines(document)
    if len(text) > limit:
        raise ImpossibleError(
            f"the {what} would have {len(text):,} characters, and AWS takes {limit:,}: {remedy}"
        )
    return text


def lines(document: Document) -> str:
    """JSON without blanks, which count, but with each statement or tag on a line of its own."""
    head, body = list(document.items())[:-1], next(reversed(document.items()))
    begins = "".join(f"{dense(key)}:{dense(value)}," for key, value in head)
    if isinstance(body[1], Mapping):
        parts = [f"{dense(key)}:{dense(value)}" for key, value in body[1].items()]
        opening, closing = "{}"
    else:
        parts = [dense(one) for one in body[1]]
        opening, closing = "[]"
    between = ",\n"
    return f"{{{begins}{dense(body[0])}:{opening}\n{between.join(parts)}\n{closing}}}\n"


def dense(value: object) -> str:
    """*value* as JSON without blanks."""
    return json.dumps(value, separators=(",", ":"))


def policy(statements: Iterable[Statement]) -> Document:
    """An SCP, or an identity policy: the same words serve as both."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def tag_policy(tags: Iterable[str]) -> Document:
    """Spells each key, and says which types of resources need it: reported, and refused by tools that ask."""
    return {
        "tags": {
            key: {
                "tag_key": {"@@assign": key},
                "report_required_tag_for": {"@@assign": list(TAG_POLICY_TYPES)},
            }
            for key in tags
        }
    }


def required_tags(wanted: Wanted) -> list[Statement]:
    """
    For each tag, a statement that denies creating what comes without it or with an empty value.

    A statement of its own for each: the conditions of one all have to hold. A negated operator holds for an
    absent key (IAM user guide, "Condition operators"), so `StringNotLike` "?*" is both absent and empty. What
    CloudFormation creates first and tags then is denied only to those who do not come through it; with
    `ForAllValues`, that is also where `aws:CalledVia` is absent.
    """
    at_once = [kind for kind in kinds() if kind["tag_on_create"] is not False]
    later = [kind for kind in kinds() if kind["tag_on_create"] is False]
    directly = {"ForAllValues:StringNotEquals": {"aws:CalledVia": [CLOUDFORMATION]}}
    return [
        deny(
            wanted,
            f"{name}{suffix}",
            actions_of(those),
            {"StringNotLike": {f"aws:RequestTag/{key}": "?*"}} | when,
        )
        for key, name in zip(wanted.tags, sids(wanted.tags), strict=True)
        for suffix, those, when in (("", at_once, {}), ("Direct", later, directly))
        if those
    ]


def job_limits(wanted: Wanted) -> list[Statement]:
    """
    What denies jobs that may run too long, on other instances, or keep them waiting too long.

    A job that states no MaxRuntime, or no instance type, is denied too. No KeepAlivePeriod means no pool.
    """
    runtime, pool, types = (
        f"sagemaker:{key}" for key in ("MaxRuntimeInSeconds", "KeepAlivePeriod", "InstanceTypes")
    )
    found = [
        deny(
            wanted,
            "RuntimeAboveLimitOrNotStated",
            knowing(runtime, JOBS),
            {"NumericGreaterThanIfExists": {runtime: str(wanted.max_runtime)}},
        ),
        deny(
            wanted,
            "WarmPoolAboveLimit",
            knowing(pool, POOLS),
            {"NumericGreaterThan": {pool: str(wanted.max_keep_alive)}},
        ),
    ]
    if wanted.instance_types:
        allowed = {"ForAnyValue:StringNotLike": {types: list(wanted.instance_types)}}
        found += [
            deny(wanted, "InstanceTypeNotAllowed", knowing(types, JOBS), allowed),
            deny(wanted, "InstanceTypeNotStated", knowing(types, JOBS), {"Null": {types: "true"}}),
        ]
    return found


def deny(wanted: Wanted, name: str, actions: Sequence[str], when: dict[str, Any]) -> Statement:
    """One statement, that holds for everybody but exempt roles."""
    exempt = {"ArnNotLike": {"aws:PrincipalArn": list(wanted.exempt)}} if wanted.exempt else {}
    return {
        "Sid": name,
        "Effect": "Deny",
        "Action": list(actions),
        "Resource": "*",
        "Condition": when | exempt,
    }


def sids(tags: Sequence[str]) -> list[str]:
    """What the statements about *tags* are called: letters and digits, each name once, as IAM wants it."""
    words = (re.findall(r"[A-Za-z0-9]+", key) for key in tags)
    names = ["No" + "".join(word[:1].upper() + word[1:] for word in each) for each in words]
    return [
        name if names.count(name) == 1 else f"{name}{number}" for number, name in enumerate(names, start=1)
    ]


@cache
def data() -> dict[str, Any]:
    """What `python -m docs.policy_kinds` has read from AWS's references."""
    found: dict[str, Any] = json.loads((files(__package__) / "kinds.json").read_text(encoding="utf-8"))
    return found


def kinds() -> list[dict[str, Any]]:
    """The kinds whose Create actions an SCP may refuse."""
    return [kind for kind in data()["kinds"] if kind["kind"] not in TAGGED_BY_NOBODY]


def actions_of(those: Iterable[Mapping[str, Any]]) -> list[str]:
    """What makes *those* kinds, of what knows aws:RequestTag."""
    return sorted(action for kind in those for action in kind["actions"])


def knowing(key: str, names: Iterable[str]) -> list[str]:
    """Those actions of *names* that know the condition *key*: with any other, the key is always absent."""
    return [action for name in names if (action := f"sagemaker:{name}") in data()["limits"][key]]


def config_rules(tags: Sequence[str]) -> Document:
    """A CloudFormation template of AWS Config's managed rules, which report what lacks the tags."""
    rules = {
        _logical(identifier): _rule(identifier, {"requiredKeyTags": ",".join(tags)}, f"{what} without tags")
        for identifier, what in CONFIG_RULES.items()
    }
    for part in range(0, len(tags), TAGS_A_RULE):
        keys = {f"tag{number}Key": key for number, key in enumerate(tags[part : part + TAGS_A_RULE], 1)}
        scope = {"Scope": {"ComplianceResourceTypes": ["AWS::S3::Bucket"]}}
        number = part // TAGS_A_RULE + 1
        rules[f"BucketsTagged{number}"] = _rule("REQUIRED_TAGS", keys, "buckets without tags", scope)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Reports what lacks required tags, where AWS Config records it. By janitor policies.",
        "Resources": rules,
    }


def _logical(identifier: str) -> str:
    return "".join(word.capitalize() for word in identifier.split("_"))


def _rule(identifier: str, given: Mapping[str, str], what: str, more: Document | None = None) -> Document:
    return {
        "Type": "AWS::Config::ConfigRule",
        "Properties": {
            "Description": f"Finds {what}",
            "Source": {"Owner": "AWS", "SourceIdentifier": identifier},
            "InputParameters": dict(given),
            **(more or {}),
        },
    }


def filled(template: str, tags: Sequence[str]) -> str:
    """A *template* of this package with the keys of *tags* in it, one to a line."""
    text = (files(__package__) / template).read_text(encoding="utf-8")
    return re.sub(
        r"([ \t]+)@TAGS@\n", lambda found: "".join(f"{found[1]}{json.dumps(key)},\n" for key in tags), text
    )
