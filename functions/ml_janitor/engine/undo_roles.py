"""Limits the execution roles that the undo function may hand to SageMaker to `undo_roles`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from ml_janitor.aws.answers import refused_as
from ml_janitor.engine.detector import CannotActError, Condition, Grant, implied

CALL = "iam:PassRole"
TO_SAGEMAKER = (Condition("StringEquals", "iam:PassedToService", ("sagemaker.amazonaws.com",)),)


def passing(roles: Sequence[str], *, source: str) -> tuple[Grant, ...]:
    """Return the permissions to hand each of *roles* (ARNs, or globs over them) to SageMaker."""
    return tuple(implied(CALL, on=role, source=source, when=TO_SAGEMAKER) for role in roles)


def using_key(source: str) -> Grant:
    """Return the permission to have SageMaker use the KMS key of a created resource."""
    for_aws = Condition("Bool", "kms:GrantIsForAWSResource", ("true",))
    return implied("kms:CreateGrant", on="key/*", source=source, when=(for_aws,))


def unlisted(roles: Sequence[str], role: str) -> str:
    """Return the setting that lets the undo function hand over *role*; "" if *roles* list it."""
    if not role or any(
        fnmatchcase(_without_partition(role), _without_partition(allowed)) for allowed in roles
    ):
        return ""
    return f'undo_roles = ["{role}"] in janitor'


def handing_over(call: Callable[[], object], role: str) -> None:
    """Make *call*, which hands *role* to SageMaker. Raises CannotActError if AWS refuses PassRole."""
    try:
        call()
    except Exception as error:
        if not refused_as(error, ("AccessDeniedException", "AccessDenied"), CALL):
            raise
        raise CannotActError(
            f"not authorized to perform {CALL} on its role {role}: list that in undo_roles, or have it "
            "undone by hand by somebody who is"
        ) from error


def _without_partition(arn: str) -> str:
    """
    Return *arn* from its service on: a stack grants ARNs of the standard partition
    in its own partition.
    """
    return arn.split(":", 2)[-1]
