"""SageMaker's kinds that moto lacks and that only have to be made, described, listed and tagged."""

from collections.abc import Mapping
from typing import Any

from moto_corrections import model
from moto_corrections.patches import Call, rejected, serves
from moto_corrections.sagemaker import progress
from moto_corrections.sagemaker.listing import listing, serve
from moto_corrections.sagemaker.store import create, get, kind

PAGED = {"MaxResults", "NextToken", "NameContains", "CreationTimeAfter", "CreationTimeBefore", "StatusEquals"}

PLAIN_NOUNS: list[str] = []
"""The kinds declared here."""


def plain_kind(
    noun: str,
    *,
    members: tuple[str, str, str],
    statuses: tuple[str, ...],
    minutes: float = 0,
    by: tuple[str, ...] = (),
    unless_asked: Mapping[str, Any] | None = None,
) -> None:
    """
    Serve Create, Describe and List of a kind, and its presigned URL if it has one, by AWS's model.

    *members* hold its name, its ARN and its status. It is created in the first of *statuses*, and gets the
    second after so many *minutes* (`NOUN.create` among the durations). *by* are the members that its List
    operation filters by; another filter is refused, not ignored. *unless_asked* are members that AWS sets.
    Tags and permissions follow from the declaration. Any other member is set with `Control.patch`.
    """
    PLAIN_NOUNS.append(noun)
    declared = kind(noun, members=members)
    made = f"{declared.arn}.create"
    serve(declared, "Describe")

    @serves("sagemaker", f"Create{noun}")
    def create_it(call: Call) -> dict[str, Any]:
        given = {name: value for name, value in (unless_asked or {}).items() if name not in call.params}
        created = create(call, declared, statuses[0], **given)
        for status in statuses[1:]:
            progress.becomes(call, created, made, status)
        return {declared.arn_member: created.arn}

    @serves("sagemaker", f"List{noun}s")
    def list_them(call: Call) -> dict[str, Any]:
        if unknown := call.params.keys() - PAGED - {*by}:
            raise rejected(f"These corrections do not know {', '.join(sorted(unknown))} of {call.operation}.")
        return listing(call, declared, *by)

    if len(statuses) > 1:
        progress.DEFAULTS[made] = 60 * minutes
    if f"CreatePresigned{noun}Url" in model.service("sagemaker").operation_names:

        @serves("sagemaker", f"CreatePresigned{noun}Url")
        def presign(call: Call) -> dict[str, Any]:
            return {"AuthorizedUrl": f"https://{get(call, declared).name}.sandbox/auth"}


# The offering that was chosen decides the rest, and a plan becomes Active when it starts: tests set both.
plain_kind("TrainingPlan", members=("TrainingPlanName", "TrainingPlanArn", "Status"), statuses=("Scheduled",))
# Users wait for more than 25 minutes (ekristen/aws-nuke #527).
plain_kind(
    "MlflowTrackingServer",
    members=("TrackingServerName", "TrackingServerArn", "TrackingServerStatus"),
    statuses=("Creating", "Created"),
    minutes=25,
    by=("TrackingServerStatus", "MlflowVersion"),
    unless_asked={"IsActive": "Active", "TrackingServerSize": "Small"},
)
