"""What conditions are compared with: keys of every request, those of its service, and tags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ml_janitor_sandbox.iam import resource_tags
from ml_janitor_sandbox.iam.conditions import Values
from ml_janitor_sandbox.iam.needs import EVERYTHING, Need
from ml_janitor_sandbox.iam.principals import Caller
from ml_janitor_sandbox.patches import Call

REQUEST_TAG = "aws:requesttag/"
RESOURCE_TAGS = ("aws:resourcetag/", "sagemaker:resourcetag/")


@dataclass(frozen=True)
class RequestContext:
    """The context of one need of one request. Tags of the resource are only read when asked for."""

    caller: Caller
    call: Call
    need: Need

    def get(self, key: str) -> Values | None:
        """The values of a key in lower case; None if it is not there."""
        if key.startswith(REQUEST_TAG):
            return self._request_tags.get(key.removeprefix(REQUEST_TAG))
        for prefix in RESOURCE_TAGS:
            if key.startswith(prefix):
                return self._resource_tags.get(key.removeprefix(prefix))
        return self._plain.get(key)

    @cached_property
    def _plain(self) -> dict[str, Values]:
        found = {
            "aws:principalaccount": (self.caller.account,),
            "aws:principalarn": (self.caller.role,),
            "aws:requestedregion": (self.call.region,),
        }
        params = self.call.params
        if keys := (*_tags(params), *(params.get("TagKeys") or params.get("tagKeys") or ())):
            found["aws:tagkeys"] = keys
        if self.need.resource != EVERYTHING:
            found["aws:resourceaccount"] = (self.need.resource.split(":")[4] or self.call.account,)
        return found | dict(self.need.context)

    @cached_property
    def _request_tags(self) -> dict[str, Values]:
        return {key.lower(): (value,) for key, value in _tags(self.call.params).items()}

    @cached_property
    def _resource_tags(self) -> dict[str, Values]:
        found = resource_tags.of(self.call, self.need.resource)
        return {key.lower(): (value,) for key, value in found.items()}


def _tags(params: dict[str, Any]) -> dict[str, str]:
    """The tags that a request sends: AWS spells them in two ways, and in two cases."""
    given = params.get("Tags") or params.get("tags") or {}
    if isinstance(given, dict):
        return dict(given)
    return {tag["Key"]: tag["Value"] for tag in given}
