"""
Read the price of a month of storage, and change the lifecycle rules that lower a bucket's.

A price comes from the Price List API, else from a dated table, else it is unknown.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache, cached_property
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from ml_janitor.aws.calls import LIFECYCLE_TEXT, ReadError, unless_gone
from ml_janitor.aws.client import Aws
from ml_janitor.aws.prices import (
    FROM_PRICE_LIST,
    FROM_PRICE_TABLE,
    PRICE_TABLE_REGION,
    REGION_PREFIX,
    list_products,
    read_price_table,
)
from ml_janitor.core.model import Cost
from ml_janitor.core.tiering import (
    GB,
    INTELLIGENT_TIERING,
    RESTORE_CLASSES,
    STANDARD,
    ClassRates,
    LifecycleRule,
    RateTable,
)

# --- prices ---------------------------------------------------------------------------------------

STORAGE_TABLE = "data/storage-prices-us-east-1.csv"
FROM_STORAGE_TABLE = f"{FROM_PRICE_TABLE} of mid-2025"

STORAGE_USAGE_TYPES = {
    "STANDARD": "TimedStorage-ByteHrs",
    "STANDARD_IA": "TimedStorage-SIA-ByteHrs",
    "ONEZONE_IA": "TimedStorage-ZIA-ByteHrs",
    "GLACIER_IR": "TimedStorage-GIR-ByteHrs",
    "GLACIER": "TimedStorage-GlacierByteHrs",
    "DEEP_ARCHIVE": "TimedStorage-GDA-ByteHrs",
}
"""
The end of S3's usage types, by storage class; outside us-east-1 they begin with the
region's short name.
"""

ARCHIVE_OVERHEAD, ARCHIVE_INDEX = 32 * 1024, 8 * 1024
"""Bytes billed on top of an archived object: of its own class, and of STANDARD (S3 user guide)."""

TIERING_MOVE_USD, TIERING_WATCH_USD = Decimal("0.01"), Decimal("0.0025")
"""Dollars for 1,000 objects: once for moving them to Intelligent-Tiering, and each month in it."""

LOG_STORAGE, IMAGE_STORAGE = "LOGS", "IMAGES"

STORAGE_SERVICES: Mapping[str, Mapping[str, str]] = {
    "AmazonS3": STORAGE_USAGE_TYPES,
    "AmazonCloudWatch": {LOG_STORAGE: "TimedStorage-ByteHrs"},
    "AmazonECR": {IMAGE_STORAGE: "TimedStorage-ByteHrs"},
}
"""Usage types by storage class, by the service code of the price list."""


@dataclass(frozen=True, slots=True)
class StorageClass:
    """
    A row of the table: dollars a GB-month, and the least billed age and size.

    *move* is dollars for 1,000 objects that a lifecycle rule moves there, *read* for a GB read from there.
    """

    usd: Decimal
    min_age: timedelta
    min_size: int
    move: Decimal
    read: Decimal


@dataclass(frozen=True, slots=True)
class StoragePrices:
    """
    Dollars a GB-month by storage class, in one region.

    *listed* is None if the API failed. Intelligent-Tiering has no price here: an object's cost
    depends on a tier that no call answers.
    """

    region: str
    listed: Mapping[str, Decimal] | None

    def cost(self, storage_class: str, size: int) -> Cost:
        """Return the monthly cost of *size* bytes, at the price of the first terabytes."""
        row = storage_price_table().get(storage_class)
        billed = Decimal(max(size, row.min_size if row else 0)) / GB
        if self.listed is not None and storage_class in self.listed:
            return Cost(monthly_usd=self.listed[storage_class] * billed, source=FROM_PRICE_LIST)
        if self.region == PRICE_TABLE_REGION and row is not None:
            return Cost(monthly_usd=row.usd * billed, source=FROM_STORAGE_TABLE)
        return Cost(source=FROM_PRICE_LIST if self.listed is not None else "no price list")

    def rates(self) -> RateTable:
        """
        Return the rates of each class with a price here. Fees come from the table, in every region.

        The tiers of Intelligent-Tiering cost as much as the similar classes.
        """
        usd = {name: self.cost(name, GB).monthly_usd for name in STORAGE_USAGE_TYPES}
        known = {name: price for name, price in usd.items() if price is not None}
        found = {name: _rates(name, price) for name, price in known.items()}
        if known.keys() >= {STANDARD, "STANDARD_IA", "GLACIER_IR"}:
            stages = (0, known[STANDARD]), (30, known["STANDARD_IA"]), (90, known["GLACIER_IR"])
            found[INTELLIGENT_TIERING] = ClassRates(
                stages=stages, move=TIERING_MOVE_USD, watch=TIERING_WATCH_USD
            )
        return found


def _rates(name: str, usd: Decimal) -> ClassRates:
    row = storage_price_table()[name]
    archived = name in RESTORE_CLASSES
    return ClassRates(
        stages=((0, usd),),
        move=row.move,
        read=row.read,
        least_days=row.min_age.days,
        overhead=ARCHIVE_OVERHEAD if archived else 0,
        index=ARCHIVE_INDEX if archived else 0,
    )


def read_storage_prices(aws: Aws, service: str = "AmazonS3") -> StoragePrices:
    """Read the prices of a *service* in the region, in one call for S3."""
    family = "Storage" if service == "AmazonS3" else ""
    listing = list_products(aws.pricing, aws.region, service=service, family=family)
    if listing.error is not None:
        return StoragePrices(aws.region, None)
    return StoragePrices(aws.region, class_prices(listing.items, STORAGE_SERVICES[service]))


def class_prices(
    products: Iterable[Mapping[str, Any]], usage_types: Mapping[str, str] = STORAGE_USAGE_TYPES
) -> dict[str, Decimal]:
    """
    Return the first tier's price by storage class, matched by the end of its usage types.

    A class with two prices is left out: it is unknown.
    """
    prices: dict[str, set[Decimal]] = {}
    for product in products:
        usage = product["product"]["attributes"].get("usagetype", "")
        for name in (
            storage_class
            for storage_class, end in usage_types.items()
            if re.fullmatch(f"{REGION_PREFIX}{end}", usage)
        ):
            for term in product.get("terms", {}).get("OnDemand", {}).values():
                prices.setdefault(name, set()).update(
                    Decimal(tier["pricePerUnit"]["USD"])
                    for tier in term["priceDimensions"].values()
                    if tier.get("unit") == "GB-Mo" and tier.get("beginRange", "0") == "0"
                )
    return {name: found.pop() for name, found in prices.items() if len(found) == 1}


@cache
def storage_price_table() -> Mapping[str, StorageClass]:
    """Return the dated fallback, and the minimum billed duration and size of each class."""
    return {
        row["storage_class"]: StorageClass(
            Decimal(row["usd_per_gb_month"]),
            timedelta(days=int(row["min_days"])),
            int(row["min_kb"]) * 1024,
            Decimal(row["usd_per_1000_moved"]),
            Decimal(row["usd_per_gb_read"]),
        )
        for row in read_price_table(STORAGE_TABLE)
    }


# --- lifecycle configurations ---------------------------------------------------------------------
#
# S3 has no call for a single rule: PutBucketLifecycleConfiguration replaces all rules. boto3 would drop
# every unknown element, so the janitor reads and writes the text around boto3, and no byte of another's
# rule changes.

S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
LIFECYCLE_ROOT = "LifecycleConfiguration"
MOST_RULES = 1000
"""The most rules of one configuration (S3 API reference)."""

MISSING_LIFECYCLE = ("NoSuchLifecycleConfiguration",)

_CONDITIONS: Mapping[str, Any] = {
    "Prefix": {},
    "Tag": {"Key": {}, "Value": {}},
    "ObjectSizeGreaterThan": {},
    "ObjectSizeLessThan": {},
}
_KNOWN: Mapping[str, Any] = {
    LIFECYCLE_ROOT: {
        "Rule": {
            "ID": {},
            "Prefix": {},
            "Filter": {**_CONDITIONS, "And": _CONDITIONS},
            "Status": {},
            "Transition": {"Date": {}, "Days": {}, "StorageClass": {}},
            "Expiration": {"Date": {}, "Days": {}, "ExpiredObjectDeleteMarker": {}},
            "NoncurrentVersionTransition": {
                "NoncurrentDays": {},
                "NewerNoncurrentVersions": {},
                "StorageClass": {},
            },
            "NoncurrentVersionExpiration": {"NoncurrentDays": {}, "NewerNoncurrentVersions": {}},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": {}},
        }
    }
}
"""Every element that a configuration can have, and where (S3 API reference)."""


NUMBER_ELEMENTS = frozenset(
    {
        "Days",
        "NoncurrentDays",
        "NewerNoncurrentVersions",
        "DaysAfterInitiation",
        "ObjectSizeGreaterThan",
        "ObjectSizeLessThan",
    }
)


class UnchangeableError(ReadError):
    """A configuration has to stay as it is; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class LifecycleElement:
    """An element of a configuration. *start* and *end* are its place in the text, in bytes."""

    name: str
    text: str
    children: tuple[LifecycleElement, ...]
    start: int
    end: int

    def find(self, path: str) -> Iterator[LifecycleElement]:
        """Yield the elements under "a/b" in it."""
        name, _, rest = path.partition("/")
        for child in self.children:
            if child.name == name:
                yield from child.find(rest) if rest else (child,)

    def first(self, path: str) -> str | None:
        """Return the text of the first element under *path*, or None."""
        return next((found.text for found in self.find(path)), None)

    @property
    def says(self) -> tuple[Any, ...]:
        """Return its content without S3's order: the order of a rule's elements has no meaning."""
        return self.name, self.text, tuple(sorted(child.says for child in self.children))


@dataclass(frozen=True)
class LifecycleConfiguration:
    """
    The lifecycle configuration of one bucket; *text* is empty if it has none.

    *minimum* is its TransitionDefaultMinimumObjectSize, which is not in the text, and falls back to the
    default unless it is sent again. Raises UnchangeableError if the text has unknown parts.
    """

    text: bytes = b""
    minimum: str | None = None

    @cached_property
    def rules(self) -> tuple[LifecycleElement, ...]:
        """Return its rules, in the order of the text."""
        return self._root.children if self.text else ()

    @cached_property
    def _root(self) -> LifecycleElement:
        return _parsed(self.text)

    def own(self, rules: Sequence[LifecycleRule]) -> tuple[LifecycleElement, ...]:
        """Return those of *rules* that it has, as they were written."""
        written = {_parsed(_whole(_written(rule))).children[0].says for rule in rules}
        return tuple(rule for rule in self.rules if rule.says in written)

    def named(self, ids: Collection[str]) -> tuple[LifecycleElement, ...]:
        """Return its rules with one of *ids*, whatever their content."""
        return tuple(rule for rule in self.rules if rule.first("ID") in ids)

    def adding(self, rules: Sequence[LifecycleRule]) -> LifecycleConfiguration:
        """Return it with *rules* appended. Raises UnchangeableError beyond S3's number of rules."""
        if len(self.rules) + len(rules) > MOST_RULES:
            raise UnchangeableError(
                f"its lifecycle configuration has {len(self.rules)} of {MOST_RULES} rules"
            )
        added = b"".join(map(_written, rules))
        if not self.text:
            return LifecycleConfiguration(_whole(added))
        at = self._root.children[-1].end
        return LifecycleConfiguration(self.text[:at] + added + self.text[at:], self.minimum)

    def without(self, rules: Collection[LifecycleElement]) -> LifecycleConfiguration:
        """Return it without *rules*, which are its own; an empty one if no rule is left."""
        gone = {(rule.start, rule.end) for rule in rules}
        if len(gone) == len(self.rules):
            return LifecycleConfiguration()
        text = self.text
        for start, end in sorted(gone, reverse=True):
            text = text[:start] + text[end:]
        return LifecycleConfiguration(text, self.minimum)

    def digest(self, *, besides: Collection[LifecycleElement] = ()) -> str:
        """Return a digest of its content without the rules *besides*; the order of rules does not matter."""
        says = sorted(repr(rule.says) for rule in self.rules if rule not in besides)
        minimum = self.minimum if says else None
        return hashlib.sha256("\n".join([str(minimum), *says]).encode()).hexdigest()


# --- reading and writing a bucket's configuration -------------------------------------------------


def read_lifecycle(aws: Aws, bucket: str) -> LifecycleConfiguration:
    """Read the configuration of *bucket* as it is now. Raises UnchangeableError and botocore's errors."""
    owner = aws.account
    answer: Any = unless_gone(
        lambda: aws.s3.get_bucket_lifecycle_configuration(Bucket=bucket, ExpectedBucketOwner=owner),
        MISSING_LIFECYCLE,
    )
    if answer is None:
        return LifecycleConfiguration()
    found = LifecycleConfiguration(answer[LIFECYCLE_TEXT], answer.get("TransitionDefaultMinimumObjectSize"))
    if not found.rules:
        raise UnchangeableError("its lifecycle configuration holds no rules")
    return found


def write_lifecycle(aws: Aws, bucket: str, configuration: LifecycleConfiguration) -> None:
    """Make *configuration* that of *bucket*; an empty one deletes the bucket's configuration."""
    if not configuration.text:
        aws.s3.delete_bucket_lifecycle(Bucket=bucket, ExpectedBucketOwner=aws.account)
        return
    members: dict[str, Any] = {LIFECYCLE_TEXT: configuration.text}
    if configuration.minimum is not None:
        members["TransitionDefaultMinimumObjectSize"] = configuration.minimum
    aws.s3.put_bucket_lifecycle_configuration(Bucket=bucket, ExpectedBucketOwner=aws.account, **members)


# --- the configuration's text ---------------------------------------------------------------------


def _whole(rules: bytes) -> bytes:
    return f'<{LIFECYCLE_ROOT} xmlns="{S3_NAMESPACE}">'.encode() + rules + f"</{LIFECYCLE_ROOT}>".encode()


def _written(rule: LifecycleRule) -> bytes:
    """Return *rule* as its element."""
    parts = [
        _element("ID", rule.id),
        f"<Filter>{_element('Prefix', rule.prefix)}</Filter>",
        _element("Status", "Enabled"),
        *(
            f"<Transition>{_element('Days', days)}{_element('StorageClass', name)}</Transition>"
            for days, name in rule.transitions
        ),
    ]
    ends = (
        ("Expiration", "Days", rule.expire_after),
        ("NoncurrentVersionExpiration", "NoncurrentDays", rule.noncurrent_expire_after),
        ("AbortIncompleteMultipartUpload", "DaysAfterInitiation", rule.abort_uploads_after),
    )
    parts += [f"<{name}>{_element(unit, days)}</{name}>" for name, unit, days in ends if days is not None]
    return f"<Rule>{''.join(parts)}</Rule>".encode()


def _element(name: str, value: str | int) -> str:
    text = escape(str(value), {"\r": "&#xD;", "\n": "&#xA;"})
    return f"<{name}>{text}</{name}>"


def _parsed(text: bytes) -> LifecycleElement:
    """Parse a configuration's *text* to its root. Raises UnchangeableError."""
    parser = expat.ParserCreate()
    tree = _Tree(parser, text)
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.characters
    parser.XmlDeclHandler = tree.declared
    parser.CommentHandler = parser.ProcessingInstructionHandler = tree.unknown
    parser.StartDoctypeDeclHandler = tree.unknown
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise UnchangeableError(f"its lifecycle configuration is not XML: {error}") from error
    (root,) = tree.done
    return root


@dataclass(slots=True)
class _Open:
    """An element that has begun: its place, its content so far, and its allowed children."""

    name: str
    known: Mapping[str, Any]
    begins: int
    text: str
    children: list[LifecycleElement]


class _Tree:
    """Builds elements from expat's events, and refuses unknown parts."""

    def __init__(self, parser: Any, text: bytes) -> None:
        self._parser = parser
        self._text = text
        self._open: list[_Open] = []
        self.done: list[LifecycleElement] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        known = self._open[-1].known if self._open else _KNOWN
        allowed = {} if self._open else {"xmlns": S3_NAMESPACE}
        if name not in known:
            raise UnchangeableError(f"its lifecycle configuration has the unknown element {name}")
        if attributes.items() - allowed.items():
            raise UnchangeableError(f"its lifecycle configuration has unknown attributes at {name}")
        self._open.append(_Open(name, known[name], self._parser.CurrentByteIndex, "", []))

    def end(self, name: str) -> None:
        element_open = self._open.pop()
        if element_open.known and element_open.text.strip():
            raise UnchangeableError(f"its lifecycle configuration has text in {name}")
        closes = self._text.index(b">", self._parser.CurrentByteIndex) + 1
        text = "" if element_open.known else element_open.text
        if name in NUMBER_ELEMENTS and not text.isdecimal():
            raise UnchangeableError(f"its lifecycle configuration has {name} that is not a number")
        element = LifecycleElement(name, text, tuple(element_open.children), element_open.begins, closes)
        (self._open[-1].children if self._open else self.done).append(element)

    def characters(self, text: str) -> None:
        if self._open:
            self._open[-1].text += text

    def declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if (encoding or "UTF-8").upper() != "UTF-8":
            raise UnchangeableError(f"its lifecycle configuration is in {encoding}")

    def unknown(self, *_: object) -> None:
        raise UnchangeableError("its lifecycle configuration has a comment or an instruction")
