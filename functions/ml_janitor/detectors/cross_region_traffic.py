"""The adviser on bytes between regions and through NAT gateways: their cost, and what may move them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any

from ml_janitor.aws import cost_explorer, s3, storage
from ml_janitor.aws.calls import ReadError, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.cost_explorer import GET_COST_AND_USAGE, CostExplorer, RefusedError, group_by_dimension
from ml_janitor.aws.descriptions import describe_all
from ml_janitor.aws.prices import GET_PRODUCTS
from ml_janitor.aws.runs import REGION_CODES, region_of_usage, transfer_regions, without_region
from ml_janitor.aws.s3 import LIST_BUCKETS
from ml_janitor.aws.sagemaker_kinds import PROCESSING_JOB, SEARCH, search_records, texts_in
from ml_janitor.aws.tags import target_in
from ml_janitor.aws.training_jobs import search_training_jobs
from ml_janitor.core.commitment import family_name
from ml_janitor.core.durations import DAY
from ml_janitor.core.model import (
    HOURS_PER_MONTH,
    Absent,
    Candidate,
    Change,
    Confidence,
    Cost,
    Evidence,
    Rule,
    Signal,
    SweepNote,
    Unreadable,
    Value,
    Verdict,
)
from ml_janitor.core.text import format_size, format_usd
from ml_janitor.core.tiering import GB
from ml_janitor.engine.detector import (
    LEAST_SAVING_USD,
    OWN_ACCOUNT,
    Constant,
    Detector,
    allow,
    in_own_buckets,
)

# --- possible causes ------------------------------------------------------------------------------

ADDRESS_MEMBERS = ("Environment", "HyperParameters", "ContainerArguments", "ContainerEntrypoint")
"""Members that may hold an address in any region. Inputs, outputs and images are in their own region."""

BUCKET_ADDRESS = re.compile(
    r"(?:s3[an]?://|arn:aws[\w-]*:s3:::|https?://)([a-z0-9][a-z0-9.-]+)(/[^\s\"',;*?$(){}\[\]<>|\\]*)?"
)
PATTERN_SIGNS = ("*", "?", "$", "{", "[")
"""Characters after an address that make it a pattern of several."""

VIRTUAL_HOST_SUFFIX = re.compile(r"\.s3[.-].*")

ANOTHER_ACCOUNT = "another account, perhaps,"


class TransferWay(StrEnum):
    """The ways in which bytes move."""

    READS = "reads"
    WRITES = "writes"
    REPLICATES = "replicates"
    IMAGES = "images"
    NAT = "NAT"


@dataclass(frozen=True, slots=True)
class TransferCause:
    """A mover *what* of bytes, in which *way*; *about* is the moved data, *used* a user of the copy."""

    what: str
    way: TransferWay
    about: str
    used: str = ""


@dataclass(frozen=True, slots=True)
class RunningProgram:
    """A running program, the texts *given* to it, and all *texts* of its description."""

    name: str
    given: tuple[str, ...]
    texts: tuple[str, ...]


def list_programs(aws: Aws, since: datetime, now: datetime) -> tuple[RunningProgram, ...]:
    """Read the models in use, and the jobs created after *since*, of a region. Raises ReadError."""

    def model(record: dict[str, Any]) -> RunningProgram | None:
        last = record.get("LastBatchTransformJob", {}).get("CreationTime", since)
        used = record.get("Endpoints") or last > since
        return _program(f"model {record['Model']['ModelName']}", record["Model"]) if used else None

    def job(record: dict[str, Any]) -> RunningProgram:
        return _program(f"training job {family_name(record['TrainingJobName'])}", record)

    jobs, models = search_training_jobs(aws, job, now, since=since), search_records(aws, "Model", model)
    processing = describe_all(aws, PROCESSING_JOB, CreationTimeAfter=since)
    for listing in (jobs, models, processing):
        listing.check()
    found = [*jobs.items, *(model_used for model_used in models.items if model_used is not None)]
    for target, description in processing.items:
        if isinstance(description, Unreadable):
            raise ReadError(description.error)
        if isinstance(description, Value):
            found.append(_program(f"processing job {family_name(target.name)}", description.value))
    return tuple(found)


def _program(name: str, description: dict[str, Any]) -> RunningProgram:
    return RunningProgram(name, tuple(texts_in(description, *ADDRESS_MEMBERS)), tuple(texts_in(description)))


def buckets_by_region(aws: Aws, to: str) -> dict[str, str]:
    """Return each bucket's region if it is this region or *to*, else "". Raises ReadError."""
    found: dict[str, str] = {}
    for region in ("", aws.region, to):
        wanted = {"BucketRegion": region} if region else {}
        listed = aws.listing(LIST_BUCKETS, "Buckets", lambda bucket: str(bucket["Name"]), **wanted)
        listed.check()
        found |= dict.fromkeys(listed.items, region)
    return found


def find_readers(there: Iterable[RunningProgram], own: Collection[str]) -> Iterator[TransferCause]:
    """Yield programs with an address in one of the buckets *own* of another region."""
    for program in there:
        for uri in bucket_addresses(program.given, own):
            yield TransferCause(f"{program.name} is given {uri}", TransferWay.READS, uri)


def find_replications(
    aws: Aws, to: str, regions: dict[str, str], there: Collection[RunningProgram]
) -> Iterator[TransferCause]:
    """
    Yield the rules of buckets here that replicate *to* that region, and a user
    *there* of the destination.
    """
    own = [name for name, region in regions.items() if region == aws.region]
    for bucket, rules in zip(own, aws.map(partial(_rules, aws), own), strict=True):
        for name, destination in rules:
            if regions.get(destination, to) == to:
                used = next(
                    (
                        program.name
                        for program in there
                        if any(bucket_addresses(program.texts, [destination]))
                    ),
                    "",
                )
                if destination not in regions:  # its region and readers are unknown
                    used = ANOTHER_ACCOUNT
                rule = f"replication rule {name} of {bucket}"
                yield TransferCause(f"{rule} writes to {destination}", TransferWay.REPLICATES, rule, used)


def _rules(aws: Aws, bucket: str) -> list[tuple[str, str]]:
    """Return the rules of *bucket* in force, each with its destination. Raises ReadError."""
    read = partial(aws.s3.get_bucket_replication, Bucket=bucket)
    found = read_signal(read, source="s3", absent=("ReplicationConfigurationNotFoundError", "NoSuchBucket"))
    if isinstance(found, Unreadable):
        raise ReadError(f"{bucket}: {found.error}")
    rules = found.value["ReplicationConfiguration"]["Rules"] if isinstance(found, Value) else ()
    return [
        (rule.get("ID", "without a name"), rule["Destination"]["Bucket"].rpartition(":")[2])
        for rule in rules
        if rule["Status"] == "Enabled"
    ]


def find_senders(
    aws: Aws, to: str, far: Collection[str], here: Iterable[RunningProgram], there: Iterable[RunningProgram]
) -> Iterator[TransferCause]:
    """Yield other senders of bytes *to* that region: programs here that write to it, and images."""
    for program in here:
        for uri in bucket_addresses(program.given, far):
            yield TransferCause(f"{program.name} is given {uri}", TransferWay.WRITES, uri)
    registry = f"{aws.account}.dkr.ecr.{aws.region}."
    for program in there:
        for image in (text for text in program.given if registry in text):
            yield TransferCause(f"{program.name} is given the image {image}", TransferWay.IMAGES, image)
    for rule in aws.client("ecr").describe_registry()["replicationConfiguration"]["rules"]:
        if any(destination["region"] == to for destination in rule["destinations"]):
            filters = [f"{selection['filter']}*" for selection in rule.get("repositoryFilters", ())]
            only = ", ".join(filters) or "every repository"
            yield TransferCause(f"the registry replicates {only} there", TransferWay.IMAGES, only)


def find_vpcs_without_gateway(aws: Aws) -> Iterator[TransferCause]:
    """
    Yield the VPCs with route tables that lead to a NAT gateway and to no available gateway endpoint of S3.

    Through the latter S3 costs nothing. An endpoint serves only the route tables that it names.
    """
    wanted = {"service-name": f"com.amazonaws.{aws.region}.s3", "vpc-endpoint-type": "Gateway"}
    pages = aws.pages("ec2:DescribeVpcEndpoints", Filters=_filters(wanted))
    available = [
        endpoint
        for page in pages
        for endpoint in page["VpcEndpoints"]
        if endpoint["State"].lower() == "available"
    ]
    ends = {endpoint["VpcId"]: endpoint["VpcEndpointId"] for endpoint in available}
    served = {table for endpoint in available for table in endpoint["RouteTableIds"]}
    pages = aws.pages("ec2:DescribeNatGateways", Filter=_filters({"state": "available"}))
    gateways = {gateway["NatGatewayId"] for page in pages for gateway in page["NatGateways"]}
    pages = aws.pages("ec2:DescribeRouteTables")
    unserved: dict[str, list[str]] = defaultdict(list)
    for table in (table for page in pages for table in page["RouteTables"]):
        leads = any(route.get("NatGatewayId") in gateways for route in table["Routes"])
        if leads and table["RouteTableId"] not in served:
            unserved[table["VpcId"]].append(table["RouteTableId"])
    for vpc, tables in unserved.items():
        named = " ".join(sorted(tables))
        do = f"create-vpc-endpoint --vpc-endpoint-type Gateway --service-name {wanted['service-name']}"
        do += f" --vpc-id {vpc} --route-table-ids {named}"
        if vpc in ends:
            do = f"modify-vpc-endpoint --vpc-endpoint-id {ends[vpc]}"
            do += f" --add-route-table-ids {named}"
        yield TransferCause(
            f"{vpc} has a NAT gateway, and no gateway endpoint of S3 serves its route tables {named}",
            TransferWay.NAT,
            do,
        )


def _filters(wanted: dict[str, str]) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": [value]} for name, value in wanted.items()]


def bucket_addresses(texts: Iterable[str], buckets: Collection[str]) -> Iterator[str]:
    """Yield every address of *buckets* in *texts*, in any spelling; a bare name is a whole bucket."""
    for text in texts:
        if text.strip() in buckets:
            yield f"s3://{text.strip()}/"
        for found in BUCKET_ADDRESS.finditer(text):
            bucket, key = VIRTUAL_HOST_SUFFIX.sub("", found[1]), found[2] or "/"
            if text[found.end() : found.end() + 1] in PATTERN_SIGNS:
                key = f"{key.rpartition('/')[0]}/"
            if bucket in buckets:
                yield f"s3://{bucket}{key}"


# --- the adviser ----------------------------------------------------------------------------------


def _destination(usage: str, region: str) -> str | None:
    """Return where bytes of this *usage* type go from *region*: "" for a NAT gateway, None for another."""
    source, to = transfer_regions(usage) or (region_of_usage(usage), "")
    return to if source == region and (to or without_region(usage) in _NAT_BYTES) else None


_USAGE_TYPE = "usage-type"
_NAT_BYTES = {"NatGateway-Bytes", "RegionalNatGateway-Bytes"}
_EXCLUDED_RECORDS = ("Credit", "Refund", "Tax")

_REPLICATION_ENDING, _READING_OPERATIONS = "ForRepl", ("Get", "Head", "List", "Copy", "Read", "Select")
"""Endings and beginnings of S3's operations (S3 user guide, "Tracking operations in your usage reports")."""

_CHANGES_BY_WAY = {
    TransferWay.READS: "copy {about} once to a bucket in {to} (aws s3 sync; a replication rule if "
    "the data changes),"
    " and name the copy where it is read",
    TransferWay.WRITES: "write to a bucket in {here} in place of {about}, and send only what is "
    "needed in {to}",
    TransferWay.REPLICATES: "ask who needs the copies; if nobody does, disable the {about}, or limit "
    "it to a prefix",
    TransferWay.IMAGES: "keep an image that is used in {to} there, once: name it by the registry of "
    "{to}, and limit"
    " the registry's replication to repositories that are pulled there ({about})",
    TransferWay.NAT: "give S3 a gateway endpoint (free; interface endpoints for other services cost by the"
    " hour and zone, and by the gigabyte): aws ec2 {about}",
}
_PROOFS_BY_WAY = {
    TransferWay.READS: "server access logs or CloudTrail data events of the bucket, which name the reader",
    TransferWay.WRITES: "server access logs of the bucket that is written to",
    TransferWay.REPLICATES: "server access logs of the destination over a month: whether anybody "
    "reads the copies",
    TransferWay.IMAGES: "CloudTrail's BatchGetImage events, which name who pulls",
    TransferWay.NAT: "VPC flow logs of the gateway: how much of it goes to S3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficLine(Candidate):
    """
    A line of the bill: *monthly* dollars and *gb* for one *operation*, *to* another region or through NAT.

    *size* is the number of bytes that its causes read, *copy* the cost of keeping them twice.
    """

    operation: str
    to: str
    monthly: Decimal
    gb: Decimal
    causes: Signal[tuple[TransferCause, ...]]
    size: Signal[int]
    copy: Cost | None = None


@dataclass(frozen=True)
class CrossRegionTraffic(Detector[TrafficLine]):
    """
    Finds the causes of the bill's bytes between regions and through NAT gateways.

    It begins with the bill, and never blames an input of a job, which is always in the region of the job.
    """

    name = "cross-region-traffic"
    kinds = (_USAGE_TYPE,)
    asks_for = Change.REPLACE
    own_tags = False  # a line of a bill has no tags
    reads = (
        *(allow(action) for action in (GET_COST_AND_USAGE, GET_PRODUCTS)),
        # also in the region that the bytes go to
        *(allow(action, anywhere=True) for action in (SEARCH, PROCESSING_JOB.lists)),
        allow(PROCESSING_JOB.describes, on=f"arn:aws:sagemaker:*:{OWN_ACCOUNT}:processing-job/*"),
        *(allow(f"ec2:Describe{noun}") for noun in ("NatGateways", "RouteTables", "VpcEndpoints")),
        *(allow(action) for action in ("ecr:DescribeRegistry", "s3:ListAllMyBuckets")),
        *in_own_buckets([allow("s3:GetReplicationConfiguration", on="arn:aws:s3:::*")]),
        allow("s3:ListBucket", on="arn:aws:s3:::*"),  # a shared account may own what is read
    )

    window: Constant[timedelta] = timedelta(days=30)
    min_saving: Constant[float] = LEAST_SAVING_USD
    max_requests: Constant[int] = 3  # a cent each

    def find_called(self, aws: Aws, name: str, now: datetime) -> Iterable[str]:
        """Yield the ARN of the line *name* of the bill without asking Cost Explorer, which costs money."""
        usage, between, _ = name.partition("/")
        if between and _destination(usage, aws.region) is not None:
            yield aws.arn("ce", f"{_USAGE_TYPE}/{name}")

    def find(self, aws: Aws, now: datetime) -> Iterator[TrafficLine | SweepNote]:
        """Yield the lines that leave this region, with possible causes where a line costs enough."""
        if (why := cost_explorer.unread_bill_reason(aws.partition)) is not None:
            yield SweepNote(why)
            return
        programs: dict[str, tuple[RunningProgram, ...]] = {}

        def causes(line: TrafficLine) -> tuple[TransferCause, ...]:
            if not line.to:
                return tuple(find_vpcs_without_gateway(aws))
            if line.to not in REGION_CODES.values():
                raise ReadError(f"{line.to} is not a region that is known here")
            for name in {aws.region, line.to} - programs.keys():
                programs[name] = list_programs(aws.at(name), now - self.window, now)
            return tuple(dict.fromkeys(_causes(aws, line, programs[aws.region], programs[line.to])))

        for line in self.charged(aws, now):
            if line.monthly >= Decimal(self.min_saving):
                yield _sized(aws, replace(line, causes=read_signal(partial(causes, line), source=SEARCH)))
            else:
                yield line

    def charged(self, aws: Aws, now: datetime) -> Iterator[TrafficLine]:
        """Yield every such line of the whole days in *window*: a cent for each page. Raises ReadError."""
        explorer = CostExplorer(
            aws.client("ce", cost_explorer.COST_EXPLORER_REGION), max_requests=self.max_requests
        )
        days = max(self.window // DAY, 1)
        groups = (group_by_dimension("USAGE_TYPE"), group_by_dimension("OPERATION"))
        try:
            rows = explorer.monthly(now.date() - days * DAY, now.date(), *groups, without=_EXCLUDED_RECORDS)
        except RefusedError as refused:
            raise ReadError(f"the bill cannot be read, {refused.cause}: {refused}".rstrip(": ")) from refused
        sums: dict[tuple[str, ...], tuple[Decimal, Decimal]] = {}
        for row in rows:
            dollars, gb = sums.get(row.keys, (Decimal(0), Decimal(0)))
            sums[row.keys] = dollars + row.unblended, gb + row.quantity
        month = Decimal(HOURS_PER_MONTH) / (days * 24)
        for (usage, operation), (dollars, gb) in sorted(sums.items()):
            if (to := _destination(usage, aws.region)) is not None:
                name = f"{usage}/{operation}"
                arn = aws.arn("ce", f"{_USAGE_TYPE}/{name}")
                yield TrafficLine(
                    target=target_in(aws, arn, name, _USAGE_TYPE, None, tags=Value({})),
                    operation=operation,
                    to=to,
                    monthly=dollars * month,
                    gb=gb * month,
                    causes=Absent(),
                    size=Absent(),
                )

    def decide(self, candidate: TrafficLine, now: datetime) -> Verdict:
        """Judge a line, as likely at most: a bill does not name the resource that moved its bytes."""
        del now
        rule, line = Rule(), candidate
        where = f"to {line.to}" if line.to else "through NAT gateways"
        much = (
            f"{format_usd(line.monthly)} a month for bytes from {line.target.region} {where} "
            f"({line.operation})"
        )
        rule.saw(
            Evidence("charged a month", format_usd(line.monthly), source=GET_COST_AND_USAGE),
            Evidence("gigabytes a month", round(float(line.gb), 1), source=GET_COST_AND_USAGE),
        )
        if line.monthly < Decimal(self.min_saving):
            return rule.kept(f"it costs {format_usd(line.monthly)} a month")
        if isinstance(line.causes, Unreadable):
            return rule.unknown(f"unknown cause: {much}; {line.causes.error}")
        if not isinstance(line.causes, Value) or not (causes := line.causes.value):
            return rule.unknown(f"unknown cause: {much}; nothing that is known here moves them")
        rule.saw(
            Evidence("may cause it", _listed(cause.what for cause in causes)),
            Evidence("how sure", "the only one known" if len(causes) == 1 else f"one of {len(causes)}"),
        )
        if all(cause.used for cause in causes):
            return rule.kept(f"{much}: {causes[0].what}, and {causes[0].used} uses the copy")
        return self.weighed(rule, line, much, [cause for cause in causes if not cause.used])

    def weighed(self, rule: Rule, line: TrafficLine, much: str, causes: list[TransferCause]) -> Verdict:
        """Judge whether a change by *causes* saves something, net of its own cost."""
        way, saved, once = causes[0].way, None, None
        if (
            way is TransferWay.REPLICATES
            and isinstance(line.causes, Value)
            and len(causes) == len(line.causes.value)
        ):
            saved = line.monthly
        if isinstance(line.size, Unreadable):
            return rule.unknown(f"{much}; how large the data is that is read is unknown ({line.size.error})")
        if way is TransferWay.READS and isinstance(line.size, Value):
            size = Decimal(line.size.value) / GB
            rule.saw(Evidence("data that is read", format_size(line.size.value), source=s3.LIST_OBJECTS))
            if line.gb <= size:
                return rule.kept(f"{much} is no more than the data once, which a copy has to move as well")
            if line.copy is not None and line.copy.monthly_usd is not None:
                saved, once = line.monthly - line.copy.monthly_usd, line.monthly / line.gb * size
                if saved < Decimal(self.min_saving):
                    return rule.kept(f"{much}; a copy would save {format_usd(max(saved, Decimal(0)))}")
        unknown = "" if saved is not None else "; how much of it a change saves is unknown"
        about = {
            way: _listed(cause.about for cause in causes if cause.way is way)
            for way in dict.fromkeys(cause.way for cause in causes)
        }
        changes = (
            _CHANGES_BY_WAY[way].format(about=what, here=line.target.region, to=line.to)
            for way, what in about.items()
        )
        return rule.found(
            f"{much}: {_listed(cause.what for cause in causes)}{unknown}",
            Confidence.LIKELY,
            action="; ".join(changes),
            cost=Cost.saving(saved, "Cost Explorer", once_usd=once),
            to_prove="; ".join(_PROOFS_BY_WAY[way] for way in about),
            noun="line of the bill",
        )


def _causes(
    aws: Aws, line: TrafficLine, here: tuple[RunningProgram, ...], there: tuple[RunningProgram, ...]
) -> Iterator[TransferCause]:
    """Yield the possible causes of *line*, by its operation. Raises ReadError, and botocore's own errors."""
    regions = buckets_by_region(aws, line.to)
    if _REPLICATION_ENDING in line.operation:
        yield from find_replications(aws, line.to, regions, there)
    elif line.operation.startswith(_READING_OPERATIONS):
        yield from find_readers(there, [name for name, at in regions.items() if at == aws.region])
    else:
        far = [name for name, at in regions.items() if at == line.to]
        yield from find_senders(aws, line.to, far, here, there)


def _sized(aws: Aws, line: TrafficLine) -> TrafficLine:
    """Return *line* with the size of its causes' data; addresses without objects do not count."""
    causes = line.causes.value if isinstance(line.causes, Value) else ()
    sizes = {
        cause.about: s3.stored_size(aws, cause.about) for cause in causes if cause.way is TransferWay.READS
    }
    if not sizes:
        return line
    there = tuple(cause for cause in causes if not isinstance(sizes[cause.about], Absent))
    known = {uri: size.value for uri, size in sizes.items() if isinstance(size, Value)}
    unread = next((signal for signal in sizes.values() if isinstance(signal, Unreadable)), None)
    outer = [uri for uri in known if not any(uri != other and uri.startswith(other) for other in known)]
    size = sum(known[uri] for uri in outer)
    copy = None if unread else storage.read_storage_prices(aws.at(line.to)).cost("STANDARD", size)
    return replace(line, causes=Value(there), size=unread or Value(size), copy=copy)


def _listed(names: Iterable[str]) -> str:
    """Return the first three of *names*, and how many more."""
    some = list(dict.fromkeys(names))
    return ", ".join(some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")
