"""
Deletes Studio apps and creates them again. "Already so" is success; after
a lost answer it reads the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_janitor.aws import studio_apps as studio
from ml_janitor.aws import tags
from ml_janitor.aws.answers import ensure, needed, unless_gone
from ml_janitor.aws.arns import Arn
from ml_janitor.aws.client import Aws
from ml_janitor.aws.studio_apps import DELETED, IN_SERVICE, NOT_FOUND, App
from ml_janitor.core.model import Target
from ml_janitor.engine.detector import CannotActError, NotFinishedError

KEY = ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName")
SETTINGS = ("ResourceSpec", "RecoveryMode")
"""Further members of DescribeApp that CreateApp takes."""

DELETING, PENDING = "Deleting", "Pending"
OFF = frozenset({DELETING, DELETED})
ON = frozenset({IN_SERVICE, PENDING})

REFUSED = (*NOT_FOUND, "ResourceInUse", "ValidationException")
"""
AWS's error codes for an app that is not in the state that a call needs.

A second DeleteApp answers ValidationException, "has already been deleted" (hashicorp/terraform-provider-aws
takes it for success too); the others are in the operations' models.
"""


def prepared(aws: Aws, app: App) -> dict[str, Any]:
    """
    Return the arguments of CreateApp for *app*. Raises CannotActError if
    it does not run, and ReadError.
    """
    answer = aws.sagemaker.describe_app(**app.key)  # type: ignore[arg-type]
    if answer["Status"] != IN_SERVICE:
        raise CannotActError(f"its status is {answer['Status']} now")
    own = needed(tags.of_one(aws, answer["AppArn"])) or {}
    given: Mapping[str, Any] = answer
    request = {member: given[member] for member in (*KEY, *SETTINGS) if given.get(member)}
    return request | tags.given(tags.settable(own))


def delete(aws: Aws, target: Target, request: Mapping[str, Any]) -> None:
    """Delete it. A second try after a lost answer may find it being deleted, or gone: that is success."""
    ensure(lambda: aws.sagemaker.delete_app(**_key(request)), lambda: is_off(aws, target), codes=REFUSED)


def is_off(aws: Aws, target: Target) -> bool:
    """
    Return whether *target* is deleted, or about to be; other apps of its name do not count.

    An app that a complete listing does not show is gone: deleted apps leave the
    listing after a day. Raises ReadError.
    """
    listing = studio.listed(aws, DomainIdEquals=Arn.parse(target.arn).name.partition("/")[0])
    for app in listing.items:
        if app.target.arn.lower() == target.arn.lower() and app.started == target.created:
            return app.status in OFF
    listing.check()
    return True


def create(aws: Aws, request: Mapping[str, Any]) -> None:
    """
    Create it again, unless an app of its name runs already: that app is its user's own.

    Raises NotFinishedError while the old app is still being deleted.
    """
    if is_on(aws, request):
        return
    ensure(lambda: aws.sagemaker.create_app(**request), lambda: is_on(aws, request), codes=REFUSED)


def is_on(aws: Aws, request: Mapping[str, Any]) -> bool:
    """
    Return whether an app of this name runs or is about to. Raises
    NotFinishedError while it is being deleted.
    """
    app = unless_gone(lambda: aws.sagemaker.describe_app(**_key(request)), NOT_FOUND)
    if app is None:
        return False
    status = app["Status"]
    if status == DELETING:
        raise NotFinishedError("it is still being deleted, which takes minutes")
    return status in ON


def _key(request: Mapping[str, Any]) -> Any:
    return {member: request[member] for member in KEY if member in request}
