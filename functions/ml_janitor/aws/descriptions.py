"""
Describe listed resources, and keep the descriptions of those that have not changed since they were read.

A listing says what there is, in which state, and when it was last modified. A description that was read of
the same state is read again only once it is a week old. Search has a hundred endpoints in an answer. A kept
record serves reports: whatever an action rests on is described anew (`Aws.aided`).
"""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol

from ml_janitor.aws.calls import Listing, failure_text, parse_utc
from ml_janitor.aws.client import Aws
from ml_janitor.aws.sagemaker_kinds import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL_PACKAGE,
    SAGEMAKER_PAGE,
    SEARCH,
    SPACE,
    USER_PROFILE,
    ListedResource,
    SageMakerKind,
    describe_resource,
    list_kind,
    list_model_packages,
    listed_package,
    search_records,
)
from ml_janitor.core.model import Signal, Target, Value, map_signal

# --- members --------------------------------------------------------------------------------------

TEXT, TIME, PRESENCE = "text", "time", "presence"
"""A member that is kept as it is, one that is a time, and one of which only its presence is kept."""

type Members = Mapping[str, str | Members]
"""The kept members of a structure, or of each structure in a list, by name."""

_POOLS: Members = {"InstanceType": TEXT, "CurrentInstanceCount": TEXT}
_SERVERLESS: Members = {"MemorySizeInMB": TEXT, "MaxConcurrency": TEXT, "ProvisionedConcurrency": TEXT}
_RESERVATION: Members = {"MlReservationArn": TEXT}
_SCALING: Members = {"Status": TEXT}
_RUNNING: Members = {
    "VariantName": TEXT,
    "DeployedImages": {"SpecifiedImage": TEXT, "ResolvedImage": TEXT, "ResolutionTime": TIME},
    "CurrentInstanceCount": TEXT,
    "CurrentServerlessConfig": _SERVERLESS,
    "InstancePools": _POOLS,
    "CapacityReservationConfig": _RESERVATION,
    "ManagedInstanceScaling": _SCALING,
}
_CONFIGURED_POOLS: Members = {"InstanceType": TEXT, "ModelNameOverride": TEXT}
_CONFIGURED: Members = {
    "VariantName": TEXT,
    "ModelName": TEXT,
    "InstanceType": TEXT,
    "InitialInstanceCount": TEXT,
    "ServerlessConfig": _SERVERLESS,
    "InstancePools": _CONFIGURED_POOLS,
    "CapacityReservationConfig": _RESERVATION,
    "ManagedInstanceScaling": _SCALING,
}

_IDLE_TIME = {"IdleTimeoutInMinutes": TEXT}


def _shutdown_of_apps(idle: Members) -> Members:
    own: Members = {"AppLifecycleManagement": {"IdleSettings": idle}}
    return {f"{app}AppSettings": own for app in ("JupyterLab", "CodeEditor")}


DESCRIBED_MEMBERS: Final[Mapping[SageMakerKind, Members]] = {
    ENDPOINT: {
        "EndpointName": TEXT,
        "EndpointArn": TEXT,
        "EndpointConfigName": TEXT,
        "EndpointStatus": TEXT,
        "CreationTime": TIME,
        "LastModifiedTime": TIME,
        "ProductionVariants": _RUNNING,
        "ShadowProductionVariants": _RUNNING,
        "PendingDeploymentSummary": {"EndpointConfigName": TEXT},
        "AsyncInferenceConfig": PRESENCE,
        "CrossRegionTrafficConfig": PRESENCE,
    },
    ENDPOINT_CONFIG: {
        "EndpointConfigName": TEXT,
        "EndpointConfigArn": TEXT,
        "CreationTime": TIME,
        "ExecutionRoleArn": PRESENCE,
        "AsyncInferenceConfig": PRESENCE,
        "CrossRegionTrafficConfig": PRESENCE,
        "DataCaptureConfig": {"EnableCapture": TEXT},
        "MetricsConfig": {"MetricPublishFrequencyInSeconds": TEXT},
        "ProductionVariants": _CONFIGURED,
        "ShadowProductionVariants": _CONFIGURED,
    },
    USER_PROFILE: {
        "DomainId": TEXT,
        "UserSettings": _shutdown_of_apps({**_IDLE_TIME, "LifecycleManagement": TEXT}),
    },
    SPACE: {"DomainId": TEXT, "SpaceSettings": _shutdown_of_apps(_IDLE_TIME)},
}
"""
The members that detectors read, of each kind that is kept: types, places and names.

Every description of these kinds has them and no others, kept or not. Search's records of endpoints lack the
last three: nothing is pending in an endpoint in service, and its configuration has the other two.
"""

DESCRIPTIONS_FORMAT: Final = sha256(repr(DESCRIBED_MEMBERS).encode()).hexdigest()[:12]
"""The version of a file of kept descriptions, which another list of members changes."""

_WHOLE = {
    **dict.fromkeys((ENDPOINT, ENDPOINT_CONFIG), frozenset({"CreationTime", "ProductionVariants"})),
    **dict.fromkeys((USER_PROFILE, SPACE), frozenset({"DomainId"})),
}
"""Members without which a description is not kept: its answer was cut off."""

SETTLED_STATUS = "InService"
"""The status of a resource whose description only a modification changes."""

KEPT_FOR = timedelta(days=7)
"""The age from which a kept description is read again, modified or not."""


def pick_members(members: Members, described: Mapping[str, Any]) -> dict[str, Any]:
    """Return those *members* that *described* has."""
    return {
        name: _pick(kind, described[name])
        for name, kind in members.items()
        if described.get(name) is not None
    }


def _pick(kind: str | Members, value: Any) -> Any:
    match kind, value:
        case Mapping(), Mapping():
            return pick_members(kind, value)
        case Mapping(), _:
            return [pick_members(kind, each) for each in value]
        case "presence", _:
            return True
        case "time", str():
            return parse_utc(value)
        case _:
            return value


def follows_modification(endpoint: Mapping[str, Any]) -> bool:
    """
    Return whether nothing of *endpoint*'s description changes without its time of modification.

    SageMaker moves instances between pools, and scales those of inference components, by itself. No document
    says that either moves the time.
    """
    variants = [*endpoint["ProductionVariants"], *endpoint.get("ShadowProductionVariants", ())]
    return bool(variants) and not any(
        "InstancePools" in variant or variant.get("ManagedInstanceScaling", {}).get("Status") == "ENABLED"
        for variant in variants
    )


# --- kept descriptions ----------------------------------------------------------------------------


class DescriptionFiles(Protocol):
    """Files by account and region, which outlive a run."""

    def read(self, account: str, region: str) -> bytes | None:
        """Return the file as it was written; None without one, or if it was changed."""

    def write(self, account: str, region: str, body: bytes) -> None:
        """Replace the file, unless another run did so since it was read."""


class KeptDescription(NamedTuple):
    """A description of a kind of *type*, and when it was read."""

    at: datetime
    type: str
    members: dict[str, Any]


type DescriptionBook = dict[str, KeptDescription]
"""Kept descriptions by key."""


class KeptDescriptions:
    """The descriptions that runs keep in *files*; a file is read once in a run, which is at *now*."""

    def __init__(self, files: DescriptionFiles, now: datetime) -> None:
        self._files, self._now = files, now
        self._books: dict[tuple[str, str], DescriptionBook] = {}
        self._changed = set[tuple[str, str]]()
        self._lock = threading.Lock()

    def find(self, aws: Aws, key: str) -> dict[str, Any] | None:
        """Return the description under *key*, or None."""
        with self._lock:
            found = self._book(aws).get(key)
        return None if found is None else found.members

    def add(self, aws: Aws, type_: str, key: str, description: dict[str, Any]) -> None:
        """Keep *description* under *key*, unless one is kept there already."""
        with self._lock:
            if key not in (book := self._book(aws)):
                book[key] = KeptDescription(self._now, type_, description)
                self._changed.add((aws.account, aws.region))

    def save(self) -> None:
        """Write the files to which something was added. A failed call costs calls of the next run alone."""
        with self._lock:
            for place in sorted(self._changed):
                _unless_failed(self._files.write, *place, pack_descriptions(self._books[place]))
            self._changed.clear()

    def _book(self, aws: Aws) -> DescriptionBook:
        place = aws.account, aws.region
        if place not in self._books:
            body = _unless_failed(self._files.read, *place)
            found = {} if body is None else unpack_descriptions(body)
            oldest = self._now - KEPT_FOR
            self._books[place] = {key: kept for key, kept in found.items() if oldest < kept.at <= self._now}
        return self._books[place]


def _unless_failed(call: Callable[..., Any], *given: Any) -> Any:
    """Return the answer of *call*, or None if a call of AWS or of the file system failed."""
    try:
        return call(*given)
    except Exception as error:  # any other error is a fault of ours, and is raised unchanged
        if failure_text(error) is None and not isinstance(error, OSError):
            raise
        return None


def pack_descriptions(book: DescriptionBook) -> bytes:
    """Return *book* as a compressed file."""
    file = {"format": DESCRIPTIONS_FORMAT, "kept": book}
    text = json.dumps(file, default=datetime.isoformat, separators=(",", ":"))
    return gzip.compress(text.encode(), mtime=0)


def unpack_descriptions(body: bytes) -> DescriptionBook:
    """Return the book in a file; nothing of a file that this version did not write."""
    members = {kind.type: members for kind, members in DESCRIBED_MEMBERS.items()}
    try:
        file = json.loads(gzip.decompress(body))
        if file["format"] != DESCRIPTIONS_FORMAT:
            return {}
        return {
            key: KeptDescription(parse_utc(at), type_, pick_members(members[type_], kept))
            for key, (at, type_, kept) in file["kept"].items()
        }
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError):
        return {}


# --- descriptions of what was listed --------------------------------------------------------------

type DescribedResources = Listing[tuple[Target, Signal[dict[str, Any]]]]
"""Resources, each with its description."""


class WantedDescription(NamedTuple):
    """The *name* of a resource to describe, and the *key* of its present state; "" if that is never kept."""

    name: str
    key: str


def state_key(arn: str, *times: datetime | None) -> str:
    """Return the key of a resource whose description cannot have changed since *times*."""
    return " ".join((arn, *(at.astimezone(UTC).isoformat() for at in times if at is not None)))


def settled_key(arn: str, status: str | None, created: datetime | None, modified: datetime | None) -> str:
    """Return the key of a resource; "" while it moves: its description changes without a modification."""
    if status != SETTLED_STATUS or modified is None:
        return ""
    return state_key(arn, created, modified)


def described_key(endpoint: Mapping[str, Any]) -> str:
    """Return the key of a described *endpoint*."""
    times = endpoint.get("CreationTime"), endpoint.get("LastModifiedTime")
    return settled_key(endpoint.get("EndpointArn", ""), endpoint.get("EndpointStatus"), *times)


def configuration_key(endpoint: str, config: str) -> str:
    """
    Return the key of the configuration *config* of the endpoint with the key *endpoint*; "" while that moves.

    A configuration's name may be used again. An endpoint runs the same until it is modified.
    """
    return endpoint and f"{endpoint} {config}"


def describe_endpoints(
    aws: Aws,
    wanted: Sequence[WantedDescription],
    read: Callable[[Aws, str], Signal[dict[str, Any]]],
    *,
    total: int,
) -> list[Signal[dict[str, Any]]]:
    """
    Return the description of each of the *wanted* endpoints, of *total* that are listed.

    Where more are not kept than Search has pages, Search is asked first. Its index lags behind by an unknown
    time: a record counts only if it is of the listed state, and all other endpoints are described by *read*.
    """
    known = _recall(aws, wanted)
    lacking = sum(key not in known for _, key in wanted)
    if aws.aided and lacking > -(-total // SAGEMAKER_PAGE):
        members = DESCRIBED_MEMBERS[ENDPOINT]
        rows = search_records(aws, "Endpoint", lambda record: pick_members(members, record)).items
        found = {key: row for row in rows if (key := _kept_key(row))}
        known |= {key: found[key] for _, key in wanted if key in found and key not in known}
    return _completed(aws, ENDPOINT, wanted, known, read=read, key_of=lambda _, found: _kept_key(found))


def describe_unchanged(
    aws: Aws,
    kind: SageMakerKind,
    wanted: Sequence[WantedDescription],
    read: Callable[[Aws, str], Signal[dict[str, Any]]],
) -> list[Signal[dict[str, Any]]]:
    """Return the description of each of the *wanted* resources, which stays as long as its key does."""
    known = _recall(aws, wanted)
    return _completed(aws, kind, wanted, known, read=read, key_of=lambda asked, _: asked.key)


def describe_listed(
    aws: Aws, kind: SageMakerKind, listed: Sequence[ListedResource], *, total: int | None = None
) -> list[Signal[dict[str, Any]]]:
    """Return the descriptions of *listed* resources, of *total* that there are."""

    def read(aws: Aws, name: str) -> Signal[dict[str, Any]]:
        return describe_resource(aws, kind, name)

    if kind is ENDPOINT:
        wanted = [
            WantedDescription(
                entry.target.name,
                settled_key(entry.target.arn, entry.status, entry.target.created, entry.modified),
            )
            for entry in listed
        ]
        return describe_endpoints(aws, wanted, read, total=total or len(listed))
    if kind is ENDPOINT_CONFIG:
        wanted = [
            WantedDescription(entry.target.name, state_key(entry.target.arn, entry.target.created))
            for entry in listed
        ]
        return describe_unchanged(aws, kind, wanted, read)
    known = _searched_packages(aws) if kind is MODEL_PACKAGE and aws.aided and len(listed) > 1 else {}
    described = aws.map(
        lambda entry: read(aws, entry.target.name), [entry for entry in listed if entry not in known]
    )
    answers = iter(described)
    return [Value(known[entry], SEARCH) if entry in known else next(answers) for entry in listed]


def _searched_packages(aws: Aws) -> dict[ListedResource, dict[str, Any]]:
    """
    Return Search's whole records of model packages.

    A package may be updated, and its listing tells only of its approval: a record of another approval does
    not count, and none serves a recheck.
    """
    rows = search_records(aws, "ModelPackage", lambda row: (listed_package(aws, row), row)).items
    return {package: row for package, row in rows if "InferenceSpecification" in row}


def describe_all(aws: Aws, kind: SageMakerKind, **query: Any) -> DescribedResources:
    """List the resources of *kind* that match *query*, with their descriptions."""
    if kind is MODEL_PACKAGE:
        listed = list_model_packages(aws)
        approval = query.get("ModelApprovalStatus")
        wanted = (package for package in listed.items if approval in {None, package.status})
        listed = replace(listed, items=tuple(wanted))
    else:
        listed = list_kind(aws, kind, lambda entry: ListedResource.of(aws, kind, entry), **query)
    answers = describe_listed(aws, kind, listed.items)
    found = zip((entry.target for entry in listed.items), answers, strict=True)
    return Listing(tuple(found), listed.error, listed.unread)


def _kept_key(found: Mapping[str, Any]) -> str:
    """Return the key that a description or record of an endpoint counts for, or ""."""
    whole = found.keys() >= _WHOLE[ENDPOINT] and follows_modification(found)
    return described_key(found) if whole else ""


def _recall(aws: Aws, wanted: Iterable[WantedDescription]) -> dict[str, dict[str, Any]]:
    """Return the kept descriptions of *wanted* by key: none where everything has to be described anew."""
    if aws.kept is None or not aws.aided:
        return {}
    kept = {key: aws.kept.find(aws, key) for _, key in wanted if key}
    return {key: found for key, found in kept.items() if found is not None}


def _completed(
    aws: Aws,
    kind: SageMakerKind,
    wanted: Sequence[WantedDescription],
    known: Mapping[str, dict[str, Any]],
    *,
    read: Callable[[Aws, str], Signal[dict[str, Any]]],
    key_of: Callable[[WantedDescription, dict[str, Any]], str],
) -> list[Signal[dict[str, Any]]]:
    """Describe those of *wanted* that are not *known*, once for each name, and keep what was read."""
    names = list(dict.fromkeys(name for name, key in wanted if key not in known))
    read_members = partial(pick_members, DESCRIBED_MEMBERS[kind])
    answers = (map_signal(answer, read_members) for answer in aws.map(partial(read, aws), names))
    described = dict(zip(names, answers, strict=True))
    found = [
        Value(known[asked.key], kind.describes) if asked.key in known else described[asked.name]
        for asked in wanted
    ]
    for asked, signal in zip(wanted, found, strict=True):
        if aws.kept is None or not isinstance(signal, Value) or not signal.value.keys() >= _WHOLE[kind]:
            continue
        if key := key_of(asked, signal.value):
            aws.kept.add(aws, kind.type, key, signal.value)
    return found
