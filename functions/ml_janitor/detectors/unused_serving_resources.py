"""The adviser on endpoint configurations and models that nothing uses any more."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import product
from typing import Any

from ml_janitor.aws import activity, s3, sagemaker_kinds, tags
from ml_janitor.aws.activity import TrailEvent
from ml_janitor.aws.calls import USER_AGENT, Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.descriptions import DescribedResources, describe_all
from ml_janitor.aws.references import MODEL_MEMBERS
from ml_janitor.aws.sagemaker_kinds import ENDPOINT, ENDPOINT_CONFIG, MODEL, SageMakerKind, texts_in
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Confidence,
    Finding,
    Kept,
    Rule,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.text import format_size
from ml_janitor.engine.detector import Constant, Detector, allow

# --- users of models and configurations -----------------------------------------------------------

CONFIG_NAME, MODEL_NAME, DEFINITION_MEMBER = "EndpointConfigName", "ModelName", "PipelineDefinition"
"""Members that name used resources. A pipeline's definition is a text: every word counts as a name."""

ARTIFACT_MEMBERS = ("ModelPackageName", "ModelPackageArn", "ModelDataUrl", "S3Uri")
"""Members with the parts of a model, and with the identity and content of a package."""

USER_MEMBERS: Mapping[SageMakerKind, tuple[str, ...]] = {
    sagemaker_kinds.ENDPOINT: (CONFIG_NAME,),
    sagemaker_kinds.ENDPOINT_CONFIG: (),  # a configuration uses models only if it is in use itself
    sagemaker_kinds.COMPONENT: (MODEL_NAME,),
    sagemaker_kinds.EXPERIMENT: (MODEL_NAME,),
    sagemaker_kinds.TRANSFORM_JOB: (MODEL_NAME,),
    sagemaker_kinds.MODEL_PACKAGE: ARTIFACT_MEMBERS,
    sagemaker_kinds.PIPELINE: (DEFINITION_MEMBER,),
}
"""Possible users of a model or configuration, and the members that name them, however deep."""

USED_MEMBERS: Mapping[SageMakerKind, tuple[str, ...]] = {
    sagemaker_kinds.ENDPOINT: (CONFIG_NAME,),
    sagemaker_kinds.PIPELINE: (DEFINITION_MEMBER,),
    sagemaker_kinds.TRANSFORM_JOB: (MODEL_NAME,),
}
"""The members without which a description does not say what the resource uses."""

USER_KINDS = (*USER_MEMBERS, sagemaker_kinds.MODEL, sagemaker_kinds.MODEL_PACKAGE_GROUP)
"""The kinds to list: models, and their possible users."""

USER_FILTERS: Mapping[SageMakerKind, Mapping[str, str]] = {
    sagemaker_kinds.MODEL_PACKAGE: {"ModelApprovalStatus": "Approved"},
    sagemaker_kinds.TRANSFORM_JOB: {"StatusEquals": sagemaker_kinds.IN_PROGRESS},
}
DELETION_CALL = "DeleteEndpoint"
DEPLOYMENT_CALLS = ("CreateEndpoint", "UpdateEndpoint", "CreateInferenceComponent")
"""Calls that use the resources they name: a daily deployment may be missing at night."""

MOST_TRAIL_PAGES = 100
"""5,000 events of one name: a minute at CloudTrail's pace."""

type MemberName = tuple[str, str]
"""A member and its value: ("ModelName", "churn"). A model and a configuration may have the same name."""


@dataclass(slots=True)
class ResourceUsers:
    """
    The users of resources, by the resource's name in any case; *errors* are failed reads, which may hide
    users.

    *undos* is why the janitor may need a resource, to bring back an endpoint that it deleted.
    """

    errors: list[str] = field(default_factory=list)
    _by_name: dict[MemberName, str] = field(default_factory=dict)
    undos: str | None = None
    _served: set[str] = field(default_factory=set)

    def add(self, user: str, names: Iterable[MemberName]) -> None:
        """Let *user* use all *names*."""
        for member, name in names:
            self._by_name.setdefault((member, name.rstrip("/").lower()), user)

    def described(self, kind: SageMakerKind, listing: DescribedResources) -> None:
        """Add the resources of *kind*. A Failed endpoint serves nothing, and uses nothing."""
        self.errors += [] if listing.error is None else [listing.error]
        for target, description in listing.items:
            if _serves_nothing(description):
                continue
            if isinstance(description, Value):
                self.add(f"{kind.words} {target.name}", names_in(description.value, USER_MEMBERS[kind]))
                self.errors += lacking_members(kind, target.name, description.value)
            elif isinstance(description, Unreadable):
                self.errors.append(description.error)

    def deployed(self, by_call: Mapping[str, Listing[TrailEvent]]) -> None:
        """
        Add the deployments of a time, by CloudTrail: each used the resources that it names.

        An endpoint that the janitor deleted and that was deployed before that time had a configuration that
        only the janitor's ledger knows.
        """
        names = set[str]()
        for call, events in by_call.items():
            self.errors += [] if events.error is None else [events.error]
            for event in (call_event for call_event in events.items if call_event.succeeded):
                endpoints = set(texts_in(event.request, "EndpointName"))
                if call != DELETION_CALL:
                    names |= endpoints
                    used = names_in(event.request, (CONFIG_NAME, MODEL_NAME))
                    self.add(f"{call} on {event.at:%Y-%m-%d}", used)
                elif USER_AGENT in event.agent and not endpoints <= names:
                    self.undos = f"ML Janitor deleted endpoint {', '.join(endpoints)} on {event.at:%Y-%m-%d}"

    def searched(self, models: Listing[Mapping[str, Any]], since: datetime) -> dict[str, Mapping[str, Any]]:
        """
        Add the users of *models* by Search: their endpoints, and their last transform job, if after *since*.

        Return each readable model's record by its name. Search lags behind by an unknown time.
        """
        self.errors += [] if models.error is None or models.unread else [models.error]
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

    def check_configurations(self, endpoints: DescribedResources, there: Collection[str]) -> None:
        """
        Note the *endpoints* that may serve any model: those whose configuration is not *there* any more.

        They run on without it. If Search names the model of an endpoint, the endpoint is known all the same.
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

    def of(self, *names: MemberName, loads: Iterable[str] = ()) -> Signal[str]:
        """Return a user of a resource with one of *names*, or of its *loads*; `Absent` if all was read."""
        called = (*names, *product(ARTIFACT_MEMBERS, loads))
        keys = [(member, name.rstrip("/").lower()) for member, name in called]
        user = next((self._by_name[key] for key in keys if key in self._by_name), None)
        if user is not None:
            return Value(user)
        return Unreadable("; ".join(self.errors)) if self.errors else Absent()


def lacking_members(kind: SageMakerKind, name: str, description: Mapping[str, Any]) -> list[str]:
    """
    Return which member of a *description* is missing that would name what the resource uses.

    An inference component names a model, a container of its own, or a base component ("the adapter"), in one
    specification or in one for each instance type (API reference, DescribeInferenceComponent).
    """
    if kind is not sagemaker_kinds.COMPONENT:
        return [
            f"{kind.words} {name} has no {member}"
            for member in USED_MEMBERS.get(kind, ())
            if member not in description
        ]
    single, several = description.get("Specification"), description.get("Specifications")
    specified: Sequence[Mapping[str, Any]] = several or ([single] if single else [])
    if not specified:
        return [f"{kind.words} {name} has no Specification"]
    return [
        f"{kind.words} {name} has no ModelName"
        for own in specified
        if not {MODEL_NAME, "Container", "BaseInferenceComponentName"} & own.keys()
    ][:1]


def _serves_nothing(description: Signal[dict[str, Any]]) -> bool:
    return isinstance(description, Value) and description.value.get("EndpointStatus") == "Failed"


def names_in(description: Mapping[str, Any], members: Sequence[str]) -> list[MemberName]:
    """Return the names under *members* of a description, however deep."""
    return [
        (member, name)
        for member in members
        for text in texts_in(description, member)
        for name in (re.findall(r"[\w-]+", text) if member == DEFINITION_MEMBER else [text])
    ]


# --- the adviser ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResource(Candidate):
    """
    A configuration or model: its user or a possible undo, and the bytes
    of artifacts that only it names.
    """

    user: Signal[str]
    undos: str | None = None
    artifacts: Signal[int] | None = None


def describe_users(aws: Aws, kind: SageMakerKind) -> DescribedResources:
    """Describe all resources of a *kind* in `USER_MEMBERS`: only approved packages, and jobs in progress."""
    return describe_all(aws, kind, **USER_FILTERS.get(kind, {}))


def look_up_deployments(aws: Aws, since: datetime, until: datetime) -> dict[str, Listing[TrailEvent]]:
    """Return the events by call, deletions as far back as CloudTrail remembers."""
    remembered = until - activity.EVENT_RETENTION
    starts = dict.fromkeys(DEPLOYMENT_CALLS, max(since, remembered)) | {DELETION_CALL: remembered}
    return {
        call: activity.look_up_events(aws, call, start, until, most_pages=MOST_TRAIL_PAGES)
        for call, start in starts.items()
    }


def _whole_record(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return Search's *record* of a model. Raises KeyError with the member that a record of a user lacks."""
    _ = record["Model"]["ModelName"]
    for endpoint in record.get("Endpoints", ()):
        _ = endpoint["EndpointName"]
    if job := record.get("LastBatchTransformJob"):
        _ = job["TransformJobName"], job["CreationTime"]
    return record


@dataclass(frozen=True)
class UnusedServingResources(Detector[ServingResource]):
    """
    Finds endpoint configurations and models that nothing has used for 90 days.

    They cost nothing themselves, but the artifacts of a model are kept for as long as the model exists.
    """

    name = "unused-serving-resources"
    kinds = (ENDPOINT_CONFIG.type, MODEL.type)
    spares_undos = True
    reads = (
        *(allow(kind.lists, on=kind.listed_on) for kind in USER_KINDS),
        *(allow(kind.describes, on=kind.every) for kind in USER_MEMBERS),
        *(allow(tags.LIST_TAGS, on=kind.every) for kind in (ENDPOINT_CONFIG, MODEL)),
        *(allow(action) for action in (sagemaker_kinds.SEARCH, tags.GET_RESOURCES, activity.LOOKUP_EVENTS)),
        allow("s3:ListBucket", on="arn:aws:s3:::*"),
    )

    min_age: Constant[timedelta] = timedelta(days=90)

    def find(self, aws: Aws, now: datetime) -> Iterator[ServingResource]:
        """
        Describe all possible users, but no job that ended: Search knows a model's last transform job.

        All is read side by side: CloudTrail alone may take minutes, and so may the descriptions.
        """
        users, since = ResourceUsers(), now - self.min_age
        reads: list[Callable[[], Any]] = [
            partial(sagemaker_kinds.list_targets, aws, MODEL),
            partial(look_up_deployments, aws, since, now),
            partial(sagemaker_kinds.search_records, aws, "Model", _whole_record),
            partial(tags.read_tag_book, aws, *(f"sagemaker:{kind}" for kind in self.kinds)),
            *(partial(describe_users, aws, kind) for kind in USER_MEMBERS),
        ]
        models, deployments, searched, book, *described = aws.map(lambda read: read(), reads)
        read = dict(zip(USER_MEMBERS, described, strict=True))
        for kind, listing in read.items():
            users.described(kind, listing)
        configs = read[ENDPOINT_CONFIG]
        users.deployed(deployments)
        records = users.searched(searched, since)
        users.check_configurations(read[ENDPOINT], {config.name for config, _ in configs.items})
        idle: dict[str, tuple[Target, ...]] = {}
        for listed, description in configs.items:
            target = replace(listed, tags=book.of(listed.arn))
            user = users.of((CONFIG_NAME, target.name), (DEFINITION_MEMBER, target.name))
            config = ServingResource(target=target, user=user, undos=users.undos)
            own = description.value if isinstance(description, Value) else {}
            names = [(MODEL_NAME, name) for _, name in names_in(own, MODEL_MEMBERS)]
            match self.decide(config, now):
                case Finding():
                    for _, model in names:
                        idle[model] = (*idle.get(model, ()), target)
                case Kept(unknown=False):
                    users.add(f"endpoint configuration {target.name}", names)
            yield config
        loads = {
            name: {text for _, text in names_in(record["Model"], ARTIFACT_MEMBERS)}
            for name, record in records.items()
        }

        def judged(listed: Target) -> ServingResource:
            name, own = listed.name, loads.get(listed.name)
            user = users.of((MODEL_NAME, name), (DEFINITION_MEMBER, name), loads=own or ())
            if own is None and isinstance(user, Absent):
                user = Unreadable("Search does not know this model, nor its last transform job")
            target = replace(listed, tags=book.of(listed.arn))
            unused = idle.get(name, ())
            model = ServingResource(target=target, user=user, undos=users.undos, belongs_to=unused)
            if own is None or not isinstance(self.decide(model, now), Finding):
                return model
            others = [uri for other, uris in loads.items() if other != name for uri in uris]
            return replace(model, artifacts=s3.size_outside(aws, own, others))

        yield from aws.map(judged, models.items)
        Listing[Any].merged((configs, models)).check()

    def may_be_needed(self, candidate: ServingResource) -> str | None:
        return candidate.undos and f"{candidate.undos}, and an undo may need this: only its ledger tells"

    def decide(self, candidate: ServingResource, now: datetime) -> Verdict:
        """
        Judge a resource, as likely at most: it is unused if nothing names it
        although everything was read.
        """
        rule, age = Rule(), now - (candidate.target.created or now)
        rule.saw(as_evidence("used by", candidate.user))
        if age < self.min_age:
            return rule.kept(f"created {format_age(age)} ago; judged from {format_age(self.min_age)} on")
        match candidate.user:
            case Value(user):
                return rule.kept(f"used by {user}")
            case Absent():
                rule.passed("all that may use it was read, and does not name it")
            case unread:
                return rule.unknown(f"not all that may use it was read ({getattr(unread, 'error', unread)})")
        if (artifacts := candidate.artifacts) is not None:
            size = format_size(artifacts.value) if isinstance(artifacts, Value) else None
            rule.saw(as_evidence("artifacts that no other model names", artifacts, size))
        return rule.found(
            f"this {candidate.target.kind.replace('-', ' ')} was created {format_age(age)} ago, and no"
            " endpoint, inference component, experiment, pipeline, approved package or recent transform job"
            " uses it",
            Confidence.LIKELY,
            action="delete it, unless somebody means to deploy it again",
        )
