"""Endpoint configurations and models that nothing uses any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ml_janitor.aws import s3, sagemaker_kinds, tags, trail
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import ENDPOINT, ENDPOINT_CONFIG, MODEL
from ml_janitor.aws.users import (
    ARTIFACT_MEMBERS,
    CONFIG_NAME,
    DEFINITION_MEMBER,
    MODEL_NAME,
    USER_KINDS,
    USER_MEMBERS,
    ResourceUsers,
    names_in,
)
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Candidate, Confidence, Finding, Kept, Rule, Target, Verdict
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value
from ml_janitor.core.signals import as_evidence as shown
from ml_janitor.core.text import format_size
from ml_janitor.engine.detector import Detector, allow


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResource(Candidate):
    """
    A configuration or model: its user or a possible undo, and the bytes
    of artifacts that only it names.
    """

    user: Signal[str]
    undos: str | None = None
    artifacts: Signal[int] | None = None


@dataclass(frozen=True)
class UnusedServingResources(Detector[ServingResource]):
    """
    Finds endpoint configurations and models that nothing has used for 90 days.

    They cost nothing themselves, but the artifacts of a model are kept for as long as the model exists.
    """

    name = "unused-serving-resources"
    schedule = "cron(30 1 ? * MON *)"
    kinds = (ENDPOINT_CONFIG.type, MODEL.type)
    spares_undos = True
    reads = (
        *(allow(kind.lists, on=kind.listed_on) for kind in USER_KINDS),
        *(allow(kind.describes, on=kind.every) for kind in USER_MEMBERS),
        *(allow(tags.LIST_TAGS, on=kind.every) for kind in (ENDPOINT_CONFIG, MODEL)),
        *(allow(action) for action in (sagemaker_kinds.SEARCH, tags.GET_RESOURCES, trail.LOOKUP_EVENTS)),
        allow("s3:ListBucket", on="arn:aws:s3:::*"),
    )

    min_age: timedelta = timedelta(days=90)

    def find(self, aws: Aws, now: datetime) -> Iterator[ServingResource]:
        """Describe all possible users, but no job that ended: Search knows a model's last transform job."""
        users, since = ResourceUsers(), now - self.min_age
        read = {kind: users.described(aws, kind) for kind in USER_MEMBERS}
        models, configs = sagemaker_kinds.list_targets(aws, MODEL), read[ENDPOINT_CONFIG]
        users.deployed(aws, since, now)
        records = users.searched(sagemaker_kinds.search_records(aws, "Model", dict), since)
        users.check_configurations(read[ENDPOINT], {config.name for config, _ in configs.items})
        book = tags.read_tag_book(aws, *(f"sagemaker:{kind}" for kind in self.kinds))
        idle: dict[str, tuple[Target, ...]] = {}
        for listed, description in configs.items:
            target = replace(listed, tags=book.of(listed.arn))
            user = users.of((CONFIG_NAME, target.name), (DEFINITION_MEMBER, target.name))
            config = ServingResource(target=target, user=user, undos=users.undos)
            names = names_in(description.value, (MODEL_NAME,)) if isinstance(description, Value) else []
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
        for listing in (configs, models):
            listing.check()

    def may_be_needed(self, candidate: ServingResource) -> str | None:
        return candidate.undos and f"{candidate.undos}, and an undo may need this: only its ledger tells"

    def decide(self, candidate: ServingResource, now: datetime) -> Verdict:
        """
        Judge a resource, as likely at most: it is unused if nothing names it
        although everything was read.
        """
        rule, age = Rule(), now - (candidate.target.created or now)
        rule.saw(shown("used by", candidate.user))
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
            rule.saw(shown("artifacts that no other model names", artifacts, size))
        return rule.found(
            f"this {candidate.target.kind.replace('-', ' ')} was created {format_age(age)} ago, and no"
            " endpoint, inference component, experiment, pipeline, approved package or recent transform job"
            " uses it",
            Confidence.LIKELY,
            action="delete it, unless somebody means to deploy it again",
        )
