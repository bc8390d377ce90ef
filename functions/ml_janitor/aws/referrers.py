"""What the descriptions of models, packages, pipelines, endpoints and jobs refer to, and load."""

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
"""What is referred to is known from the descriptions of all these resources together."""

UNFINISHED = (PROCESSING_JOB, TRANSFORM_JOB)
"""Jobs that refer to what they read only until they have read it."""

LISTED = (MODEL, TRAINING_JOB, PIPELINE, COMPONENT, *UNFINISHED, MODEL_PACKAGE, ENDPOINT, ENDPOINT_CONFIG)
"""
Of training jobs all there ever were: what a job made, or started from, it refers to after its end. Endpoint
configurations come after endpoints: only those that one has are described.
"""

UNCHANGING = frozenset({MODEL, ENDPOINT_CONFIG, *UNFINISHED})
"""Kinds that no call of SageMaker's changes, once they are created, but by ending or deleting them."""

LOADS: Mapping[Kind, tuple[str, Kind]] = {
    COMPONENT: ("ModelName", MODEL),
    ENDPOINT: ("EndpointConfigName", ENDPOINT_CONFIG),
    ENDPOINT_CONFIG: ("ModelName", MODEL),
    MODEL: ("ModelPackageName", MODEL_PACKAGE),
    TRANSFORM_JOB: ("ModelName", MODEL),
}
"""Whose description names what it loads, in which member, instead of telling where that lies."""

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
"""Members that say where something writes. Output paths do not protect existing files, but in a pipeline."""

WORDS = (re.compile(r"[\w-]+"), re.compile(r"[\w:/.-]+"))
"""Names within a pipeline's definition, and ARNs."""

NO_WORDS = frozenset[str]()

FAILED, REJECTED = "Failed", "Rejected"

UNUSED: Mapping[Kind, str] = {
    MODEL: "which nothing serves",
    MODEL_PACKAGE: "which was rejected",
    TRAINING_JOB: "which ended",
}
"""What may refer to something without being in use, and what is said of it then."""

type Key = tuple[Kind, str]
"""A kind, and the name of one in small letters: SageMaker does not tell names apart by case."""


@dataclass(frozen=True, slots=True)
class Referrer:
    """
    What one description tells.

    *live* is whether it is in use by itself; a model or configuration is only if something live *loads* it.
    Everything in *loads* has to exist. *words* are those of a pipeline's definition: one may name a model.
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
        """What it is called in a sentence."""
        return f"{self.kind.words} {self.name}"

    def as_user(self, *, in_use: bool) -> User:
        """What it is to the places that it refers to."""
        label = self.label if in_use else f"{self.label}, {UNUSED.get(self.kind, 'which is not in use')}"
        return User(label, f"{self.kind.type}/{self.name}", in_use)


@dataclass(frozen=True, slots=True)
class User:
    """
    What refers to a place: its *label* in a sentence, and its *path* in an ARN ("training-job/churn-7").

    What is not *in_use* makes a copy worth asking about, but does not keep it for ever.
    """

    label: str
    path: str
    in_use: bool


def referrers(aws: Aws, kind: Kind, found: Iterable[Referrer], now: datetime) -> Listing[Referrer]:
    """All of *kind* that may refer to something, *found* being what was described before."""
    if kind is TRAINING_JOB:
        jobs, unread = every(aws, partial(_recorded, aws), now)
        still_open = _described(aws, kind, [_listed(aws, kind, entry) for entry in jobs.open.values()])
        return Listing.joined((*jobs.ended, *still_open.items), (unread, still_open.error))
    read = partial(_listed, aws, kind)
    if kind is MODEL_PACKAGE:  # their listing does not say when one was modified
        packages = model_packages(aws)
        listed = Listing(tuple(Listed(one) for one in packages.items), packages.error)
    else:
        listed = running(aws, kind, read, now) if kind in UNFINISHED else listing(aws, kind, read)
    todo = listed.items
    if kind is MODEL:
        _keep_searched(aws)
    if kind is ENDPOINT_CONFIG:
        named = {key_of(*one) for each in found if each.kind is ENDPOINT for one in each.loads}
        todo = tuple(one for one in todo if key_of(kind, one.target.name) in named)
    described = _described(aws, kind, todo)
    return Listing.joined(described.items, (listed.error, described.error))


def _recorded(aws: Aws, record: dict[str, Any]) -> Referrer | None:
    """What a training job that ended refers to by its record in Search, if to anything."""
    found = _referrer(aws, TRAINING_JOB, TRAINING_JOB.target(aws, record), record)
    return found if found.places or found.manifests else None


class Listed(NamedTuple):
    """A resource as its listing has it, and how far that tells whether it was changed."""

    target: Target
    modified: datetime | None = None
    status: str | None = None


def _listed(aws: Aws, kind: Kind, entry: Mapping[str, Any]) -> Listed:
    return Listed(kind.target(aws, entry), entry.get("LastModifiedTime"), entry.get(kind.status))


def _keep_searched(aws: Aws) -> None:
    """
    Keep what Search knows of models, once in a run: a hundred come with a call, and none changes.

    Nobody says how far its index lags behind: a model that it does not show is described, and so is one whose
    record tells nothing of a container. So are all, if it answers with an error.
    """
    if MODEL in aws.lasting:
        return
    aws.lasting[MODEL] = True
    for record in search(aws, "Model", lambda found: found["Model"]).items:
        one = _listed(aws, MODEL, record)
        if "PrimaryContainer" in record or "Containers" in record:
            aws.lasting[MODEL, one] = _referrer(aws, MODEL, one.target, record)


def _described(aws: Aws, kind: Kind, todo: Iterable[Listed]) -> Listing[Referrer]:
    """What all of *todo* refer to."""
    answers = aws.map(lambda one: _describe(aws, kind, one), list(todo))
    return Listing.joined(
        (one.value for one in answers if isinstance(one, Value)),
        (one.error for one in answers if isinstance(one, Unreadable)),
    )


def _describe(aws: Aws, kind: Kind, one: Listed) -> Signal[Referrer]:
    """
    What *one* refers to. A description that cannot have changed since is read once in a run.

    Looking again at a copy asks for every reference anew: with thousands of models and jobs that would
    be thousands of calls for each copy. The listing is new each time, and what was created again, modified
    or has another status is described again.
    """
    known: Referrer | None = aws.lasting.get((kind, one))
    if known is not None:
        return Value(known, SOURCE)
    match describe(aws, kind, one.target.name):
        case Value(description, source):
            if kind is ENDPOINT_CONFIG and "ProductionVariants" not in description:
                return Unreadable(f"{kind.words} {one.target.name}: the answer was cut off", source)
            referrer = _referrer(aws, kind, one.target, description)
            unmodified = one.modified is not None and description.get("LastModifiedTime") == one.modified
            if kind in UNCHANGING or unmodified:
                aws.lasting[kind, one] = referrer
            return Value(referrer, source)
        case other:
            return other


def _referrer(aws: Aws, kind: Kind, one: Target, description: dict[str, Any]) -> Referrer:
    live, places, words = kind not in {MODEL, ENDPOINT_CONFIG}, [], NO_WORDS
    if kind not in {ENDPOINT, ENDPOINT_CONFIG}:  # what one loads its configuration and its models say
        places = list(mentioned(description, frozenset() if kind is PIPELINE else OUTPUTS))
    if kind is ENDPOINT:
        live = description["EndpointStatus"] != FAILED
    elif kind is TRAINING_JOB:
        live = description["TrainingJobStatus"] not in ENDED
        places += _going_to_write(one.name, description) if live else ()
    elif kind is MODEL_PACKAGE:
        live = description.get("ModelApprovalStatus") != REJECTED
    elif kind is PIPELINE:
        text = " ".join(texts_in(description, "PipelineDefinition")).lower()
        words = frozenset(_bare(word) for how in WORDS for word in how.findall(text))
    return Referrer(
        kind,
        _bare(one.name),
        live=live,
        places=tuple(places),
        loads=_loads(aws, kind, description),
        words=words,
        manifests=tuple(manifests_in(description, runs=live and kind.job)),
    )


def _loads(aws: Aws, kind: Kind, description: Mapping[str, Any]) -> tuple[tuple[Kind, str], ...]:
    """What *description* names, of this account and region: what others hold is not listed here."""
    if kind not in LOADS:
        return ()
    member, named = LOADS[kind]
    found = dict.fromkeys(texts_in(description, member))
    here = [aws.region, aws.account]
    ours = (one for one in found if not one.startswith("arn:") or one.split(":")[3:5] == here)
    return tuple((named, _bare(one)) for one in ours)


def key_of(kind: Kind, name: str) -> Key:
    """The key of the *kind* called *name*."""
    return kind, name.lower()


def _bare(name: str) -> str:
    """*name* without its ARN; of a version in a group, "churn/3"."""
    return name.partition("model-package/")[2] or name


def _going_to_write(name: str, description: dict[str, Any]) -> Iterator[Address]:
    """Where a running training job puts its model: a folder of its own name, under its output path."""
    place = parse(description.get("OutputDataConfig", {}).get("S3OutputPath", ""))
    if place is not None:
        yield Address(place.bucket, "/".join(part for part in (place.path.strip("/"), name) if part))
