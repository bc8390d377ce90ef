"""A request's needs for permission: IAM's names of actions, and the ARNs they are about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ml_janitor_sandbox.iam.conditions import Values
from moto_corrections.patches import Call

EVERYTHING = "*"
"""The resource of actions that IAM knows no resource type for."""

type Needs = list["Need"]
type Reader = Callable[[Call], Needs]


@dataclass(frozen=True, slots=True)
class Need:
    """One permission. *context* holds the condition keys that this service adds, in lower case."""

    action: str
    resource: str = EVERYTHING
    context: Mapping[str, Values] = field(default_factory=dict)
