"""Checks of a CreateTrainingJob request before it is sent: against AWS's own model, and for other regions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

BUCKET = r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]"
URIS = (
    re.compile(rf"\bs3[an]?://({BUCKET})(?![a-z0-9.\-])"),
    re.compile(rf"https://({BUCKET})\.s3[.\-](?:[a-z0-9\-]+\.)?amazonaws\.com"),
)
"""How a bucket is named in a request, also in the middle of a hyperparameter's JSON."""
REGIONAL = (
    ("image of ECR", re.compile(r"\d{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9\-]+)\.amazonaws\.com")),
    ("access point", re.compile(r"arn:aws[a-z\-]*:s3:([a-z0-9\-]+):\d{12}:accesspoint")),
)
"""What says its region itself."""


class Refused(ValueError):  # noqa: N818 - what the caller asked for is refused; nothing has failed
    """A job that is not launched, and what to change: one line."""


# --- AWS's own model -----------------------------------------------------------------------------


def check_against_model(client: Any, request: Mapping[str, Any]) -> None:
    """
    Refuse what SageMaker would: members, types, patterns, lengths and enumerations of botocore's model.

    botocore's own validation leaves patterns, maxima and enumerations to the service.
    """
    from botocore.validate import ParamValidator

    shape = client.meta.service_model.operation_model("CreateTrainingJob").input_shape
    report = ParamValidator().validate(request, shape)
    found = [] if not report.has_errors() else report.generate_report().splitlines()
    if problems := found or list(violations(request, shape, "")):
        raise Refused("; ".join(problems))


def violations(value: Any, shape: Any, where: str) -> Iterator[str]:
    """List where *value* breaks a constraint of *shape*, one line each."""
    yield from _sized(value, shape, where)
    kind = shape.type_name
    if kind == "structure":
        for name in [member for member in shape.members if member in value]:
            yield from violations(value[name], shape.members[name], f"{where}.{name}".lstrip("."))
    elif kind == "list":
        for number, item in enumerate(value):
            yield from violations(item, shape.member, f"{where}[{number}]")
    elif kind == "map":
        for key, item in value.items():
            yield from violations(key, shape.key, f"the name {key} of {where}")
            yield from violations(item, shape.value, f"{where}.{key}")
    elif kind == "string":
        yield from _spelt(value, shape, where)


def _sized(value: Any, shape: Any, where: str) -> Iterator[str]:
    most = shape.metadata.get("max")
    if most is None:
        return
    if shape.type_name in ("string", "list", "map"):
        if len(value) > most:
            yield f"{where} has the length {len(value)}, the most is {most}"
    elif value > most:
        yield f"{where} is {value}, the most is {most}"


def _spelt(value: str, shape: Any, where: str) -> Iterator[str]:
    if shape.enum and value not in shape.enum:
        near = get_close_matches(value, shape.enum, 3) or sorted(shape.enum)[:3]
        yield f"{where} is {value}, unknown to this botocore (update boto3?); near: {', '.join(near)}"
    if pattern := shape.metadata.get("pattern"):
        try:
            fits = re.fullmatch(pattern, value)
        except re.error:  # Java's \p{L}: left to AWS
            return
        if not fits:
            yield f"{where} is {value!r}, which does not match {pattern}"


# --- regions -------------------------------------------------------------------------------------


def texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a request, with its place."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from texts(item, f"{where}[{number}]")


def buckets(request: Mapping[str, Any]) -> dict[str, str]:
    """Find the buckets that a request names anywhere but in its tags, each with the first place."""
    found: dict[str, str] = {}
    for where, text in texts({key: value for key, value in request.items() if key != "Tags"}):
        for pattern in URIS:
            for bucket in pattern.findall(text):
                found.setdefault(bucket, where)
    return found


def check_regions(request: Mapping[str, Any], region: str, region_of: Callable[[str], str]) -> None:
    """Refuse a request that names a bucket, an image or an access point of another region than the job's."""
    elsewhere = []
    for where, text in texts(request):
        for what, pattern in REGIONAL:
            elsewhere += [f"{where}: {what} in {found}" for found in pattern.findall(text) if found != region]
    for bucket, where in buckets(request).items():
        if (home := region_of(bucket)) != region:
            elsewhere.append(f"{where}: bucket {bucket} in {home}")
    if elsewhere:
        raise Refused(
            f"the job runs in {region}, and every byte from another region is paid for and slow: "
            f"{'; '.join(elsewhere)}. Copy the data to a bucket in {region}, or launch where the data is"
        )


def bucket_region(client: Any, bucket: str) -> str:
    """
    Where a bucket is. HeadBucket tells it even to those who may not read it (x-amz-bucket-region with 403).

    Raises Refused where AWS does not tell, or there is no such bucket; NoCredentialsError.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        head: Mapping[str, Any] = client.head_bucket(Bucket=bucket)
        status = "200"
    except ClientError as error:
        head, status = error.response, str(error.response["Error"]["Code"])
    except NoCredentialsError:
        raise
    except BotoCoreError as error:
        head, status = {}, type(error).__name__
    headers = head.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if region := head.get("BucketRegion") or headers.get("x-amz-bucket-region"):
        return str(region)
    if status in ("404", "NoSuchBucket"):
        raise Refused(f"there is no bucket {bucket}")
    try:
        located = client.get_bucket_location(Bucket=bucket)["LocationConstraint"]
    except (BotoCoreError, ClientError) as error:
        answer = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        raise Refused(
            f"the region of bucket {bucket} cannot be read (HeadBucket {status}, GetBucketLocation {answer}):"
            f" allow s3:GetBucketLocation on it, or say it: --bucket-region {bucket}=REGION"
        ) from error
    named: Mapping[Any, str] = {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}
    return named.get(located, str(located))
