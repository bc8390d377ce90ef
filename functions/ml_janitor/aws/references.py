"""Find the places in S3 and the images that resources refer to, and whether these resources are in use."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from sys import intern
from typing import Any, NamedTuple

from ml_janitor.aws import activity, locations
from ml_janitor.aws.activity import TrailEvent
from ml_janitor.aws.calls import Listing, ReadError
from ml_janitor.aws.client import Aws
from ml_janitor.aws.descriptions import DESCRIBED_MEMBERS, describe_listed
from ml_janitor.aws.images import IMAGE_REFERENCE
from ml_janitor.aws.locations import (
    S3Address,
    S3Manifest,
    UnopenedManifest,
    addresses_in,
    manifests_in,
    parse_address,
)
from ml_janitor.aws.sagemaker_kinds import (
    COMPONENT,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    MODEL_PACKAGE,
    MODEL_PACKAGE_GROUP,
    NEWEST_FIRST,
    PIPELINE,
    PROCESSING_JOB,
    SEARCH,
    TRAINING_JOB,
    TRANSFORM_JOB,
    ListedResource,
    SageMakerKind,
    describe_resource,
    list_kind,
    list_model_packages,
    list_running_jobs,
    search_records,
    texts_in,
)
from ml_janitor.aws.training_jobs import ENDED_STATUSES, list_all_jobs
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import Absent, Signal, Target, Unreadable, Value
from ml_janitor.core.text import quote_shell


class ObjectUses(NamedTuple):
    """References to an object: the labels of users *in_use*, and the other users that need it."""

    in_use: Signal[tuple[str, ...]]
    needed_only_by: tuple[PlaceUser, ...]


@dataclass(slots=True)
class References:
    """
    Every place in S3 that a resource refers to, with its users; and every image of the account.

    *errors* are failed reads. *gaps* are descriptions that do not tell which object a live resource
    loads, so any copy may be it; *leftovers* name unused resources that refer to missing ones.
    """

    errors: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    _exact: dict[tuple[str | None, str], list[PlaceUser]] = field(default_factory=dict)
    _beginnings: dict[str | None, dict[str, list[PlaceUser]]] = field(default_factory=dict)
    _images: dict[str, set[str]] = field(default_factory=dict)
    _ordered: list[tuple[str, str, list[PlaceUser]]] = field(default_factory=list)

    def add(self, user: PlaceUser, places: Iterable[S3Address]) -> None:
        """Let *user* refer to *places*. A bucket alone, unless as a beginning, names nothing in it."""
        for place in places:
            if place.beginning:
                self._beginnings.setdefault(place.bucket, {}).setdefault(place.path, []).append(user)
            else:
                self._exact.setdefault((place.bucket, place.path.rstrip("/")), []).append(user)

    def add_listed(
        self,
        referrer: Referrer,
        user: Referrer | None,
        uri: str,
        listed: Signal[tuple[S3Address, ...] | UnopenedManifest],
    ) -> None:
        """Let *referrer* refer to the addresses *listed* by the manifest at *uri*."""
        match listed:
            case Value(UnopenedManifest(why)):
                self.gaps.append(f"{referrer.label} reads what {uri} lists, {why}")
            case Value(tuple() as places):
                self.add(referrer.as_user(in_use=user is not None), places)
            case Unreadable(error):
                self.errors.append(error)
            case _:
                self.gone(referrer, user, f"manifest {uri}")

    def gone(self, referrer: Referrer, user: Referrer | None, what: str) -> None:
        """
        Note that *referrer* names the missing *what*; *user* is the resource in use
        that loads *referrer*.
        """
        if user is None:
            self.leftovers.append(f"{referrer.label}, which nothing uses, names {what}, which exists no more")
        else:
            self.gaps.append(f"{user.label} uses {what}, which exists no more: what it loads is unknown")

    @property
    def buckets(self) -> frozenset[str]:
        """Return the buckets with references."""
        buckets = {bucket for bucket, _ in self._exact} | self._beginnings.keys()
        return frozenset(bucket for bucket in buckets if bucket is not None)

    def to(self, bucket: str, keys: Iterable[str]) -> ObjectUses:
        """Return the references to any of *keys*, to a folder of a key, or to a beginning of a key."""
        found = dict.fromkeys(user for key in keys for user in self._to_one(bucket, key))
        labels = tuple(user.label for user in found if user.in_use)
        in_use: Signal[tuple[str, ...]] = Value(labels, REFERENCE_SOURCE)
        if not labels:
            in_use = (
                Unreadable("; ".join(self.errors), REFERENCE_SOURCE)
                if self.errors
                else Absent(REFERENCE_SOURCE)
            )
        return ObjectUses(in_use, tuple(user for user in found if not user.in_use))

    def to_folder(self, bucket: str, folder: str, *, but: str) -> Signal[str]:
        """
        Return a user of *folder*, of anything in it, of a folder around it, or of a beginning of its name.

        Users of every kind count, in use or not, except the user with the path *but*. A gap is unreadable:
        the resource in use may load something in the folder.
        """
        if not self._ordered:
            exact = ((bucket or "", path, users) for (bucket, path), users in self._exact.items())
            begun = (
                (bucket or "", path, users)
                for bucket, paths in self._beginnings.items()
                for path, users in paths.items()
            )
            self._ordered = sorted((*exact, *begun), key=_place_of)
        found = (user for user in self._around(bucket, folder) if user.path != but)
        if (user := next(found, None)) is not None:
            return Value(user.label, REFERENCE_SOURCE)
        unknown = "; ".join((*self.errors, *self.gaps))
        return Unreadable(unknown, REFERENCE_SOURCE) if unknown else Absent(REFERENCE_SOURCE)

    def _around(self, bucket: str, folder: str) -> Iterator[PlaceUser]:
        for place in (bucket, None):
            begun = self._beginnings.get(place, {})
            for path in (folder[:end] for end in range(len(folder) + 1)):
                yield from self._exact.get((place, path), ())
                yield from begun.get(path, ())
            first = place or "", f"{folder}/"
            for where, path, users in self._ordered[bisect_left(self._ordered, first, key=_place_of) :]:
                if where != first[0] or not path.startswith(first[1]):
                    break
                yield from users

    def add_images(self, images: Iterable[ImageName]) -> None:
        """Let a resource need *images*."""
        for repository, name in images:
            self._images.setdefault(repository, set()).add(name)

    def images_in(self, repository: str) -> Signal[frozenset[str]]:
        """Return the tags and digests by which resources name images of *repository*."""
        if self.errors:
            return Unreadable("; ".join(self.errors), REFERENCE_SOURCE)
        return Value(frozenset(self._images.get(repository, ())), REFERENCE_SOURCE)

    def _to_one(self, bucket: str, key: str) -> Iterator[PlaceUser]:
        folders = [key[:at] for at, letter in enumerate(key) if letter == "/"]
        for meant in (bucket, None):
            for path in (key, *folders):
                yield from self._exact.get((meant, path), ()) if path else ()
            for path, users in self._beginnings.get(meant, {}).items():
                if key.startswith(path):
                    yield from users


def _place_of(users: tuple[str, str, list[PlaceUser]]) -> tuple[str, str]:
    return users[:2]


def read_references(
    aws: Aws,
    contents_in: tuple[str, ...],
    now: datetime,
    *,
    jobs_since: datetime | None = None,
    asks_trail: bool = False,
) -> References:
    """
    Read all references in the account and region at *now*. Failed reads are among the errors.

    The janitor opens manifests under the prefixes *contents_in*. If it *asks_trail*, CloudTrail says what an
    endpoint loads whose configuration or model was deleted. Processing and transform jobs count while
    they run; with *jobs_since*, ended ones created since then count too, as do the images of ended jobs.
    """
    references = References()
    found = dict[ReferrerKey, Referrer]()
    for kind in REFERRER_KINDS:
        described = list_referrers(aws, kind, found.values(), now, jobs_since)
        references.errors += [] if described.error is None else [described.error]
        found |= {referrer.key: referrer for referrer in described.items}
    users, listed = _in_use(found), _open(aws, found.values(), contents_in)
    for referrer in found.values():
        user = users.get(referrer.key)
        references.add(referrer.as_user(in_use=user is not None), referrer.places)
        lately = jobs_since is not None and referrer.created is not None and referrer.created >= jobs_since
        if user is not None or referrer.kind is MODEL or (lately and referrer.kind.job):
            references.add_images(referrer.images)
        for manifest in referrer.manifests:
            references.add_listed(referrer, user, manifest.uri, listed[manifest])
        for kind, name in referrer.loads:
            if referrer_key(kind, name) not in found and (user is None or user.kind is not ENDPOINT):
                references.gone(referrer, user, f"{kind.words} {name}")
        if referrer.kind is ENDPOINT and referrer.live and not referrer.loads:
            references.gaps.append(f"{referrer.label} names no configuration: what it serves is unknown")
    if references.errors:  # a missing resource may be among the unread ones
        references.gaps, references.leftovers = [], []
        return references
    _add_recorded(aws, references, found, listed, now if asks_trail else None)
    return references


def _add_recorded(
    aws: Aws,
    references: References,
    found: Mapping[ReferrerKey, Referrer],
    listed: Mapping[S3Manifest, Signal[tuple[S3Address, ...] | UnopenedManifest]],
    now: datetime | None,
) -> None:
    """
    Let live endpoints refer to what they loaded before a part of it was deleted, or note a gap.

    Without *now*, CloudTrail is not asked: its rate is shared by all detectors that may ask it.
    """
    for endpoint in found.values():
        if (
            endpoint.kind is not ENDPOINT
            or not endpoint.live
            or not (parts := _missing_parts(endpoint, found))
        ):
            continue
        try:
            loaded, places = _recorded_loads(aws, endpoint, found, now)
        except ReadError as error:
            references.gaps.append(_gap(endpoint, parts, error))
            continue
        references.add(endpoint.as_user(in_use=True), places)
        for referrer in loaded:
            references.add(referrer.as_user(in_use=True), referrer.places)
            for manifest in referrer.manifests:
                references.add_listed(referrer, endpoint, manifest.uri, listed[manifest])


def _missing_parts(endpoint: Referrer, found: Mapping[ReferrerKey, Referrer]) -> list[str]:
    """Return all that *endpoint* loads and that exists no more, in words."""
    todo, missing = list(endpoint.loads), list[str]()
    while todo:
        kind, name = todo.pop()
        part = found.get(referrer_key(kind, name))
        todo += () if part is None else part.loads
        missing += [f"{kind.words} {name}"] if part is None else []
    return missing


def _gap(endpoint: Referrer, parts: Sequence[str], error: ReadError) -> str:
    """Return why it is unknown which objects *endpoint* loads, with the command that ends this."""
    return (
        f"{endpoint.label} uses {' and '.join(parts)}, which exists no more: what it loads is unknown"
        f" ({error}). To end this, deploy it again: aws sagemaker update-endpoint --endpoint-name"
        f" {quote_shell(endpoint.name)} --endpoint-config-name NEW-CONFIGURATION"
    )


def _in_use(found: Mapping[ReferrerKey, Referrer]) -> dict[ReferrerKey, Referrer]:
    """Return all resources in use by key: live ones, and all that they load; each with its user."""
    words = {word: referrer for referrer in found.values() for word in referrer.words}
    users = {key: referrer for key, referrer in found.items() if referrer.live}
    users |= {key: words[key[1]] for key in found if key[0] in {MODEL, MODEL_PACKAGE} and key[1] in words}
    todo = list(users)
    while todo:
        key = todo.pop()
        for loaded in (referrer_key(*load) for load in found[key].loads):
            if loaded in found and loaded not in users:
                users[loaded] = users[key]
                todo.append(loaded)
    return users


def _open(
    aws: Aws, found: Iterable[Referrer], contents_in: tuple[str, ...]
) -> dict[S3Manifest, Signal[tuple[S3Address, ...] | UnopenedManifest]]:
    """Read the addresses in each manifest once."""
    todo = list(dict.fromkeys(manifest for referrer in found for manifest in referrer.manifests))
    return dict(
        zip(
            todo,
            aws.map(lambda manifest: locations.read_manifest(aws, manifest, contents_in), todo),
            strict=True,
        )
    )


# --- deployments of endpoints by CloudTrail -------------------------------------------------------
#
# An endpoint runs on when its configuration or model is deleted. The requests that made these say what it
# loads.

DEPLOYMENT_REQUESTS = ("CreateEndpoint", "UpdateEndpoint", "CreateEndpointConfig", "CreateModel")
MOST_DEPLOYMENT_PAGES = 40
"""Pages per call: LookupEvents answers two a second."""

TRAIL_DELAY = timedelta(hours=1)
"""Time after which CloudTrail has an event for certain; it takes a quarter of an hour."""

CLOCK_DIFFERENCE = timedelta(minutes=5)
"""The most by which the time of an event and a creation time differ."""

HIDDEN_TEXT = "HIDDEN_DUE_TO"
"""The beginning of a text that CloudTrail does not record."""


@dataclass(frozen=True, slots=True)
class DeploymentHistory:
    """The recorded requests that made or changed endpoints, configurations and models, the newest first."""

    events: Mapping[str, tuple[TrailEvent, ...]]
    error: str | None = None

    @classmethod
    def read(cls, aws: Aws, now: datetime) -> DeploymentHistory:
        """Read the requests, once in a run; CloudTrail remembers 90 days."""
        known: DeploymentHistory | None = aws.lasting.get(DeploymentHistory)
        if known is not None:
            return known
        since = now - activity.EVENT_RETENTION

        def look_up(call: str) -> Listing[TrailEvent]:
            return activity.look_up_events(aws, call, since, now, most_pages=MOST_DEPLOYMENT_PAGES)

        found = dict(zip(DEPLOYMENT_REQUESTS, aws.map(look_up, DEPLOYMENT_REQUESTS), strict=True))
        events = {
            call: tuple(
                sorted(
                    (
                        event
                        for event in listing.items
                        if event.succeeded and event.source == SAGEMAKER_SOURCE
                    ),
                    key=lambda event: event.at,
                    reverse=True,
                )
            )
            for call, listing in found.items()
        }
        error = Listing.joined((), (listing.error for listing in found.values())).error
        history = aws.lasting[DeploymentHistory] = cls(events, error)
        return history

    def newest(self, member: str, name: str, *calls: str, until: datetime) -> TrailEvent | None:
        """Return the newest of *calls* up to *until* whose request's *member* is *name*."""
        found = (
            event
            for call in calls
            for event in self.events[call]
            if event.at <= until and named_in_request(event.request, member).lower() == name.lower()
        )
        return max(found, key=lambda event: event.at, default=None)


SAGEMAKER_SOURCE = "sagemaker.amazonaws.com"


def named_in_request(request: Mapping[str, Any], member: str) -> str:
    """Return a text of a recorded request, or ""."""
    return str(spelled_as_api(request).get(member, ""))


def spelled_as_api(value: Any) -> Any:
    """Return a recorded request with its members as the API spells them: CloudTrail begins them in small."""
    match value:
        case Mapping():
            return {f"{name[:1].upper()}{name[1:]}": spelled_as_api(inner) for name, inner in value.items()}
        case list():
            return [spelled_as_api(inner) for inner in value]
    return value


def _recorded_loads(
    aws: Aws, endpoint: Referrer, found: Mapping[ReferrerKey, Referrer], now: datetime | None
) -> tuple[list[Referrer], list[S3Address]]:
    """
    Return the existing resources that *endpoint* loads, and the places that deleted ones named.

    The newest deployment of the endpoint counts, and of each name the last resource that was made before
    it. Raises ReadError where CloudTrail does not say so.
    """
    if now is None:
        raise ReadError("CloudTrail was not asked")
    history = DeploymentHistory.read(aws, now)
    if history.error is not None:
        raise ReadError(history.error)
    ((_, config),) = endpoint.loads
    deployed = _deployed_at(history, endpoint, config, now)
    request = _recorded_request(history, ENDPOINT_CONFIG, config, deployed, "ProductionVariants")
    loaded, places, packages = list[Referrer](), list[S3Address](), list[tuple[SageMakerKind, str]]()
    for _, name in _loads(aws, ENDPOINT_CONFIG, request):
        model = found.get(referrer_key(MODEL, name))
        if model is not None and model.created is not None and model.created <= deployed:
            loaded.append(model)
            packages += model.loads
        else:
            made = _recorded_request(history, MODEL, name, deployed, "PrimaryContainer", "Containers")
            if any(True for _ in manifests_in(made, runs=False)):
                raise ReadError(f"a manifest lists what model {name} loaded")
            places += addresses_in(made)
            packages += _loads(aws, MODEL, made)
    for kind, name in packages:
        if (package := found.get(referrer_key(kind, name))) is None:
            raise ReadError(f"{kind.words} {name} exists no more")
        loaded.append(package)
    return loaded, places


def _deployed_at(history: DeploymentHistory, endpoint: Referrer, config: str, now: datetime) -> datetime:
    """Return when *endpoint* was last deployed, with *config*. Raises ReadError."""
    if endpoint.changed is None or endpoint.created is None or now - endpoint.changed < TRAIL_DELAY:
        raise ReadError(f"it changed within the last {format_age(TRAIL_DELAY)}")
    deployed = history.newest("EndpointName", endpoint.name, "CreateEndpoint", "UpdateEndpoint", until=now)
    if deployed is None or deployed.at < endpoint.created - CLOCK_DIFFERENCE:
        raise ReadError("CloudTrail does not know the request that deployed it")
    if named_in_request(deployed.request, "EndpointConfigName").lower() != config.lower():
        raise ReadError("CloudTrail's last request that deployed it names another configuration")
    return deployed.at


def _recorded_request(
    history: DeploymentHistory, kind: SageMakerKind, name: str, until: datetime, *members: str
) -> dict[str, Any]:
    """
    Return the last request up to *until* that made the resource *name*.

    Raises ReadError, also if the event was cut off: a request has one of *members*, and no hidden text.
    """
    made = history.newest(kind.named, name, f"Create{kind.noun}", until=until)
    if made is None:
        raise ReadError(f"CloudTrail does not know the request that made {kind.words} {name}")
    request: dict[str, Any] = spelled_as_api(made.request)
    whole = any(request.get(member) for member in members)
    if not whole or any(text.startswith(HIDDEN_TEXT) for text in texts_in(request)):
        raise ReadError(f"CloudTrail's event of {kind.words} {name} was cut off")
    return request


# --- referrers ------------------------------------------------------------------------------------
#
# Models, packages, pipelines, endpoints and jobs refer to resources and places.

REFERENCE_SOURCE = "sagemaker:Describe*"
"""The source of references: the descriptions of all these resources together."""

UNFINISHED_JOBS = (PROCESSING_JOB, TRANSFORM_JOB)
"""Jobs that refer to their input only until they have read it, unless their ended ones are asked for."""

MOST_ENDED_JOBS = 1_000
"""Ended jobs of each of these kinds that are described, the newest first: each takes a call."""

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

REFERENCE_CALLS: tuple[tuple[str, str], ...] = (
    *((kind.lists, kind.listed_on) for kind in (*REFERRER_KINDS, MODEL_PACKAGE_GROUP)),
    *((kind.describes, kind.every) for kind in REFERRER_KINDS),
    (SEARCH, "*"),
)
"""The calls of this reading, and their resources."""

UNCHANGING_KINDS = frozenset({MODEL, ENDPOINT_CONFIG, *UNFINISHED_JOBS})
"""Kinds that SageMaker never changes after their creation, except by ending or deleting them."""

MODEL_MEMBERS = ("ModelName", "ModelNameOverride")
"""Members that name a model: a pool of instances may load another one than its variant (InstancePool)."""

LOADED_MEMBERS: Mapping[SageMakerKind, tuple[tuple[str, ...], SageMakerKind]] = {
    COMPONENT: (MODEL_MEMBERS, MODEL),
    ENDPOINT: (("EndpointConfigName",), ENDPOINT_CONFIG),
    ENDPOINT_CONFIG: (MODEL_MEMBERS, MODEL),
    MODEL: (("ModelPackageName",), MODEL_PACKAGE),
    TRANSFORM_JOB: (MODEL_MEMBERS, MODEL),
}
"""The members and kind of a loaded resource, for kinds whose description names it instead of its place."""

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
    **dict.fromkeys((TRAINING_JOB, PROCESSING_JOB, TRANSFORM_JOB), "which ended"),
}
"""Kinds that may refer to something without being in use, and the words for that."""

type ReferrerKey = tuple[SageMakerKind, str]
"""A kind, and a resource's name in small letters: SageMaker does not tell names apart by case."""

type ImageName = tuple[str, str]
"""A repository of the account, and an image's tag or digest in it."""


@dataclass(frozen=True, slots=True)
class Referrer:
    """
    The references of one description.

    *live* tells whether it is in use by itself; a model or configuration is in use only if a live
    referrer *loads* it. Everything in *loads* has to exist. *words* are those of a pipeline's definition:
    a word may name a model. A registry has several host names: host and region of *images* do not count.
    """

    kind: SageMakerKind
    name: str
    created: datetime | None = None
    changed: datetime | None = None
    live: bool = False
    places: tuple[S3Address, ...] = ()
    loads: tuple[tuple[SageMakerKind, str], ...] = ()
    words: frozenset[str] = frozenset()
    manifests: tuple[S3Manifest, ...] = ()
    images: tuple[ImageName, ...] = ()

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
    aws: Aws,
    kind: SageMakerKind,
    found: Iterable[Referrer],
    now: datetime,
    jobs_since: datetime | None = None,
) -> Listing[Referrer]:
    """
    Read all referrers of *kind*; *found* are those read before.

    With *jobs_since*, processing and transform jobs that were created since then are read, running or not.
    """
    if kind is TRAINING_JOB:
        jobs, unread = list_all_jobs(aws, partial(_recorded, aws), now)
        still_open = _described(
            aws, kind, [ListedResource.of(aws, kind, entry) for entry in jobs.open.values()]
        )
        return Listing.joined((*jobs.ended, *still_open.items), (unread, still_open.error))
    read = partial(ListedResource.of, aws, kind)
    if kind is MODEL_PACKAGE:
        listed = list_model_packages(aws)
    elif kind in UNFINISHED_JOBS and jobs_since is not None:
        listed = _newest(kind, list_kind(aws, kind, read, CreationTimeAfter=jobs_since, **NEWEST_FIRST))
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


def _newest(kind: SageMakerKind, listed: Listing[ListedResource]) -> Listing[ListedResource]:
    """Return the newest `MOST_ENDED_JOBS` of *listed*, with an error if there are more."""
    left_out = len(listed.items) - MOST_ENDED_JOBS
    if left_out <= 0:
        return listed
    total = f"{MOST_ENDED_JOBS:,} of {len(listed.items):,}"
    error = f"only the newest {total} {kind.words}s were read"
    return Listing.joined(listed.items[:MOST_ENDED_JOBS], (listed.error, error))


def _recorded(aws: Aws, record: dict[str, Any]) -> Referrer | None:
    """Return a Search record of an ended training job as a referrer, if it refers to anything."""
    found = _referrer(aws, TRAINING_JOB, TRAINING_JOB.target(aws, record), record)
    return found if found.places or found.manifests or found.images else None


def _keep_searched(aws: Aws) -> None:
    """
    Keep Search's records of models, once in a run: a hundred come with a call, and none changes.

    The delay of its index is unknown: models that it does not show are described, and so are models whose
    record has no container. If Search fails, all models are described.
    """
    if MODEL in aws.lasting:
        return
    aws.lasting[MODEL] = None

    def read(found: dict[str, Any]) -> tuple[ListedResource, dict[str, Any]]:
        record = found["Model"]
        return ListedResource.of(aws, MODEL, record), record

    for entry, record in search_records(aws, "Model", read).items:
        if "PrimaryContainer" in record or "Containers" in record:
            aws.lasting[MODEL, entry] = _referrer(aws, MODEL, entry.target, record)


def _described(aws: Aws, kind: SageMakerKind, todo: Sequence[ListedResource]) -> Listing[Referrer]:
    """Read the references of all of *todo*."""
    if kind in DESCRIBED_MEMBERS or kind is MODEL_PACKAGE:
        new = [entry for entry in todo if (kind, entry) not in aws.lasting]
        read = dict(zip(new, describe_listed(aws, kind, new, total=len(todo)), strict=True))
        answers = [_read_referrer(aws, kind, entry, read.get(entry)) for entry in todo]
    else:
        answers = aws.map(lambda entry: _read_referrer(aws, kind, entry), todo)
    return Listing.joined(
        (answer.value for answer in answers if isinstance(answer, Value)),
        (answer.error for answer in answers if isinstance(answer, Unreadable)),
    )


def _read_referrer(
    aws: Aws, kind: SageMakerKind, entry: ListedResource, read: Signal[dict[str, Any]] | None = None
) -> Signal[Referrer]:
    """
    Return the references of *entry*, by the description *read*, or else by one that is read once in a run.

    A recheck of a copy reads every reference anew: with thousands of models and jobs that would be
    thousands of calls for each copy. The listing is read each time, and resources that were created
    again, modified or have another status are described again. A description that may come from Search or
    from a kept file serves no recheck.
    """
    known: Referrer | None = aws.lasting.get((kind, entry))
    if known is not None:
        return Value(known, REFERENCE_SOURCE)
    match describe_resource(aws, kind, entry.target.name) if read is None else read:
        case Value(description, source):
            if kind is ENDPOINT_CONFIG and "ProductionVariants" not in description:
                return Unreadable(f"{kind.words} {entry.target.name}: the answer was cut off", source)
            try:
                referrer = _referrer(aws, kind, entry.target, description)
            except KeyError as missing:
                return Unreadable(f"{kind.words} {entry.target.name} has no {missing.args[0]}", source)
            unmodified = entry.modified is not None and description.get("LastModifiedTime") == entry.modified
            if (kind in UNCHANGING_KINDS or unmodified) and (read is None or not aws.aided):
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
    elif kind.job:
        live = description[kind.status] not in ENDED_STATUSES
        places += _going_to_write(target.name, description) if live and kind is TRAINING_JOB else ()
    elif kind is MODEL_PACKAGE:
        live = description.get("ModelApprovalStatus") != REJECTED_PACKAGE
    elif kind is PIPELINE:
        text = " ".join(texts_in(description, "PipelineDefinition")).lower()
        words = frozenset(_bare(word) for how in DEFINITION_WORDS for word in how.findall(text))
    return Referrer(
        kind,
        _bare(target.name),
        created=target.created,
        changed=description.get("LastModifiedTime") if kind is ENDPOINT else None,
        live=live,
        places=tuple(places),
        loads=_loads(aws, kind, description),
        words=words,
        manifests=tuple(manifests_in(description, runs=live and kind.job)),
        images=tuple(_images(aws, description)),
    )


def _images(aws: Aws, description: Mapping[str, Any]) -> Iterator[ImageName]:
    """Yield the images of this account that *description* names; without tag and digest, "latest"."""
    for text in texts_in(description):
        for match in IMAGE_REFERENCE.finditer(text):
            if match["account"] == aws.account:
                yield intern(match["repository"]), intern(match["digest"] or match["tag"] or "latest")


def _loads(
    aws: Aws, kind: SageMakerKind, description: Mapping[str, Any]
) -> tuple[tuple[SageMakerKind, str], ...]:
    """
    Return the resources of this account and region that *description* names; others
    are not listed here.
    """
    if kind not in LOADED_MEMBERS:
        return ()
    members, named = LOADED_MEMBERS[kind]
    found = dict.fromkeys(texts_in(description, *members))
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
