"""Which places in S3 models, packages, pipelines, endpoints and jobs refer to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    IN_PROGRESS,
    MODEL,
    MODEL_PACKAGE,
    PIPELINE,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    Kind,
    describe,
    model_packages,
    targets,
)
from ml_janitor.core.model import Absent, Signal, Target, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts import served
from ml_janitor.detectors.duplicate_artifacts.locations import Place, mentioned, parse
from ml_janitor.detectors.duplicate_artifacts.manifests import hidden
from ml_janitor.detectors.duplicate_artifacts.orphans import Named, named, orphaned

if TYPE_CHECKING:
    from ml_janitor.aws.answers import Listing
    from ml_janitor.aws.client import Aws

SOURCE = "sagemaker:Describe*"
"""What is referred to is known from the descriptions of seven kinds of resources together."""

RUNNING: Mapping[str, str] = {"StatusEquals": IN_PROGRESS}
UNFINISHED = (PROCESSING_JOB, TRANSFORM_JOB)
"""Jobs that refer to what they read only until they have read it."""

DESCRIBED = (MODEL, TRAINING_JOB, PIPELINE, COMPONENT, *UNFINISHED, MODEL_PACKAGE)
"""Of training jobs all there ever were: what a job made, or started from, it refers to for good."""

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

ENDED = frozenset({"Completed", "Failed", "Stopped"})


@dataclass(frozen=True, slots=True)
class Mentions:
    """
    The *places* that one description refers to; *hidden* says which others cannot be known from it.

    *named* is what it loads by name.
    """

    places: tuple[Place, ...]
    hidden: tuple[str, ...] = ()
    named: tuple[Named, ...] = ()


@dataclass(slots=True)
class References:
    """
    Every place that something refers to, and what does; *errors* say what could not be read.

    *named* is what is referred to by the names of models and packages.
    """

    errors: list[str] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)
    _exact: dict[tuple[str | None, str], str] = field(default_factory=dict)
    _beginnings: dict[str | None, dict[str, str]] = field(default_factory=dict)

    def add(self, by: str, places: Iterable[Place]) -> None:
        """Let *by* refer to *places*. A bucket alone, unless as a beginning, names nothing in it."""
        for place in places:
            if place.beginning:
                self._beginnings.setdefault(place.bucket, {}).setdefault(place.path, by)
            else:
                self._exact.setdefault((place.bucket, place.path.rstrip("/")), by)

    @property
    def buckets(self) -> frozenset[str]:
        """The buckets in which something is referred to."""
        buckets = {bucket for bucket, _ in self._exact} | self._beginnings.keys()
        return frozenset(bucket for bucket in buckets if bucket is not None)

    def to(self, bucket: str, keys: Iterable[str]) -> Signal[tuple[str, ...]]:
        """What refers to any of *keys*, to a folder of one, or to a beginning of one."""
        found = dict.fromkeys(by for key in keys for by in self._to_one(bucket, key))
        if found:
            return Value(tuple(found), SOURCE)
        return Unreadable("; ".join(self.errors), SOURCE) if self.errors else Absent(SOURCE)

    def _to_one(self, bucket: str, key: str) -> Iterator[str]:
        folders = [key[:at] for at, letter in enumerate(key) if letter == "/"]
        for meant in (bucket, None):
            for path in (key, *folders):
                if path and (by := self._exact.get((meant, path))):
                    yield by
            for path, by in self._beginnings.get(meant, {}).items():
                if key.startswith(path):
                    yield by


def read(aws: Aws) -> References:
    """What everything in the account and region refers to. What cannot be read is among the errors."""
    references = References()
    found = {}
    for kind in DESCRIBED:
        listing = _listing(aws, kind)
        if listing.error is not None:
            references.errors.append(listing.error)
        found[kind] = listing.items
        _describe(aws, kind, listing.items, references)
    there = {kind.words: frozenset(one.name for one in found[kind]) for kind in (MODEL, MODEL_PACKAGE)}
    references.errors += served.errors(aws, there[MODEL.words])
    references.errors += orphaned(references.named, there, aws.account, aws.region)
    return references


def _listing(aws: Aws, kind: Kind) -> Listing[Target]:
    if kind is MODEL_PACKAGE:
        return model_packages(aws)
    return targets(aws, kind, **(RUNNING if kind in UNFINISHED else {}))


def _describe(aws: Aws, kind: Kind, resources: Sequence[Target], references: References) -> None:
    """Add what each of *resources* refers to."""
    answers = aws.map(lambda one: _mentions(aws, kind, one), resources)
    for one, answer in zip(resources, answers, strict=True):
        match answer:
            case Value(mentions):
                references.add(_words(kind, one), mentions.places)
                references.errors += mentions.hidden
                references.named += mentions.named
            case Unreadable(error):
                references.errors.append(error)


def _mentions(aws: Aws, kind: Kind, one: Target) -> Signal[Mentions]:
    """
    What *one* refers to. What can never change is read once in a run.

    Looking again at a copy asks for every reference anew: with thousands of models and jobs that would
    be thousands of calls for each copy.
    """
    known: Mentions | None = aws.lasting.get((kind, one))
    if known is not None:
        return Value(known, SOURCE)
    match describe(aws, kind, one.name):
        case Value(description, source):
            places = list(mentioned(description, frozenset() if kind is PIPELINE else OUTPUTS))
            runs = kind in UNFINISHED
            if kind is TRAINING_JOB and description["TrainingJobStatus"] == IN_PROGRESS:
                places += _going_to_write(one.name, description)
                runs = True
            by = _words(kind, one)
            mentions = Mentions(
                tuple(places),
                tuple(hidden(by, description, runs=runs)),
                tuple(named(by, kind.noun, description)),
            )
            if _lasts(kind, description):
                aws.lasting[kind, one] = mentions
            return Value(mentions, source)
        case other:
            return other


def _lasts(kind: Kind, description: Mapping[str, Any]) -> bool:
    """
    Whether a description says the same for ever.

    SageMaker has no call that changes a model, and UpdateTrainingJob only changes jobs that have not
    ended (SageMaker API reference).
    """
    return kind is MODEL or (kind is TRAINING_JOB and description["TrainingJobStatus"] in ENDED)


def _words(kind: Kind, one: Target) -> str:
    return f"{kind.words} {one.name.partition('/')[2] or one.name}"


def _going_to_write(name: str, description: dict[str, Any]) -> Iterator[Place]:
    """Where a running training job puts its model: a folder of its own name, under its output path."""
    place = parse(description.get("OutputDataConfig", {}).get("S3OutputPath", ""))
    if place is not None:
        yield Place(place.bucket, "/".join(part for part in (place.path.strip("/"), name) if part))
