"""Finds the places in S3 that resources refer to, and whether these resources are in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from ml_janitor.aws import manifests
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import S3Address
from ml_janitor.aws.manifests import S3Manifest, UnopenedManifest
from ml_janitor.aws.referrers import (
    REFERENCE_SOURCE,
    REFERRER_KINDS,
    PlaceUser,
    Referrer,
    ReferrerKey,
    list_referrers,
    referrer_key,
)
from ml_janitor.aws.sagemaker_kinds import ENDPOINT, MODEL, MODEL_PACKAGE
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value


class ObjectUses(NamedTuple):
    """References to an object: the labels of users *in_use*, and the other users that need it."""

    in_use: Signal[tuple[str, ...]]
    needed_only_by: tuple[PlaceUser, ...]


@dataclass(slots=True)
class References:
    """
    Every place in S3 that a resource refers to, with its users.

    *errors* are failed reads. *gaps* are descriptions that do not tell which object a live resource
    loads, so any copy may be it; *leftovers* name unused resources that refer to missing ones.
    """

    errors: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    _exact: dict[tuple[str | None, str], list[PlaceUser]] = field(default_factory=dict)
    _beginnings: dict[str | None, dict[str, list[PlaceUser]]] = field(default_factory=dict)

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

    def _to_one(self, bucket: str, key: str) -> Iterator[PlaceUser]:
        folders = [key[:at] for at, letter in enumerate(key) if letter == "/"]
        for meant in (bucket, None):
            for path in (key, *folders):
                yield from self._exact.get((meant, path), ()) if path else ()
            for path, users in self._beginnings.get(meant, {}).items():
                if key.startswith(path):
                    yield from users


def read_references(aws: Aws, contents_in: tuple[str, ...], now: datetime) -> References:
    """
    Read all references in the account and region at *now*. Failed reads are among the errors.

    The janitor opens manifests under the prefixes *contents_in*.
    """
    references = References()
    found = dict[ReferrerKey, Referrer]()
    for kind in REFERRER_KINDS:
        described = list_referrers(aws, kind, found.values(), now)
        references.errors += [] if described.error is None else [described.error]
        found |= {referrer.key: referrer for referrer in described.items}
    users, listed = _in_use(found), _open(aws, found.values(), contents_in)
    for referrer in found.values():
        user = users.get(referrer.key)
        references.add(referrer.as_user(in_use=user is not None), referrer.places)
        for manifest in referrer.manifests:
            references.add_listed(referrer, user, manifest.uri, listed[manifest])
        for kind, name in referrer.loads:
            if referrer_key(kind, name) not in found:
                references.gone(referrer, user, f"{kind.words} {name}")
        if referrer.kind is ENDPOINT and referrer.live and not referrer.loads:
            references.gaps.append(f"{referrer.label} names no configuration: what it serves is unknown")
    if references.errors:  # a missing resource may be among the unread ones
        references.gaps, references.leftovers = [], []
    return references


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
            aws.map(lambda manifest: manifests.read_manifest(aws, manifest, contents_in), todo),
            strict=True,
        )
    )
