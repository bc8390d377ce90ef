"""`janitor policies`: writes policies that enforce tags and limits where resources are made."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import botocore.session
import typer

from ml_janitor.config.layers import suggest_nearest
from ml_janitor.config.sections import PoliciesSection
from ml_janitor.core.text import escape_text
from ml_janitor_cli import edge
from ml_janitor_cli.failures import FailedError
from ml_janitor_cli.policies.documents import ImpossiblePolicyError, policy_files
from ml_janitor_cli.policies.statements import EnforcedLimits

policies = typer.Typer(rich_markup_mode=None, add_completion=False)

RECORD_FILE = ".janitor-policies.json"
"""The files written there last, by name and SHA-256: if a file differs, somebody has changed it."""


@policies.callback()
def _policies() -> None:
    """
    Enforce required tags and limits of jobs where resources are made.

    Nothing is asked of AWS and nothing is attached: docs/policies.md says how, and what each cannot do.
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
    try:
        texts = policy_files(
            EnforcedLimits(
                tags=tuple(settings.sections["untagged-resources"].required),  # type: ignore[attr-defined]
                max_runtime=section.max_runtime // timedelta(seconds=1),
                max_keep_alive=section.max_keep_alive // timedelta(seconds=1),
                instance_types=tuple(section.instance_types),
                exempt=tuple(section.exempt_roles),
            )
        )
    except ImpossiblePolicyError as error:
        raise edge.CommandRefusedError(str(error)) from error
    write_policy_files(directory, texts, force=force)
    for name, text in texts.items():
        sys.stdout.write(f"{escape_text(str(directory / name))}  {len(text):,} characters\n")
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

    Raises Refused where somebody changed a file, and FailedError where a file cannot be written.
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
        raise FailedError(
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
            raise FailedError(f"{directory / name} cannot be written: {reason}; run it again once it can")


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
