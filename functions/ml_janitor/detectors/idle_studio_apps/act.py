"""
Deletes Studio apps and creates them again. "Already so" is success; after
a lost answer it reads the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_janitor.aws import tags
from ml_janitor.aws.calls import ensure, required_value, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.studio_apps import APP_DELETED, APP_IN_SERVICE, APP_NOT_FOUND, StudioApp, list_apps
from ml_janitor.aws.tags import Arn
from ml_janitor.core.model import Target
from ml_janitor.engine.detector import CannotActError, NotFinishedError

_APP_KEY_MEMBERS = ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName")
_APP_SETTINGS = ("ResourceSpec", "RecoveryMode")
"""Further members of DescribeApp that CreateApp takes."""

_APP_DELETING, _APP_PENDING = "Deleting", "Pending"
_APP_OFF = frozenset({_APP_DELETING, APP_DELETED})
_APP_ON = frozenset({APP_IN_SERVICE, _APP_PENDING})

_APP_REFUSED = (*APP_NOT_FOUND, "ResourceInUse", "ValidationException")
"""
AWS's error codes for an app that is not in the state that a call needs.

A second DeleteApp answers ValidationException, "has already been deleted" (hashicorp/terraform-provider-aws
takes it for success too); the others are in the operations' models.
"""


def prepare_app(aws: Aws, app: StudioApp) -> dict[str, Any]:
    """
    Return the arguments of CreateApp for *app*. Raises CannotActError if
    it does not run, and ReadError.
    """
    answer = aws.sagemaker.describe_app(**app.key)  # type: ignore[arg-type]
    if answer["Status"] != APP_IN_SERVICE:
        raise CannotActError(f"its status is {answer['Status']} now")
    own = required_value(tags.read_sagemaker_tags(aws, answer["AppArn"])) or {}
    given: Mapping[str, Any] = answer
    request = {member: given[member] for member in (*_APP_KEY_MEMBERS, *_APP_SETTINGS) if given.get(member)}
    return request | tags.tags_argument(tags.settable_tags(own))


def delete_app(aws: Aws, target: Target, request: Mapping[str, Any]) -> None:
    """Delete it. A second try after a lost answer may find it being deleted, or gone: that is success."""
    ensure(
        lambda: aws.sagemaker.delete_app(**_key(request)), lambda: is_app_off(aws, target), codes=_APP_REFUSED
    )


def is_app_off(aws: Aws, target: Target) -> bool:
    """
    Return whether *target* is deleted, or about to be; other apps of its name do not count.

    An app that a complete listing does not show is gone: deleted apps leave the
    listing after a day. Raises ReadError.
    """
    listing = list_apps(aws, DomainIdEquals=Arn.parse(target.arn).name.partition("/")[0])
    for app in listing.items:
        if app.target.arn.lower() == target.arn.lower() and app.started == target.created:
            return app.status in _APP_OFF
    listing.check()
    return True


def create_app(aws: Aws, request: Mapping[str, Any]) -> None:
    """
    Create it again, unless an app of its name runs already: that app is its user's own.

    Raises NotFinishedError while the old app is still being deleted.
    """
    if is_app_on(aws, request):
        return
    ensure(lambda: aws.sagemaker.create_app(**request), lambda: is_app_on(aws, request), codes=_APP_REFUSED)


def is_app_on(aws: Aws, request: Mapping[str, Any]) -> bool:
    """
    Return whether an app of this name runs or is about to. Raises
    NotFinishedError while it is being deleted.
    """
    app = unless_gone(lambda: aws.sagemaker.describe_app(**_key(request)), APP_NOT_FOUND)
    if app is None:
        return False
    status = app["Status"]
    if status == _APP_DELETING:
        raise NotFinishedError("it is still being deleted, which takes minutes")
    return status in _APP_ON


def _key(request: Mapping[str, Any]) -> Any:
    return {member: request[member] for member in _APP_KEY_MEMBERS if member in request}
