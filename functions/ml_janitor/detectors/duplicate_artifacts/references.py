"""Which places in S3 models, packages, pipelines, endpoints and jobs refer to, and what is in use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_janitor.aws.answers import Listing
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    MODEL_PACKAGE,
    OLDEST_FIRST,
    PIPELINE,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    Kind,
    describe,
    listing,
    model_packages,
    running,
    texts_in,
)
from ml_janitor.aws.training_jobs import NEW, recorded
from ml_janitor.core.model import Absent, Signal, Unreadable, Value
from ml_janitor.detectors.duplicate_artifacts import manifests
from ml_janitor.detectors.duplicate_artifacts.locations import Address, mentioned, parse
from ml_janitor.detectors.duplicate_artifacts.manifests import Manifest, Unopened, manifests_in

if TYPE_CHECKING:
    from ml_janitor.aws.client import Aws
    from ml_janitor.core.model import Target

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

OVERLAP = timedelta(hours=1)
"""By which looking again lists training jobs that an earlier reading may have listed: clocks differ."""

ENDED = frozenset({"Completed", "Failed", "Stopped"})
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


class Uses(NamedTuple):
    """What refers to something: the labels of what is *in_use*, and what else it is *needed_only_by*."""

    in_use: Signal[tuple[str, ...]]
    needed_only_by: tuple[User, ...]


@dataclass(slots=True)
class References:
    """
    Every place that something refers to, and what does.

    *errors* say what could not be read. *gaps* say what was read and does not tell what something live
    loads, so any copy may be it; *leftovers* name what is not in use and refers to what exists no more.
    """

    errors: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    _exact: dict[tuple[str | None, str], list[User]] = field(default_factory=dict)
    _beginnings: dict[str | None, dict[str, list[User]]] = field(default_factory=dict)

    def add(self, user: User, places: Iterable[Address]) -> None:
        """Let *user* refer to *places*. A bucket alone, unless as a beginning, names nothing in it."""
        for place in places:
            if place.beginning:
                self._beginnings.setdefault(place.bucket, {}).setdefault(place.path, []).append(user)
            else:
                self._exact.setdefault((place.bucket, place.path.rstrip("/")), []).append(user)

    def described(self, answers: Iterable[Signal[Referrer]]) -> list[Referrer]:
        """What was described of *answers*; what could not be is among the errors."""
        answers = list(answers)
        self.errors += [one.error for one in answers if isinstance(one, Unreadable)]
        return [one.value for one in answers if isinstance(one, Value)]

    def add_listed(
        self, one: Referrer, user: Referrer | None, uri: str, listed: Signal[tuple[Address, ...] | Unopened]
    ) -> None:
        """Let *one* refer to what the manifest at *uri* has *listed*."""
        match listed:
            case Value(Unopened(why)):
                self.gaps.append(f"{one.label} reads what {uri} lists, {why}")
            case Value(tuple() as places):
                self.add(one.as_user(in_use=user is not None), places)
            case Unreadable(error):
                self.errors.append(error)
            case _:
                self.gone(one, user, f"manifest {uri}")

    def gone(self, one: Referrer, user: Referrer | None, what: str) -> None:
        """Note that *one*, which *user* loads if anything in use does, names *what*, which exists no more."""
        if user is None:
            self.leftovers.append(f"{one.label}, which nothing uses, names {what}, which exists no more")
        else:
            self.gaps.append(f"{user.label} uses {what}, which exists no more: what it loads is unknown")

    @property
    def buckets(self) -> frozenset[str]:
        """The buckets in which something is referred to."""
        buckets = {bucket for bucket, _ in self._exact} | self._beginnings.keys()
        return frozenset(bucket for bucket in buckets if bucket is not None)

    def to(self, bucket: str, keys: Iterable[str]) -> Uses:
        """What refers to any of *keys*, to a folder of one, or to a beginning of one."""
        found = dict.fromkeys(user for key in keys for user in self._to_one(bucket, key))
        labels = tuple(user.label for user in found if user.in_use)
        in_use: Signal[tuple[str, ...]] = Value(labels, SOURCE)
        if not labels:
            in_use = Unreadable("; ".join(self.errors), SOURCE) if self.errors else Absent(SOURCE)
        return Uses(in_use, tuple(user for user in found if not user.in_use))

    def _to_one(self, bucket: str, key: str) -> Iterator[User]:
        folders = [key[:at] for at, letter in enumerate(key) if letter == "/"]
        for meant in (bucket, None):
            for path in (key, *folders):
                yield from self._exact.get((meant, path), ()) if path else ()
            for path, users in self._beginnings.get(meant, {}).items():
                if key.startswith(path):
                    yield from users


def read(aws: Aws, contents_in: tuple[str, ...], now: datetime) -> References:
    """
    What everything in the account and region refers to at *now*. What cannot be read is among the errors.

    Manifests are opened under the prefixes *contents_in*.
    """
    references = References()
    found = dict[Key, Referrer]()
    for kind in LISTED:
        if kind is TRAINING_JOB:
            found |= {one.key: one for one in _training_jobs(aws, references, now)}
        else:
            found |= {one.key: one for one in _every(aws, kind, references, found.values(), now)}
    users, listed = _in_use(found), _open(aws, found.values(), contents_in)
    for one in found.values():
        user = users.get(one.key)
        references.add(one.as_user(in_use=user is not None), one.places)
        for manifest in one.manifests:
            references.add_listed(one, user, manifest.uri, listed[manifest])
        for kind, name in one.loads:
            if key_of(kind, name) not in found:
                references.gone(one, user, f"{kind.words} {name}")
        if one.kind is ENDPOINT and one.live and not one.loads:
            references.gaps.append(f"{one.label} names no configuration: what it serves is unknown")
    if references.errors:  # what is gone may merely not be listed
        references.gaps, references.leftovers = [], []
    return references


def _in_use(found: Mapping[Key, Referrer]) -> dict[Key, Referrer]:
    """By key, all that is in use: what is live, and what that loads; each with what uses it."""
    words = {word: one for one in found.values() for word in one.words}
    users = {key: one for key, one in found.items() if one.live}
    users |= {key: words[key[1]] for key in found if key[0] in {MODEL, MODEL_PACKAGE} and key[1] in words}
    todo = list(users)
    while todo:
        key = todo.pop()
        for loaded in (key_of(*one) for one in found[key].loads):
            if loaded in found and loaded not in users:
                users[loaded] = users[key]
                todo.append(loaded)
    return users


def _open(
    aws: Aws, found: Iterable[Referrer], contents_in: tuple[str, ...]
) -> dict[Manifest, Signal[tuple[Address, ...] | Unopened]]:
    """What each manifest lists, each read once."""
    todo = list(dict.fromkeys(manifest for one in found for manifest in one.manifests))
    return dict(zip(todo, aws.map(lambda one: manifests.read(aws, one, contents_in), todo), strict=True))


@dataclass(slots=True)
class Jobs:
    """The training jobs of a run at *at*: what those refer to that had *ended*, and the *open* others."""

    at: datetime
    ended: dict[str, Referrer]
    open: dict[str, Listed]


def _training_jobs(aws: Aws, references: References, now: datetime) -> list[Referrer]:
    """
    All training jobs there ever were.

    Search has their records. What it may not have taken in yet is listed; only that and what has not ended
    is described. What a job refers to does not change, and once it ended it only keeps no copy any more:
    looking again within a run lists what is new.
    """
    jobs: Jobs | None = aws.lasting.get(TRAINING_JOB)
    since = now - NEW if jobs is None else jobs.at - OVERLAP
    if jobs is None:
        records = recorded(aws, partial(_record, aws), now)
        if records.error is not None:
            references.errors.append(records.error)
        jobs = Jobs(now, {}, {})
        for one, ended in records.items:
            if ended is None:
                jobs.open[one.target.key] = one
            else:
                jobs.ended[one.target.key] = ended
    new = listing(
        aws, TRAINING_JOB, partial(_listed, aws, TRAINING_JOB), CreationTimeAfter=since, **OLDEST_FIRST
    )
    if new.error is not None:
        references.errors.append(new.error)
    jobs.open |= {one.target.key: one for one in new.items if one.target.key not in jobs.ended}
    if not references.errors:
        jobs.at = now
        aws.lasting[TRAINING_JOB] = jobs
    described = aws.map(lambda one: _described(aws, TRAINING_JOB, one), list(jobs.open.values()))
    return [*jobs.ended.values(), *references.described(described)]


def _record(aws: Aws, record: dict[str, Any]) -> tuple[Listed, Referrer | None]:
    """A training job in Search, and what it refers to if it has ended."""
    one = _listed(aws, TRAINING_JOB, record)
    return one, _referrer(aws, TRAINING_JOB, one.target, record) if one.status in ENDED else None


def _every(
    aws: Aws, kind: Kind, references: References, found: Iterable[Referrer], now: datetime
) -> list[Referrer]:
    """All of *kind* that may refer to something, *found* being what was described before."""
    read = partial(_listed, aws, kind)
    if kind is MODEL_PACKAGE:  # their listing does not say when one was modified
        packages = model_packages(aws)
        listed = Listing(tuple(Listed(one) for one in packages.items), packages.error)
    else:
        listed = running(aws, kind, read, now) if kind in UNFINISHED else listing(aws, kind, read)
    if listed.error is not None:
        references.errors.append(listed.error)
    todo = listed.items
    if kind is ENDPOINT_CONFIG:
        named = {key_of(*one) for each in found if each.kind is ENDPOINT for one in each.loads}
        todo = tuple(one for one in todo if key_of(kind, one.target.name) in named)
    return references.described(aws.map(lambda one: _described(aws, kind, one), todo))


class Listed(NamedTuple):
    """A resource as its listing has it, and how far that tells whether it was changed."""

    target: Target
    modified: datetime | None = None
    status: str | None = None


def _listed(aws: Aws, kind: Kind, entry: Mapping[str, Any]) -> Listed:
    return Listed(kind.target(aws, entry), entry.get("LastModifiedTime"), entry.get(f"{kind.noun}Status"))


def _described(aws: Aws, kind: Kind, one: Listed) -> Signal[Referrer]:
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
    live, places, words = kind not in {MODEL, ENDPOINT_CONFIG}, [], frozenset[str]()
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
