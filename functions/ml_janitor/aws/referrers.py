"""Reads which resources and places models, packages, pipelines, endpoints and jobs refer to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from ml_janitor.aws.answers import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import S3Address, addresses_in, parse_address
from ml_janitor.aws.manifests import S3Manifest, manifests_in
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    MODEL_PACKAGE,
    PIPELINE,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    SageMakerKind,
    describe_resource,
    list_kind,
    list_model_packages,
    list_running_jobs,
    search_records,
    texts_in,
)
from ml_janitor.aws.training_jobs import ENDED_STATUSES, list_all_jobs
from ml_janitor.core.model import Target
from ml_janitor.core.signals import Signal, Unreadable, Value

REFERENCE_SOURCE = "sagemaker:Describe*"
"""The source of references: the descriptions of all these resources together."""

UNFINISHED_JOBS = (PROCESSING_JOB, TRANSFORM_JOB)
"""Jobs that refer to their input only until they have read it."""

REFERRER_KINDS = (
    MODEL,
    TRAINING_JOB,
    PIPELINE,
    COMPONENT,
    *UNFINISHED_JOBS,
    MODEL_PACKAGE,
    ENDPOINT,
    ENDPOINT_CONFIG,
)
"""
The kinds in the order of reading.

Training jobs include all ended ones: a job refers to its output and its start after its end. Endpoint
configurations come after endpoints: only those of an endpoint are described.
"""

UNCHANGING_KINDS = frozenset({MODEL, ENDPOINT_CONFIG, *UNFINISHED_JOBS})
"""Kinds that SageMaker never changes after their creation, except by ending or deleting them."""

LOADED_MEMBERS: Mapping[SageMakerKind, tuple[str, SageMakerKind]] = {
    COMPONENT: ("ModelName", MODEL),
    ENDPOINT: ("EndpointConfigName", ENDPOINT_CONFIG),
    ENDPOINT_CONFIG: ("ModelName", MODEL),
    MODEL: ("ModelPackageName", MODEL_PACKAGE),
    TRANSFORM_JOB: ("ModelName", MODEL),
}
"""The member and kind of a loaded resource, for kinds whose description names it instead of its place."""

OUTPUT_MEMBERS = frozenset(
    {
        "AsyncInferenceConfig",
        "CoreDumpConfig",
        "DataCaptureConfig",
        "DebugHookConfig",
        "OutputDataConfig",
        "ProcessingOutputConfig",
        "ProfilerConfig",
        "TensorBoardOutputConfig",
        "TransformOutput",
    }
)
"""Members for output places. Output paths do not protect existing files, except in a pipeline."""

DEFINITION_WORDS = (re.compile(r"[\w-]+"), re.compile(r"[\w:/.-]+"))
"""Names within a pipeline's definition, and ARNs."""

NO_WORDS = frozenset[str]()

FAILED_ENDPOINT, REJECTED_PACKAGE = "Failed", "Rejected"

UNUSED_WORDS: Mapping[SageMakerKind, str] = {
    MODEL: "which nothing serves",
    MODEL_PACKAGE: "which was rejected",
    TRAINING_JOB: "which ended",
}
"""Kinds that may refer to something without being in use, and the words for that."""

type ReferrerKey = tuple[SageMakerKind, str]
"""A kind, and a resource's name in small letters: SageMaker does not tell names apart by case."""


@dataclass(frozen=True, slots=True)
class Referrer:
    """
    The references of one description.

    *live* tells whether it is in use by itself; a model or configuration is in use only if a live
    referrer *loads* it. Everything in *loads* has to exist. *words* are those of a pipeline's definition:
    a word may name a model.
    """

    kind: SageMakerKind
    name: str
    live: bool = False
    places: tuple[S3Address, ...] = ()
    loads: tuple[tuple[SageMakerKind, str], ...] = ()
    words: frozenset[str] = frozenset()
    manifests: tuple[S3Manifest, ...] = ()

    @property
    def key(self) -> ReferrerKey:
        return referrer_key(self.kind, self.name)

    @property
    def label(self) -> str:
        """Return its name for a sentence."""
        return f"{self.kind.words} {self.name}"

    def as_user(self, *, in_use: bool) -> PlaceUser:
        """Return it as a user of the places that it refers to."""
        label = (
            self.label if in_use else f"{self.label}, {UNUSED_WORDS.get(self.kind, 'which is not in use')}"
        )
        return PlaceUser(label, f"{self.kind.type}/{self.name}", in_use)


@dataclass(frozen=True, slots=True)
class PlaceUser:
    """
    A user of a place: its *label* in a sentence, and its *path* in an ARN ("training-job/churn-7").

    A user that is not *in_use* makes a copy worth asking about, but does not keep it for ever.
    """

    label: str
    path: str
    in_use: bool


def list_referrers(
    aws: Aws, kind: SageMakerKind, found: Iterable[Referrer], now: datetime
) -> Listing[Referrer]:
    """Read all referrers of *kind*; *found* are those read before."""
    if kind is TRAINING_JOB:
        jobs, unread = list_all_jobs(aws, partial(_recorded, aws), now)
        still_open = _described(aws, kind, [_listed(aws, kind, entry) for entry in jobs.open.values()])
        return Listing.joined((*jobs.ended, *still_open.items), (unread, still_open.error))
    read = partial(_listed, aws, kind)
    if kind is MODEL_PACKAGE:  # their listing has no modification time
        packages = list_model_packages(aws)
        listed = Listing(tuple(ListedResource(package) for package in packages.items), packages.error)
    else:
        listed = (
            list_running_jobs(aws, kind, read, now) if kind in UNFINISHED_JOBS else list_kind(aws, kind, read)
        )
    todo = listed.items
    if kind is MODEL:
        _keep_searched(aws)
    if kind is ENDPOINT_CONFIG:
        named = {
            referrer_key(*load) for referrer in found if referrer.kind is ENDPOINT for load in referrer.loads
        }
        todo = tuple(entry for entry in todo if referrer_key(kind, entry.target.name) in named)
    described = _described(aws, kind, todo)
    return Listing.joined(described.items, (listed.error, described.error))


def _recorded(aws: Aws, record: dict[str, Any]) -> Referrer | None:
    """Return a Search record of an ended training job as a referrer, if it refers to anything."""
    found = _referrer(aws, TRAINING_JOB, TRAINING_JOB.target(aws, record), record)
    return found if found.places or found.manifests else None


class ListedResource(NamedTuple):
    """A resource of a listing, with the signs of a change."""

    target: Target
    modified: datetime | None = None
    status: str | None = None


def _listed(aws: Aws, kind: SageMakerKind, entry: Mapping[str, Any]) -> ListedResource:
    return ListedResource(kind.target(aws, entry), entry.get("LastModifiedTime"), entry.get(kind.status))


def _keep_searched(aws: Aws) -> None:
    """
    Keep Search's records of models, once in a run: a hundred come with a call, and none changes.

    The delay of its index is unknown: models that it does not show are described, and so are models whose
    record has no container. If Search fails, all models are described.
    """
    if MODEL in aws.lasting:
        return
    aws.lasting[MODEL] = None
    for record in search_records(aws, "Model", lambda found: found["Model"]).items:
        entry = _listed(aws, MODEL, record)
        if "PrimaryContainer" in record or "Containers" in record:
            aws.lasting[MODEL, entry] = _referrer(aws, MODEL, entry.target, record)


def _described(aws: Aws, kind: SageMakerKind, todo: Iterable[ListedResource]) -> Listing[Referrer]:
    """Read the references of all of *todo*."""
    answers = aws.map(lambda entry: _describe(aws, kind, entry), list(todo))
    return Listing.joined(
        (answer.value for answer in answers if isinstance(answer, Value)),
        (answer.error for answer in answers if isinstance(answer, Unreadable)),
    )


def _describe(aws: Aws, kind: SageMakerKind, entry: ListedResource) -> Signal[Referrer]:
    """
    Read the references of *entry*. A description that cannot have changed is read once in a run.

    A recheck of a copy reads every reference anew: with thousands of models and jobs that would be
    thousands of calls for each copy. The listing is read each time, and resources that were created
    again, modified or have another status are described again.
    """
    known: Referrer | None = aws.lasting.get((kind, entry))
    if known is not None:
        return Value(known, REFERENCE_SOURCE)
    match describe_resource(aws, kind, entry.target.name):
        case Value(description, source):
            if kind is ENDPOINT_CONFIG and "ProductionVariants" not in description:
                return Unreadable(f"{kind.words} {entry.target.name}: the answer was cut off", source)
            referrer = _referrer(aws, kind, entry.target, description)
            unmodified = entry.modified is not None and description.get("LastModifiedTime") == entry.modified
            if kind in UNCHANGING_KINDS or unmodified:
                aws.lasting[kind, entry] = referrer
            return Value(referrer, source)
        case other:
            return other


def _referrer(aws: Aws, kind: SageMakerKind, target: Target, description: dict[str, Any]) -> Referrer:
    live, places, words = kind not in {MODEL, ENDPOINT_CONFIG}, [], NO_WORDS
    if kind not in {ENDPOINT, ENDPOINT_CONFIG}:  # configurations and models tell what an endpoint loads
        places = list(addresses_in(description, frozenset() if kind is PIPELINE else OUTPUT_MEMBERS))
    if kind is ENDPOINT:
        live = description["EndpointStatus"] != FAILED_ENDPOINT
    elif kind is TRAINING_JOB:
        live = description["TrainingJobStatus"] not in ENDED_STATUSES
        places += _going_to_write(target.name, description) if live else ()
    elif kind is MODEL_PACKAGE:
        live = description.get("ModelApprovalStatus") != REJECTED_PACKAGE
    elif kind is PIPELINE:
        text = " ".join(texts_in(description, "PipelineDefinition")).lower()
        words = frozenset(_bare(word) for how in DEFINITION_WORDS for word in how.findall(text))
    return Referrer(
        kind,
        _bare(target.name),
        live=live,
        places=tuple(places),
        loads=_loads(aws, kind, description),
        words=words,
        manifests=tuple(manifests_in(description, runs=live and kind.job)),
    )


def _loads(
    aws: Aws, kind: SageMakerKind, description: Mapping[str, Any]
) -> tuple[tuple[SageMakerKind, str], ...]:
    """
    Return the resources of this account and region that *description* names; others
    are not listed here.
    """
    if kind not in LOADED_MEMBERS:
        return ()
    member, named = LOADED_MEMBERS[kind]
    found = dict.fromkeys(texts_in(description, member))
    here = [aws.region, aws.account]
    ours = (name for name in found if not name.startswith("arn:") or name.split(":")[3:5] == here)
    return tuple((named, _bare(name)) for name in ours)


def referrer_key(kind: SageMakerKind, name: str) -> ReferrerKey:
    """Return the key of the *kind* called *name*."""
    return kind, name.lower()


def _bare(name: str) -> str:
    """Return *name* without its ARN; for a version in a group, "churn/3"."""
    return name.partition("model-package/")[2] or name


def _going_to_write(name: str, description: dict[str, Any]) -> Iterator[S3Address]:
    """Yield a running training job's output place: a folder of its own name, under its output path."""
    place = parse_address(description.get("OutputDataConfig", {}).get("S3OutputPath", ""))
    if place is not None:
        yield S3Address(place.bucket, "/".join(part for part in (place.path.strip("/"), name) if part))
