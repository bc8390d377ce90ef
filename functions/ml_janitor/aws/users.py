"""What uses models and endpoint configurations, as far as descriptions, Search and CloudTrail name them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from typing import Any

from ml_janitor.aws import sagemaker_kinds, trail
from ml_janitor.aws.answers import Listing
from ml_janitor.aws.boto_client import AGENT
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import Described, Kind, texts_in
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value

CONFIG_NAME, MODEL_NAME, DEFINITION = "EndpointConfigName", "ModelName", "PipelineDefinition"
"""Members that name what is used. A pipeline's definition is a text: every word in it counts as a name."""

LOADS = ("ModelPackageName", "ModelPackageArn", "ModelDataUrl", "S3Uri")
"""Members that name what a model loads, and what a package is and holds."""

MAY_USE: Mapping[Kind, tuple[str, ...]] = {
    sagemaker_kinds.ENDPOINT: (CONFIG_NAME,),
    sagemaker_kinds.ENDPOINT_CONFIG: (),  # it uses its models only if it is used itself
    sagemaker_kinds.COMPONENT: (MODEL_NAME,),
    sagemaker_kinds.EXPERIMENT: (MODEL_NAME,),
    sagemaker_kinds.TRANSFORM_JOB: (MODEL_NAME,),
    sagemaker_kinds.MODEL_PACKAGE: LOADS,
    sagemaker_kinds.PIPELINE: (DEFINITION,),
}
"""What may use a model or configuration, and the members of its description that name them, however deep."""

LISTED = (*MAY_USE, sagemaker_kinds.MODEL, sagemaker_kinds.MODEL_PACKAGE_GROUP)
"""What is listed for that: models, and all that may use one."""

ONLY: Mapping[Kind, Mapping[str, str]] = {
    sagemaker_kinds.MODEL_PACKAGE: {"ModelApprovalStatus": "Approved"},
    sagemaker_kinds.TRANSFORM_JOB: {"StatusEquals": sagemaker_kinds.IN_PROGRESS},
}
DELETION = "DeleteEndpoint"
DEPLOYMENTS = ("CreateEndpoint", "UpdateEndpoint", "CreateInferenceComponent")
"""Calls that use what they name: what is deployed every morning is not there at night."""

MOST_PAGES = 100
"""5,000 events of one name: a minute at CloudTrail's pace."""

type Name = tuple[str, str]
"""A member and what it holds: ("ModelName", "churn"). A model and a configuration may have the same name."""


@dataclass(slots=True)
class Users:
    """
    Who uses what, by how it is named in any case; *errors* say what else may use something.

    *undos* is why the janitor may need anything of it, to bring an endpoint back that it deleted.
    """

    errors: list[str] = field(default_factory=list)
    _by_name: dict[Name, str] = field(default_factory=dict)
    undos: str | None = None
    _served: set[str] = field(default_factory=set)

    def add(self, user: str, names: Iterable[Name]) -> None:
        """Let *user* use all that it *names*."""
        for member, name in names:
            self._by_name.setdefault((member, name.rstrip("/").lower()), user)

    def described(self, aws: Aws, kind: Kind) -> Described:
        """
        Read all of a *kind* in `MAY_USE`; of packages those approved, of jobs those in progress.

        A Failed endpoint serves nothing, and uses nothing.
        """
        listing = sagemaker_kinds.described(aws, kind, **ONLY.get(kind, {}))
        self.errors += [] if listing.error is None else [listing.error]
        for target, description in listing.items:
            if _serves_nothing(description):
                continue
            if isinstance(description, Value):
                self.add(f"{kind.words} {target.name}", names_in(description.value, MAY_USE[kind]))
            elif isinstance(description, Unreadable):
                self.errors.append(description.error)
        return listing

    def deployed(self, aws: Aws, since: datetime, until: datetime) -> None:
        """
        Add the deployments in that time, by CloudTrail: each used what it names.

        An endpoint that the janitor deleted and that was deployed before then had a configuration which
        nobody can tell any more, but for the janitor's ledger.
        """
        names = set[str]()
        for call in (*DEPLOYMENTS, DELETION):
            remembered = until - trail.REMEMBERED
            start = remembered if call == DELETION else max(since, remembered)
            events = trail.lookup(aws, call, start, until, most_pages=MOST_PAGES)
            self.errors += [] if events.error is None else [events.error]
            for event in (one for one in events.items if one.succeeded):
                endpoints = set(texts_in(event.request, "EndpointName"))
                if call != DELETION:
                    names |= endpoints
                    used = names_in(event.request, (CONFIG_NAME, MODEL_NAME))
                    self.add(f"{call} on {event.at:%Y-%m-%d}", used)
                elif AGENT in event.agent and not endpoints <= names:
                    self.undos = f"ML Janitor deleted endpoint {', '.join(endpoints)} on {event.at:%Y-%m-%d}"

    def searched(self, models: Listing[Mapping[str, Any]], since: datetime) -> dict[str, Mapping[str, Any]]:
        """
        Add what Search knows of *models*: their endpoints, and their last transform job, if after *since*.

        The answer is the record of each by its name. Search lags behind, nobody says by how much.
        """
        self.errors += [] if models.error is None else [models.error]
        for record in models.items:
            used = [(MODEL_NAME, record["Model"]["ModelName"])]
            for endpoint in record.get("Endpoints", ()):
                self._served.add(endpoint["EndpointName"])
                if not _serves_nothing(Value(endpoint)):
                    self.add(f"endpoint {endpoint['EndpointName']}", used)
            if job := record.get("LastBatchTransformJob"):
                at = job.get("TransformEndTime", job["CreationTime"])
                if at > since:
                    self.add(f"transform job {job['TransformJobName']} of {at:%Y-%m-%d}", used)
        return {record["Model"]["ModelName"]: record for record in models.items}

    def check_configurations(self, endpoints: Described, there: Collection[str]) -> None:
        """
        Note which of *endpoints* may serve any model: those whose configuration is not *there* any more.

        They run on without it. Where Search names the model that one serves, that is known all the same.
        """
        for endpoint, description in endpoints.items:
            if _serves_nothing(description):
                continue
            if isinstance(description, Value) and endpoint.name not in self._served:
                names = {name for _, name in names_in(description.value, (CONFIG_NAME,))}
                self.errors += [
                    f"endpoint {endpoint.name} serves what its deleted configuration {name} named"
                    for name in sorted(names.difference(there))
                ]

    def of(self, *names: Name, loads: Iterable[str] = ()) -> Signal[str]:
        """What uses something called by one of *names*, or what it *loads*; `Absent` if all was read."""
        called = (*names, *product(LOADS, loads))
        keys = [(member, name.rstrip("/").lower()) for member, name in called]
        user = next((self._by_name[key] for key in keys if key in self._by_name), None)
        if user is not None:
            return Value(user)
        return Unreadable("; ".join(self.errors)) if self.errors else Absent()


def _serves_nothing(description: Signal[dict[str, Any]]) -> bool:
    return isinstance(description, Value) and description.value.get("EndpointStatus") == "Failed"


def names_in(description: Mapping[str, Any], members: Sequence[str]) -> list[Name]:
    """What *members* of a description name, however deep."""
    return [
        (member, name)
        for member in members
        for text in texts_in(description, member)
        for name in (re.findall(r"[\w-]+", text) if member == DEFINITION else [text])
    ]
