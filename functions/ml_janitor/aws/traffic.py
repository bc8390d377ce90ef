"""Finds possible movers of bytes between regions, or through a NAT gateway: programs, rules, VPCs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

from ml_janitor.aws.answers import ReadError, read_signal
from ml_janitor.aws.client import Aws
from ml_janitor.aws.s3 import LIST_BUCKETS
from ml_janitor.aws.sagemaker_kinds import PROCESSING_JOB, describe_all, search_records, texts_in
from ml_janitor.aws.training_jobs import search_training_jobs
from ml_janitor.core.job_families import family_name
from ml_janitor.core.signals import Unreadable, Value

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
    """Yield the VPCs with a NAT gateway and without a gateway endpoint, through which S3 costs nothing."""
    wanted = {"service-name": f"com.amazonaws.{aws.region}.s3", "vpc-endpoint-type": "Gateway"}
    pages = aws.pages("ec2:DescribeVpcEndpoints", Filters=_filters(wanted))
    ends = {endpoint["VpcId"] for page in pages for endpoint in page["VpcEndpoints"]}
    pages = aws.pages("ec2:DescribeNatGateways", Filter=_filters({"state": "available"}))
    for vpc in dict.fromkeys(gateway["VpcId"] for page in pages for gateway in page["NatGateways"]):
        if vpc not in ends:
            yield TransferCause(
                f"{vpc} has a NAT gateway and no gateway endpoint of S3", TransferWay.NAT, vpc
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
