"""Volumes that are billed for nothing: of stopped notebook instances, and of Studio spaces without apps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ml_janitor.aws import activity, tags
from ml_janitor.aws.calls import Listing
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import GET_PRODUCTS, Price
from ml_janitor.aws.sagemaker_kinds import APP, NOTEBOOK, SPACE, describe_resource, list_kind
from ml_janitor.aws.studio_apps import STUDIO_LOG_GROUP, read_written_streams
from ml_janitor.core.durations import format_age
from ml_janitor.core.model import (
    Absent,
    Candidate,
    Change,
    Confidence,
    Cost,
    NotRead,
    Rule,
    Signal,
    Target,
    Unreadable,
    Value,
    Verdict,
    as_evidence,
)
from ml_janitor.core.text import quote_shell
from ml_janitor.engine.detector import Constant, Detector, allow

_STOPPED_STATUS = "Stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedVolume(Candidate):
    """
    A notebook instance or a space; the *size* of its volume in GB, and the *price* of one a month.

    *changed* is the time of its last stop or change. For a space, *app* is an app that it has or had within a
    day, and *wrote* the last time that an app in it wrote to its log, within the judged time.
    """

    changed: datetime
    size: Signal[int]
    status: str = ""
    price: Price = field(default_factory=lambda: Price(None, "not asked"))
    app: Signal[str] = field(default_factory=NotRead)
    wrote: Signal[datetime] = field(default_factory=NotRead)


@dataclass(frozen=True)
class UnusedVolumes(Detector[UnusedVolume]):
    """
    Finds volumes of notebook instances stopped for long, and of Studio spaces without apps.

    A stopped instance costs nothing, but its volume costs as much as before.
    """

    name = "unused-volumes"
    kinds = (NOTEBOOK.type, SPACE.type)
    asks_for = Change.DELETE_DATA
    reads = (
        *(allow(kind.lists) for kind in (NOTEBOOK, SPACE, APP)),
        allow(NOTEBOOK.describes, on=NOTEBOOK.every),
        *(allow(tags.LIST_TAGS, on=kind.every) for kind in (NOTEBOOK, SPACE)),
        allow(activity.DESCRIBE_LOG_STREAMS, on=f"log-group:{STUDIO_LOG_GROUP}:*"),
        *(allow(action) for action in (tags.GET_RESOURCES, GET_PRODUCTS)),
    )

    unused_for: Constant[timedelta] = timedelta(days=30)

    def find(self, aws: Aws, now: datetime) -> Iterator[UnusedVolume]:
        """
        Yield every notebook instance, with its size if stopped for long; every
        space, with its apps and logs.
        """
        since = now - self.unused_for
        kinds = (NOTEBOOK.type, SPACE.type, "domain", "user-profile")
        book = tags.read_tag_book(aws, *(f"sagemaker:{kind}" for kind in kinds))
        notebooks = list_kind(
            aws,
            NOTEBOOK,
            lambda entry: (
                NOTEBOOK.target(aws, entry),
                entry["NotebookInstanceStatus"],
                entry["LastModifiedTime"],
            ),
        )
        price = aws.prices.volume(aws.region, "Notebk")

        def size(item: tuple[Target, str, datetime]) -> Signal[int]:
            target, status, changed = item
            return _size(aws, target.name) if status == _STOPPED_STATUS and changed <= since else NotRead()

        sizes = aws.map(size, notebooks.items)
        for (target, status, changed), read in zip(notebooks.items, sizes, strict=True):
            known = replace(target, tags=book.of(target.arn))
            yield UnusedVolume(target=known, status=status, changed=changed, size=read, price=price)
        spaces = list_kind(
            aws, SPACE, lambda entry: (SPACE.target(aws, entry), entry, entry["LastModifiedTime"])
        )
        apps = list_kind(
            aws,
            APP,
            lambda entry: (
                (entry["DomainId"], entry.get("SpaceName")),
                f"{entry['AppType']} {entry['AppName']}, {entry['Status']}",
            ),
        )
        running, price = dict(apps.items), aws.prices.volume(aws.region, "Studio")
        written = read_written_streams(aws, since)
        for target, entry, changed in spaces.items:
            place = entry["DomainId"], entry["SpaceName"]
            app: Signal[str] = Value(running[place], APP.lists) if place in running else Absent(APP.lists)
            if apps.error is not None and not isinstance(app, Value):
                app = Unreadable(apps.error, APP.lists)
            yield UnusedVolume(
                target=replace(target, tags=book.of(target.arn)),
                belongs_to=tuple(_above(aws, target, book, place[0], entry)),
                changed=changed,
                size=_of_space(entry),
                price=price,
                app=app,
                wrote=_newest(written, "/".join(place)),
            )
        Listing[Any].merged((notebooks, spaces, apps)).check()

    def decide(self, candidate: UnusedVolume, now: datetime) -> Verdict:
        """
        Judge a volume: a stopped instance uses nothing of it; for a space,
        its apps and their logs tell.
        """
        rule, idle = Rule(), now - candidate.changed
        space = candidate.target.kind == SPACE.type
        rule.saw(as_evidence("volume in GB", candidate.size))
        if space:
            rule.saw(as_evidence("app", candidate.app), as_evidence("last line of a log", candidate.wrote))
        reasons = {
            f"it is {candidate.status}": not space and candidate.status != _STOPPED_STATUS,
            "it has no volume of its own": isinstance(candidate.size, Absent),
            f"stopped or changed {format_age(idle)} ago; judged from {format_age(self.unused_for)} on": idle
            < self.unused_for,
        }
        if (reason := next((why for why, true in reasons.items() if true), None)) is not None:
            return rule.kept(reason)
        for name, signal in (("apps", candidate.app), ("log", candidate.wrote)) if space else ():
            match signal:
                case Value(what):
                    return rule.kept(f"used: {name}: {what}")
                case Unreadable(error):
                    return rule.unknown(f"whether it is used is unknown ({error})")
        if not isinstance(candidate.size, Value):
            return rule.unknown(f"its volume is unknown ({getattr(candidate.size, 'error', 'not read')})")
        monthly = (
            None if candidate.price.hourly_usd is None else candidate.price.hourly_usd * candidate.size.value
        )
        name, where = candidate.target.name, candidate.target.arn.split("/")[1]
        delete = (
            f"delete-space --domain-id {quote_shell(where)} --space-name {quote_shell(name)}"
            if space
            else f"delete-notebook-instance --notebook-instance-name {quote_shell(name)}"
        )
        return rule.found(
            f"its {candidate.size.value} GB are billed, and "
            + (
                f"no app ran in this space for {format_age(self.unused_for)}"
                if space
                else f"it has been stopped for {format_age(idle)}"
            ),
            Confidence.LIKELY if space else Confidence.PROVEN,
            action=f"delete the {'space' if space else 'notebook instance'} (copy what is still needed to S3"
            f" first: all files on it are lost): aws sagemaker {delete}",
            cost=Cost.saving(monthly, candidate.price.source),
            since=candidate.changed,
            to_prove="that nobody needs its files, which only its owner knows" if space else "",
        )


def _size(aws: Aws, name: str) -> Signal[int]:
    """Return the GB of a notebook instance's volume."""
    match describe_resource(aws, NOTEBOOK, name):
        case Value(found):
            if "VolumeSizeInGB" not in found:
                return Unreadable("the answer was cut off", NOTEBOOK.describes)
            return Value(found["VolumeSizeInGB"], NOTEBOOK.describes)
        case Unreadable() as unread:
            return unread
        case _:
            return Unreadable("it is gone", NOTEBOOK.describes)


def _of_space(entry: dict[str, Any]) -> Signal[int]:
    """
    Return the GB of a listed space's volume; without a volume, its files
    are on the domain's file system.
    """
    settings = entry.get("SpaceSettingsSummary", {})
    size = settings.get("SpaceStorageSettings", {}).get("EbsStorageSettings", {}).get("EbsVolumeSizeInGb")
    return Absent(SPACE.lists) if size is None else Value(size, SPACE.lists)


def _newest(written: Signal[dict[str, datetime]], place: str) -> Signal[datetime]:
    """Return when an app in the space *place* wrote last, by the streams *written*."""
    if not isinstance(written, Value):
        return written
    times = [at for stream, at in written.value.items() if stream.startswith(f"{place.lower()}/")]
    return Value(max(times), written.source, max(times)) if times else Absent(written.source)


def _above(
    aws: Aws, space: Target, book: tags.TagBook, domain: str, entry: dict[str, Any]
) -> Iterator[Target]:
    """Yield the domain of a space, and the user profile that owns it: keeping either keeps the space."""
    owner = entry.get("OwnershipSettingsSummary", {}).get("OwnerUserProfileName")
    for kind, path in (("domain", domain), *((("user-profile", f"{domain}/{owner}"),) if owner else ())):
        arn = aws.arn("sagemaker", f"{kind}/{path}")
        yield replace(space, arn=arn, name=path, kind=kind, created=None, tags=book.of(arn))
