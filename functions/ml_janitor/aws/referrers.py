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
from ml_janitor.aws.locations import Address, mentioned, parse
from ml_janitor.aws.manifests import Manifest, manifests_in
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
    Kind,
    describe,
    listing,
    model_packages,
    running,
    search,
    texts_in,
)
from ml_janitor.aws.training_jobs import ENDED, every
from ml_janitor.core.model import Target
from ml_janitor.core.signals import Signal, Unreadable, Value

SOURCE = "sagemaker:Describe*"
"""The source of references: the descriptions of all these resources together."""

UNFINISHED = (PROCESSING_JOB, TRANSFORM_JOB)
"""Jobs that refer to their input only until they have read it."""

LISTED = (MODEL, TRAINING_JOB, PIPELINE, COMPONENT, *UNFINISHED, MODEL_PACKAGE, ENDPOINT, ENDPOINT_CONFIG)
"""
The kinds in the order of reading.

Training jobs include all ended ones: a job refers to its output and its start after its end. Endpoint
configurations come after endpoints: only those of an endpoint are described.
"""

UNCHANGING = frozenset({MODEL, ENDPOINT_CONFIG, *UNFINISHED})
"""Kinds that SageMaker never changes after their creation, except by ending or deleting them."""

LOADS: Mapping[Kind, tuple[str, Kind]] = {
    COMPONENT: ("ModelName", MODEL),
    ENDPOINT: ("EndpointConfigName", ENDPOINT_CONFIG),
    ENDPOINT_CONFIG: ("ModelName", MODEL),
    MODEL: ("ModelPackageName", MODEL_PACKAGE),
    TRANSFORM_JOB: ("ModelName", MODEL),
}
"""The member and kind of a loaded resource, for kinds whose description names it instead of its place."""

OUTPUTS = frozenset(
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

WORDS = (re.compile(r"[\w-]+"), re.compile(r"[\w:/.-]+"))
"""Names within a pipeline's definition, and ARNs."""

NO_WORDS = frozenset[str]()

FAILED, REJECTED = "Failed", "Rejected"

UNUSED: Mapping[Kind, str] = {
    MODEL: "which nothing serves",
    MODEL_PACKAGE: "which was rejected",
    TRAINING_JOB: "which ended",
}
"""Kinds that may refer to something without being in use, and the words for that."""

type Key = tuple[Kind, str]
"""A kind, and a resource's name in small letters: SageMaker does not tell names apart by case."""


@dataclass(frozen=True, slots=True)
class Referrer:
    """
    The references of one description.

    *live* tells whether it is in use by itself; a model or configuration is in use only if a live
    referrer *loads* it. Everything in *loads* has to exist. *words* are those of a pipeline's definition:
    a word may name a model.
    """

    kind: Kind
    name: str
    live: bool = False
    places: tuple[Address, ...] = ()
    loads: tuple[tuple[Kind, str], ...] = ()
    words: frozenset[str] = frozenset()
    manifests: tuple[Manifest, ...] = ()

    @property
    def key(self) -> Key:
        return key_of(self.kind, self.name)

    @property
    def label(self) -> str:
        """Return its name for a sentence."""
        return f"{self.kind.words} {self.name}"

    def as_user(self, *, in_use: bool) -> User:
        """Return it as a user of the places that it refers to."""
        label = self.label if in_use else f"{self.label}, {UNUSED.get(self.kind, 'which is not in use')}"
        return User(label, f"{self.kind.type}/{self.name}", in_use)


@dataclass(frozen=True, slots=True)
class User:
    """
    A user of a place: its *label* in a sentence, and its *path* in an ARN ("training-job/churn-7").

    A user that is not *in_use* makes a copy worth asking about, but does not keep it for ever.
    """

    label: str
    path: str
    in_use: bool


def referrers(aws: Aws, kind: Kind, found: Iterable[Referrer], now: datetime) -> Listing[Referrer]:
    """Read all referrers of *kind*; *found* are those read before."""
    if kind is TRAINING_JOB:
        jobs, unread = every(aws, partial(_recorded, aws), now)
        still_open = _described(aws, kind, [_listed(aws, kind, entry) for entry in jobs.open.values()])
        return Listing.joined((*jobs.ended, *still_open.items), (unread, still_open.error))
    read = partial(_listed, aws, kind)
    if kind is MODEL_PACKAGE:  # their listing has no modification time
        packages = model_packages(aws)
        listed = Listing(tuple(Listed(package) for package in packages.items), packages.error)
    else:
        listed = running(aws, kind, read, now) if kind in UNFINISHED else listing(aws, kind, read)
    todo = listed.items
    if kind is MODEL:
        _keep_searched(aws)
    if kind is ENDPOINT_CONFIG:
        named = {key_of(*load) for referrer in found if referrer.kind is ENDPOINT for load in referrer.loads}
        todo = tuple(entry for entry in todo if key_of(kind, entry.target.name) in named)
    described = _described(aws, kind, todo)
    return Listing.joined(described.items, (listed.error, described.error))


def _recorded(aws: Aws, record: dict[str, Any]) -> Referrer | None:
    """Return a Search record of an ended training job as a referrer, if it refers to anything."""
    found = _referrer(aws, TRAINING_JOB, TRAINING_JOB.target(aws, record), record)
    return found if found.places or found.manifests else None


class Listed(NamedTuple):
    """A resource of a listing, with the signs of a change."""

    target: Target
    modified: datetime | None = None
    status: str | None = None


def _listed(aws: Aws, kind: Kind, entry: Mapping[str, Any]) -> Listed:
    return Listed(kind.target(aws, entry), entry.get("LastModifiedTime"), entry.get(kind.status))


def _keep_searched(aws: Aws) -> None:
    """
    Keep Search's records of models, once in a run: a hundred come with a call, and none changes.

    The delay of its index is unknown: models that it does not show are described, and so are models whose
    record has no container. If Search fails, all models are described.
    """
    if MODEL in aws.lasting:
        return
    aws.lasting[MODEL] = None
    for record in search(aws, "Model", lambda found: found["Model"]).items:
        entry = _listed(aws, MODEL, record)
        if "PrimaryContainer" in record or "Containers" in record:
            aws.lasting[MODEL, entry] = _referrer(aws, MODEL, entry.target, record)


def _described(aws: Aws, kind: Kind, todo: Iterable[Listed]) -> Listing[Referrer]:
    """Read the references of all of *todo*."""
    answers = aws.map(lambda entry: _describe(aws, kind, entry), list(todo))
    return Listing.joined(
        (answer.value for answer in answers if isinstance(answer, Value)),
        (answer.error for answer in answers if isinstance(answer, Unreadable)),
    )


def _describe(aws: Aws, kind: Kind, entry: Listed) -> Signal[Referrer]:
    """
    Read the references of *entry*. A description that cannot have changed is read once in a run.

    A recheck of a copy reads every reference anew: with thousands of models and jobs that would be
    thousands of calls for each copy. The listing is read each time, and resources that were created
    again, modified or have another status are described again.
    """
    known: Referrer | None = aws.lasting.get((kind, entry))
    if known is not None:
        return Value(known, SOURCE)
    match describe(aws, kind, entry.target.name):
        case Value(description, source):
            if kind is ENDPOINT_CONFIG and "ProductionVariants" not in description:
                return Unreadable(f"{kind.words} {entry.target.name}: the answer was cut off", source)
            referrer = _referrer(aws, kind, entry.target, description)
            unmodified = entry.modified is not None and description.get("LastModifiedTime") == entry.modified
            if kind in UNCHANGING or unmodified:
                aws.lasting[kind, entry] = referrer
            return Value(referrer, source)
        case other:
            return other


def _referrer(aws: Aws, kind: Kind, target: Target, description: dict[str, Any]) -> Referrer:
    live, places, words = kind not in {MODEL, ENDPOINT_CONFIG}, [], NO_WORDS
    if kind not in {ENDPOINT, ENDPOINT_CONFIG}:  # configurations and models tell what an endpoint loads
        places = list(mentioned(description, frozenset() if kind is PIPELINE else OUTPUTS))
    if kind is ENDPOINT:
        live = description["EndpointStatus"] != FAILED
    elif kind is TRAINING_JOB:
        live = description["TrainingJobStatus"] not in ENDED
        places += _going_to_write(target.name, description) if live else ()
    elif kind is MODEL_PACKAGE:
        live = description.get("ModelApprovalStatus") != REJECTED
    elif kind is PIPELINE:
        text = " ".join(texts_in(description, "PipelineDefinition")).lower()
        words = frozenset(_bare(word) for how in WORDS for word in how.findall(text))
    return Referrer(
        kind,
        _bare(target.name),
        live=live,
        places=tuple(places),
        loads=_loads(aws, kind, description),
        words=words,
        manifests=tuple(manifests_in(description, runs=live and kind.job)),
    )


def _loads(aws: Aws, kind: Kind, description: Mapping[str, Any]) -> tuple[tuple[Kind, str], ...]:
    """
    Return the resources of this account and region that *description* names; others
    are not listed here.
    """
    if kind not in LOADS:
        return ()
    member, named = LOADS[kind]
    found = dict.fromkeys(texts_in(description, member))
    here = [aws.region, aws.account]
    ours = (name for name in found if not name.startswith("arn:") or name.split(":")[3:5] == here)
    return tuple((named, _bare(name)) for name in ours)


def key_of(kind: Kind, name: str) -> Key:
    """Return the key of the *kind* called *name*."""
    return kind, name.lower()


def _bare(name: str) -> str:
    """Return *name* without its ARN; for a version in a group, "churn/3"."""
    return name.partition("model-package/")[2] or name


def _going_to_write(name: str, description: dict[str, Any]) -> Iterator[Address]:
    """Yield a running training job's output place: a folder of its own name, under its output path."""
    place = parse(description.get("OutputDataConfig", {}).get("S3OutputPath", ""))
    if place is not None:
        yield Address(place.bucket, "/".join(part for part in (place.path.strip("/"), name) if part))
