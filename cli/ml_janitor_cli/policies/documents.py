"""The policy files' content: pure, from the required tags, the limits, and what AWS's actions know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files

from ml_janitor_cli.policies.statements import (
    EnforcedLimits,
    PolicyJson,
    job_denials,
    make_policy,
    tag_denials,
)

SCP_LIMIT = 10_240
"""
Characters of a service control policy, blanks too: the API saves a policy exactly as it is given.

AWS Organizations user guide, "Quotas and service limits", as of 2026; before, and in older texts, 5,120.
"""

TAG_POLICY_LIMIT = 10_000
"""Characters of a tag policy (AWS Organizations user guide, "Quotas and service limits")."""

IAM_LIMIT = 6_144
"""Characters of a managed policy without blanks (IAM user guide, "IAM and AWS STS quotas")."""

TAG_KEY_PATTERN = re.compile(r"(?!aws:)[\w\s.:/=+\-@]{1,128}", re.IGNORECASE)
"""SageMaker's API reference, Tag; the prefix aws: is AWS's own."""

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
Types of untagged-resources for which a tag policy may require tags: training, tuning and transform jobs are
not such types. From AWS's mapping in hashicorp/terraform-provider-aws, internal/tags/tagpolicy, 2025-11.
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
"""Maximum number of keys of REQUIRED_TAGS (AWS Config developer guide, "required-tags")."""


class ImpossiblePolicyError(ValueError):
    """A policy cannot be written; one line that says what to change."""


def policy_files(wanted: EnforcedLimits) -> dict[str, str]:
    """Return the text of each file by its name. Raises ImpossibleError."""
    check_tag_keys(wanted.tags)
    limits = make_policy(job_denials(wanted))
    return {
        "tag-policy.json": policy_text(tag_policy(wanted.tags), TAG_POLICY_LIMIT, "tag policy", FEWER_TAGS),
        "required-tags.scp.json": policy_text(
            make_policy(tag_denials(wanted)), SCP_LIMIT, SCP_NAME, FEWER_TAGS
        ),
        "job-limits.scp.json": policy_text(limits, SCP_LIMIT, SCP_NAME, SHORTER_LIST),
        "job-limits.iam.json": policy_text(limits, IAM_LIMIT, "managed policy", SHORTER_LIST),
        "config-rules.json": json.dumps(config_rules(wanted.tags), indent=2) + "\n",
        "required_tags.py": fill_template("required_tags.py.template", wanted.tags),
        "required_tags.rego": fill_template("required_tags.rego.template", wanted.tags),
    }


SCP_NAME = "service control policy"
FEWER_TAGS = (
    "write it for a part of the tags at a time, into two directories, and attach both: "
    "--set 'untagged-resources.required=[\"team\"]'"
)
SHORTER_LIST = 'write fewer or wider patterns in policies.instance_types, such as "ml.g5.*"'


def check_tag_keys(tags: Sequence[str]) -> None:
    """Refuse keys that AWS refuses, or that are one key to IAM. Raises ImpossibleError."""
    where = "detectors.untagged-resources.required"
    if not tags:
        raise ImpossiblePolicyError(f"{where}: it is empty, so there is no tag to enforce; name at least one")
    for key in tags:
        if not TAG_KEY_PATTERN.fullmatch(key):
            raise ImpossiblePolicyError(
                f'{where}: "{key}" cannot be the key of a tag; expected at most 128 letters, digits, blanks '
                "and . : / = + - @ _, not beginning with aws:"
            )
    if len({key.lower() for key in tags}) < len(tags):
        raise ImpossiblePolicyError(
            f"{where}: two keys differ in capitals only, and are one key to IAM; keep one"
        )


def policy_text(document: PolicyJson, limit: int, what: str, remedy: str) -> str:
    """Return *document* as text, a statement or tag to a line. Raises ImpossibleError beyond *limit*."""
    text = json_lines(document)
    if len(text) > limit:
        raise ImpossiblePolicyError(
            f"the {what} would have {len(text):,} characters, and AWS takes {limit:,}: {remedy}"
        )
    return text


def json_lines(document: PolicyJson) -> str:
    """Write JSON without blanks, which count, but with each statement or tag on a line of its own."""
    head, body = list(document.items())[:-1], next(reversed(document.items()))
    begins = "".join(f"{dense_json(key)}:{dense_json(value)}," for key, value in head)
    if isinstance(body[1], Mapping):
        parts = [f"{dense_json(key)}:{dense_json(value)}" for key, value in body[1].items()]
        opening, closing = "{}"
    else:
        parts = [dense_json(statement) for statement in body[1]]
        opening, closing = "[]"
    between = ",\n"
    return f"{{{begins}{dense_json(body[0])}:{opening}\n{between.join(parts)}\n{closing}}}\n"


def dense_json(value: object) -> str:
    """Return *value* as JSON without blanks."""
    return json.dumps(value, separators=(",", ":"))


def tag_policy(tags: Iterable[str]) -> PolicyJson:
    """Spell each key, and say which types of resources need it: reported, and refused by tools that ask."""
    return {
        "tags": {
            key: {
                "tag_key": {"@@assign": key},
                "report_required_tag_for": {"@@assign": list(TAG_POLICY_TYPES)},
            }
            for key in tags
        }
    }


def config_rules(tags: Sequence[str]) -> PolicyJson:
    """Build a CloudFormation template of AWS Config's managed rules, which report missing tags."""
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


def _rule(identifier: str, given: Mapping[str, str], what: str, more: PolicyJson | None = None) -> PolicyJson:
    return {
        "Type": "AWS::Config::ConfigRule",
        "Properties": {
            "Description": f"Finds {what}",
            "Source": {"Owner": "AWS", "SourceIdentifier": identifier},
            "InputParameters": dict(given),
            **(more or {}),
        },
    }


def fill_template(template: str, tags: Sequence[str]) -> str:
    """Fill a *template* of this package with the keys of *tags*, one to a line."""
    text = (files(__package__) / template).read_text(encoding="utf-8")
    return re.sub(
        r"([ \t]+)@TAGS@\n", lambda found: "".join(f"{found[1]}{json.dumps(key)},\n" for key in tags), text
    )
