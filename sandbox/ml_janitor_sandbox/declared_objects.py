"""
S3 objects of any size that take no room: their bytes are made when they are read, and the same each time.

`Control.declare` gives an object that is there another size. Listings, HeadObject, copies and
`BucketSizeBytes` have that size, and so has the bill. Ranges of any object can be read, and whole objects up
to `WHOLE`. Past what one PutObject takes, the object has the ETag and the checksum of a multipart upload.
"""

import copy
import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from itertools import count
from threading import Lock
from typing import Any, Self, SupportsIndex, overload

from moto.s3.models import FakeDeleteMarker, FakeKey, s3_backends
from moto.s3.responses import S3Response
from moto.s3.utils import compute_checksum

from moto_corrections import clock, objects, state
from moto_corrections.metrics import Identity, Metrics, Point
from moto_corrections.patches import PATCHES, AwsError, Patch, replaces

BLOCK = 64 * 1024
WHOLE = 256 * 1024 * 1024
LARGEST_PUT = 5 * 1024**3
"""Bytes of the largest object that one PutObject takes."""
PART, MOST_PARTS = 8 * 1024**2, 10_000
"""Bytes of a part as the AWS CLI uploads it, doubled until S3's most parts hold the object."""
DAY = dt.timedelta(days=1)
SINCE = 35 * DAY
"""How far back the daily metrics are published when the clock moves on by more."""

STORAGE_TYPES = {
    "DEEP_ARCHIVE": "DeepArchiveStorage",
    "GLACIER": "GlacierStorage",
    "GLACIER_IR": "GlacierInstantRetrievalStorage",
    "INTELLIGENT_TIERING": "IntelligentTieringFAStorage",
    "ONEZONE_IA": "OneZoneIAStorage",
    "STANDARD": "StandardStorage",
    "STANDARD_IA": "StandardIAStorage",
}
"""By storage class, how CloudWatch calls it (Amazon S3 user guide, "Metrics and dimensions")."""

_moto_get = S3Response.get_object


class Made(bytes):
    """As many bytes as *size* says, of some *seed*; only what is read of them is made."""

    size: int
    seed: str

    def __new__(cls, size: int, seed: str) -> Self:
        made = super().__new__(cls)
        made.size, made.seed = size, seed
        return made

    def __len__(self) -> int:
        return self.size

    def __deepcopy__(self, _: object) -> Self:
        return self

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            return self[key : key + 1][0]
        start, stop, _ = key.indices(self.size)
        first = start // BLOCK
        blocks = b"".join(self._block(number) for number in range(first, -(-stop // BLOCK)))
        return blocks[start - first * BLOCK : stop - first * BLOCK]

    def _block(self, number: int) -> bytes:
        return hashlib.shake_128(f"{self.seed}/{number}".encode()).digest(BLOCK)


class DeclaredKey(FakeKey):
    """A key whose bytes are `Made`."""

    made: Made

    @property
    def value(self) -> Made:
        return self.made

    @property
    def checksum_value(self) -> str | None:
        """Return the checksum of the whole; one of the seed and the size where nobody can read the whole."""
        return self.checksum_algorithm and _checksum(self.made, self.checksum_algorithm)

    @checksum_value.setter
    def checksum_value(self, _: object) -> None:
        """Ignore the checksum of other bytes, which moto gives to a copy."""


def _checksum(made: Made, algorithm: str) -> str:
    stands = made[:] if made.size <= WHOLE else f"{made.seed}/{made.size}".encode()
    return compute_checksum(stands, algorithm).decode()


WITH_BYTES = object()
"""What is in the memo of a copy that is no listing."""


def listed(self: FakeKey, memo: dict[int, Any]) -> FakeKey:
    """
    Copy a key as a listing of versions needs it: moto copies every one of them, with all of its bytes.

    Without them there is nothing that would have to be closed.
    """
    if id(WITH_BYTES) in memo:
        return _with_bytes(self, memo)
    twin: FakeKey = object.__new__(type(self))
    twin.__dict__ |= self.__dict__ | {"_etag": self.etag.strip('"')}
    twin.__dict__ |= {"_value_buffer": None, "multipart": None, "disposed": True}
    return twin


def _with_bytes(key: FakeKey, memo: dict[int, Any]) -> FakeKey:
    """Copy a key with its bytes in memory: nothing of the copy has to be closed either."""
    twin: Any = type(key).__new__(type(key))
    memo[id(key)] = twin
    held = {name: value for name, value in key.__dict__.items() if name not in ("_value_buffer", "lock")}
    file: Any = key._value_buffer
    if not file.closed:
        file.seek(0)
    twin.__dict__ |= copy.deepcopy(held, memo)
    twin.__dict__ |= {"_value_buffer": BytesIO(b"" if file.closed else file.read())}
    twin.__dict__ |= {"lock": Lock(), "disposed": True}
    return twin  # type: ignore[no-any-return]


PATCHES.append(Patch("moto.s3.models:FakeKey.__deepcopy__", listed, was=None))


def declare(objects: list[dict[str, Any]]) -> None:
    """Give the current versions of objects that are there a size: `Control.declare`."""
    known = {bucket.name: bucket for account in list(s3_backends) for bucket in buckets(account)}
    for item in objects:
        size, seed = item["size"], item.get("seed") or item["key"]
        found = known[item["bucket"]].keys[item["key"]]
        become(found, Made(size, seed))
        if found.encryption is None or found.encryption == "AES256":
            found._etag = hashlib.md5(f"{seed}/{size}".encode(), usedforsecurity=False).hexdigest()
            if size > LARGEST_PUT:
                part = next(part for n in count() if size <= (part := PART << n) * MOST_PARTS)
                found._etag += f"-{-(-size // part)}"


def become(key: Any, made: Made) -> None:
    """Let *key* have the bytes *made*: its checksum is of the whole, which of parts only a CRC can be."""
    key.__class__ = DeclaredKey
    key.made, key.contentsize = made, made.size
    if key.checksum_algorithm is None or made.size > LARGEST_PUT:
        key.checksum_algorithm = "CRC64NVME"
    key.checksum_type, key.checksum_parts = "FULL_OBJECT", None


@replaces("moto.s3.responses:S3Response.get_object", was="e9731229dec1")
def get_object(self: Any) -> Any:
    """Read as moto does; make a declared object whole unless a range is asked for, or refuse a huge one."""
    status, headers, body = _moto_get(self)
    if isinstance(body, Made) and not self.headers.get("range"):
        if body.size > WHOLE:
            raise AwsError("NotImplemented", f"The sandbox makes {body.size:,} bytes in ranges only.")
        body = body[:]
    return status, headers, body


# --- what they amount to -------------------------------------------------------------------------


def buckets(account: str) -> Iterator[Any]:
    """List the buckets of an account."""
    for partition in list(s3_backends[account].values()):
        yield from list(partition.buckets.values())


def tags(account: str, bucket: Any) -> dict[str, str]:
    """Return the tags of a bucket itself, by which AWS bills what is in it."""
    found: dict[str, str] = {}
    for partition in list(s3_backends[account].values()):
        if bucket.name in partition.buckets:
            found |= partition.tagger.get_tag_dict_for_resource(bucket.arn)
    return found


def sizes(bucket: Any) -> Counter[str]:
    """Count the bytes of a bucket by storage class, those of noncurrent versions too."""
    found = Counter[str]()
    for versions in dict(bucket.keys).values():
        for version in versions:
            if not isinstance(version, FakeDeleteMarker):
                found[version.storage_class or "STANDARD"] += version.size
    return found


def watch() -> None:
    """Publish each day's metrics of every bucket, as S3 does for free, and declare copies as well."""
    clock.before_moving(_measure)
    objects.at_birth(_inherit)


def _inherit(key: Any, made_of: tuple[Any, ...]) -> None:
    """Give a copy of a declared object the bytes of its original."""
    for value in made_of:
        if isinstance(value, Made):
            become(key, value)


def _measure(until: dt.datetime) -> None:
    """Record the metrics of the midnights that the clock moves over."""
    midnight = max(clock.now(), until - SINCE).replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    if midnight > until:
        return
    with state.LOCK:
        for account in list(s3_backends):
            for bucket in buckets(account):
                _publish(account, bucket, midnight, until)


def _publish(account: str, bucket: Any, midnight: dt.datetime, until: dt.datetime) -> None:
    metrics = state.at(Metrics, account, bucket.region_name)
    amounts = [
        ("BucketSizeBytes", STORAGE_TYPES.get(name, name), size) for name, size in sizes(bucket).items()
    ]
    amounts.append(("NumberOfObjects", "AllStorageTypes", sum(map(len, dict(bucket.keys).values()))))
    for metric, storage_type, amount in amounts:
        dimensions = {"BucketName": bucket.name, "StorageType": storage_type}
        at, points = midnight, []
        while at <= until:
            points.append(Point.single(at.timestamp(), float(amount), "Bytes"))
            at += DAY
        metrics.publish(Identity("AWS/S3", metric, frozenset(dimensions.items())), points)
