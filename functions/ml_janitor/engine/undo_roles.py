"""Limits the execution roles that the undo function may hand to SageMaker to `undo_roles`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from ml_janitor.aws.answers import is_refusal
from ml_janitor.engine.detector import CannotActError, Condition, Grant, implied_grant

PASS_ROLE = "iam:PassRole"  # noqa: S105 - an action
PASSED_TO_SAGEMAKER = (Condition("StringEquals", "iam:PassedToService", ("sagemaker.amazonaws.com",)),)


def pass_role_grants(roles: Sequence[str], *, source: str) -> tuple[Grant, ...]:
    """Return the permissions to hand each of *roles* (ARNs, or globs over them) to SageMaker."""
    return tuple(implied_grant(PASS_ROLE, on=role, source=source, when=PASSED_TO_SAGEMAKER) for role in roles)


def key_grant(source: str) -> Grant:
    """Return the permission to have SageMaker use the KMS key of a created resource."""
    for_aws = Condition("Bool", "kms:GrantIsForAWSResource", ("true",))
    return implied_grant("kms:CreateGrant", on="key/*", source=source, when=(for_aws,))


def missing_role_setting(roles: Sequence[str], role: str) -> str:
    """Return the setting that lets the undo function hand over *role*; "" if *roles* list it."""
    if not role or any(
        fnmatchcase(_without_partition(role), _without_partition(allowed)) for allowed in roles
    ):
        return ""
    return f'undo_roles = ["{role}"] in janitor'


def call_passing_role(call: Callable[[], object], role: str) -> None:
    """Make *call*, which hands *role* to SageMaker. Raises CannotActError if AWS refuses PassRole."""
    try:
        call()
    except Exception as error:
        if not is_refusal(error, ("AccessDeniedException", "AccessDenied"), PASS_ROLE):
            raise
        raise CannotActError(
            f"not authorized to perform {PASS_ROLE} on its role {role}: list that in undo_roles, or have it "
            "undone by hand by somebody who is"
        ) from error


def _without_partition(arn: str) -> str:
    """
    Return *arn* from its service on: a stack grants ARNs of the standard partition
    in its own partition.
    """
    return arn.split(":", 2)[-1]
