"""`janitor policies`: writes policies that enforce tags and limits where resources are made."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import botocore.session
import typer

from ml_janitor.config.sections import PoliciesSection
from ml_janitor.config.values import suggest_nearest
from ml_janitor.core.text import count_noun, escape_text
from ml_janitor_cli import edge

# --- command --------------------------------------------------------------------------------------

policies = typer.Typer(rich_markup_mode=None, add_completion=False)

RECORD_FILE = ".janitor-policies.json"
"""The files written there last, by name and SHA-256: if a file differs, somebody has changed it."""


@policies.callback()
def _policies() -> None:
    """
    Enforce tags and limits of jobs where resources are made.

    Nothing is asked of AWS and nothing is attached: janitor docs policies says how, and what each cannot do.
    """


@policies.command()
def write(
    ctx: typer.Context,
    directory: Annotated[Path, edge.argument("DIR", "Where to; made if it is not there.")],
    *,
    force: Annotated[
        bool, edge.flag("--force", "Overwrite files that were changed since they were written.")
    ] = False,
    overrides: edge.Overrides = None,
    config: edge.SettingsFile = None,
) -> int:
    """
    Write policies that enforce tags and limits into DIR.

    A tag policy, SCPs, an IAM policy, AWS Config rules, a CDK aspect, and Rego for Terraform plans. The tags
    are `required` of untagged-resources, the limits those of [policies] in janitor.toml.
    """
    settings = edge.load_settings(config, overrides, ctx.obj)
    section = settings.policies
    check_instance_types(section)
    texts = policy_files(
        EnforcedLimits(
            tags=tuple(settings.sections["untagged-resources"].required),  # type: ignore[attr-defined]
            max_runtime=section.max_runtime // timedelta(seconds=1),
            max_keep_alive=section.max_keep_alive // timedelta(seconds=1),
            instance_types=tuple(section.instance_types),
            exempt=tuple(section.exempt_roles),
        )
    )
    write_policy_files(directory, texts, force=force)
    for name, text in texts.items():
        sys.stdout.write(f"{escape_text(str(directory / name))}  {count_noun(len(text), 'character')}\n")
    if not section.instance_types:
        sys.stdout.write("policies.instance_types is empty: jobs may run on any instance type\n")
    return 0


def check_instance_types(section: PoliciesSection) -> None:
    """Refuse a pattern that no instance type of a job matches: nothing would be allowed by it."""
    if not section.instance_types:
        return
    known = job_instance_types()
    for pattern in section.instance_types:
        if not fnmatch.filter(known, pattern):
            raise edge.CommandRefusedError(
                f"policies.instance_types: no instance type of a job that this version knows is {pattern}"
                f"{suggest_nearest(pattern, known)}"
            )


def job_instance_types() -> list[str]:
    """List the instance types of training and processing jobs, by AWS's model of SageMaker."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    shapes = (model.shape_for(f"{job}InstanceType") for job in ("Training", "Processing"))
    return sorted({name for shape in shapes for name in shape.enum})  # type: ignore[attr-defined]


def write_policy_files(directory: Path, texts: Mapping[str, str], *, force: bool) -> None:
    """
    Write the files of *texts* by name, and the record; all of them, or on a refusal none.

    Raises CommandRefusedError where somebody changed a file, and FailedError where a file cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        before = read_policy_record(directory)
        changed = [
            name
            for name, text in texts.items()
            if (there := file_content(directory / name)) not in {None, text.encode()}
            and before.get(name) != file_digest(there or b"")
        ]
    except OSError as error:
        raise edge.FailedError(
            f"{directory}: {error.strerror or error}; nothing was written: name one that you may write to"
        ) from error
    if changed and not force:
        raise edge.CommandRefusedError(
            f"{directory}: {', '.join(changed)} {'was' if len(changed) == 1 else 'were'} not written by this "
            "command, or changed since. Nothing was written: name another directory, or give --force"
        )
    record = json.dumps({name: file_digest(text.encode()) for name, text in texts.items()}, indent=1) + "\n"
    for name, text in {**texts, RECORD_FILE: record}.items():
        if (reason := edge.replace_file(directory / name, text)) is not None:
            raise edge.FailedError(
                f"{directory / name} cannot be written: {reason}; run it again once it can"
            )


def file_content(path: Path) -> bytes | None:
    """Return the content of the file, or None if there is none."""
    return path.read_bytes() if path.exists() else None


def read_policy_record(directory: Path) -> dict[str, str]:
    """Return the content of the record; empty if it is invalid."""
    try:
        found = json.loads(file_content(directory / RECORD_FILE) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def file_digest(text: bytes) -> str:
    """Hash a file, to recognise it later."""
    return hashlib.sha256(text).hexdigest()


# --- files ----------------------------------------------------------------------------------------
# The required tags, the limits and AWS's actions determine the content of the files. Pure.

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


def policy_files(wanted: EnforcedLimits) -> dict[str, str]:
    """Return the text of each file by its name. Raises CommandRefusedError."""
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
    """Refuse keys that AWS refuses, or that are one key to IAM. Raises CommandRefusedError."""
    where = "detectors.untagged-resources.required"
    if not tags:
        raise edge.CommandRefusedError(
            f"{where}: it is empty, so there is no tag to enforce; name at least one"
        )
    for key in tags:
        if not TAG_KEY_PATTERN.fullmatch(key):
            raise edge.CommandRefusedError(
                f'{where}: "{key}" cannot be the key of a tag; expected at most 128 letters, digits, blanks '
                "and . : / = + - @ _, not beginning with aws:"
            )
    if len({key.lower() for key in tags}) < len(tags):
        raise edge.CommandRefusedError(
            f"{where}: two keys differ in capitals only, and are one key to IAM; keep one"
        )


def policy_text(document: PolicyJson, limit: int, what: str, remedy: str) -> str:
    """Return *document* as text, a statement or tag to a line. Raises CommandRefusedError beyond *limit*."""
    text = json_lines(document)
    if len(text) > limit:
        raise edge.CommandRefusedError(
            f"the {what} would have {count_noun(len(text), 'character')}, and AWS takes {limit:,}: {remedy}"
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
    text = packaged_text(template)
    return re.sub(
        r"([ \t]+)@TAGS@\n", lambda found: "".join(f"{found[1]}{json.dumps(key)},\n" for key in tags), text
    )


# --- statements -----------------------------------------------------------------------------------
# Each statement denies by a key that AWS's actions know. Pure.

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
    found: dict[str, Any] = json.loads(packaged_text("kinds.json"))
    return found


def packaged_text(name: str) -> str:
    """Return the text of the package's file *name*."""
    return (files(__package__) / "policy_files" / name).read_text(encoding="utf-8")


def taggable_kinds() -> list[dict[str, Any]]:
    """Return the kinds whose Create actions an SCP may refuse."""
    return [kind for kind in policy_kinds_data()["kinds"] if kind["kind"] not in UNTAGGABLE_KINDS]


def actions_knowing_key(key: str, names: Iterable[str]) -> list[str]:
    """Return the actions of *names* that know the condition *key*: for others, the key is always absent."""
    return [action for name in names if (action := f"sagemaker:{name}") in policy_kinds_data()["limits"][key]]
