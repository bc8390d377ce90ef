"""CloudFormation's answers about the stacks that `ml_janitor_sandbox.stack` has made; it makes none itself.

moto makes stacks of its own, but knows neither schedules nor alarms in a template.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto_corrections import clock, state
from moto_corrections.paging import cut
from moto_corrections.patches import AwsError, Call, serves

PAGE = 100
"""Resources a page; DescribeStackResources would stop after as many without saying so (API reference)."""


@dataclass(slots=True)
class Stack:
    """One stack: {"logical", "physical", "type"} of each resource."""

    name: str
    resources: list[dict[str, str]]
    created: datetime = field(default_factory=clock.now)


class Stacks(dict[str, Stack]):
    """The stacks of one account and region, by name."""


def seed(account: str, region: str, name: str, resources: list[dict[str, str]]) -> None:
    """Say that a stack is there."""
    state.at(Stacks, account, region)[name] = Stack(name, resources)


def named(call: Call) -> Stack:
    """Return the stack that is asked for."""
    name = str(call.params["StackName"])
    found = state.of(Stacks, call).get(name)
    if found is None:
        raise AwsError("ValidationError", f"Stack with id {name} does not exist")
    return found


@serves("cloudformation", "ListStackResources")
def list_stack_resources(call: Call) -> dict[str, Any]:
    """List the resources of a stack, a page at a time."""
    stack = named(call)
    page, more = cut(call, stack.resources, PAGE, invalid="ValidationError")
    summaries = [
        {
            "LogicalResourceId": resource["logical"],
            "PhysicalResourceId": resource["physical"],
            "ResourceType": resource["type"],
            "LastUpdatedTimestamp": stack.created,
            "ResourceStatus": "CREATE_COMPLETE",
        }
        for resource in page
    ]
    return {"StackResourceSummaries": summaries, **more}
