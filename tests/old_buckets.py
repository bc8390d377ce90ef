"""Buckets as storage-tiering reads them."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from conftest import ACCOUNT, NOW, REGION
from ml_janitor.aws.storage import StoragePrices
from ml_janitor.core.model import Absent, Signal, Tags, Target, Unreadable, Value
from ml_janitor.core.tiering import GB
from ml_janitor.detectors.storage_tiering.reading import (
    CountedReads,
    JobInput,
    StoredVersion,
    TieringBucket,
    folder_tree,
)
from ml_janitor.detectors.storage_tiering.rule import StorageTiering

DAY = timedelta(days=1)
RULE = StorageTiering(act_on_buckets=("meridian-lab",))
RATES = StoragePrices("us-east-1", None).rates()
UNREAD = (CountedReads("", 0.0, 90),)
KEPT: Signal[Tags] = Value({"janitor:keep": "true"})


def held(
    key: str = "experiments/a", *, age: float = 100, size: int = 1000 * GB, many: int = 1, **more: Any
) -> list[StoredVersion]:
    return [StoredVersion(f"{key}{n}", NOW - age * DAY, size // many, **more) for n in range(many)]


def bucket(
    *versions: Iterable[StoredVersion],
    stored: object = 1000.0 * GB,
    users: Mapping[str, str] | None = None,
    counted: object = UNREAD,
    tagged: bool = True,
    **more: Any,
) -> TieringBucket:
    """A bucket with *versions*, of which nothing is read, and whose objects have no tags."""
    name = "meridian-lab"
    named = users or {}
    found = [one for each in versions or (held(),) for one in each]
    root = folder_tree(found, NOW, lambda key: [user for part, user in named.items() if key.startswith(part)])
    target = Target(
        arn=f"arn:aws:s3:::{name}",
        name=name,
        kind="bucket",
        account=ACCOUNT,
        region=REGION,
        created=NOW - 900 * DAY,
    )
    given: dict[str, Any] = {
        "stored": stored if isinstance(stored, Absent | Unreadable) else Value(stored),
        "objects": Value(float(len(found))),
        "lifecycle": Absent(),
        "lock": Absent(),
        "versioning": Absent(),
        "uploads": Value(()),
        "root": Value(root),
        "counted": counted if isinstance(counted, Absent | Unreadable) else Value(counted),
        "tagged": {one.key: Value({}) for one in found} if tagged else {},
        "rates": RATES,
        "priced": "table",
    }
    return TieringBucket(target=target, **(given | more))


def rules(*found: Mapping[str, Any], **more: Any) -> Value[Any]:
    return Value({"Rules": [{"ID": "theirs", "Status": "Enabled", **one} for one in found], **more})


def of_it(monthly: float, days: int) -> CountedReads:
    return CountedReads("experiments/", monthly, days)


def job(path: str, days: float, name: str = "churn-7") -> tuple[JobInput, ...]:
    return (JobInput(f"training job {name}", "meridian-lab", path, NOW - days * DAY),)
