"""Which places in S3 something refers to, and whether what refers to them is in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from ml_janitor.aws import manifests
from ml_janitor.aws.client import Aws
from ml_janitor.aws.locations import Address
from ml_janitor.aws.manifests import Manifest, Unopened
from ml_janitor.aws.referrers import (
    LISTED,
    SOURCE,
    Key,
    Referrer,
    User,
    key_of,
    referrers,
)
from ml_janitor.aws.sagemaker_kinds import ENDPOINT, MODEL, MODEL_PACKAGE
from ml_janitor.core.signals import Absent, Signal, Unreadable, Value


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
        described = referrers(aws, kind, found.values(), now)
        references.errors += [] if described.error is None else [described.error]
        found |= {one.key: one for one in described.items}
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
