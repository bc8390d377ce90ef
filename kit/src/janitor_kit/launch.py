"""
Launches SageMaker training jobs that cannot run for longer, or for more, than was said.

`prepare` makes a full CreateTrainingJob request and refuses one without a limit, without the tags that the
company requires, without what spot needs, or with data in another region; it creates nothing. `launch`
uploads the code and creates the job. Both need boto3 (extra `s3`) and nothing else.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from janitor_kit import origin, prices
from janitor_kit.checks import Refused, bucket_region, check_against_model, check_regions
from janitor_kit.packing import check_code, is_remote, pack

__all__ = ["Job", "Plan", "Refused", "launch", "prepare"]

OWN = {
    *("TrainingJobName", "AlgorithmSpecification", "RoleArn", "HyperParameters", "Environment", "Tags"),
    *("InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition", "CheckpointConfig"),
    *("EnableManagedSpotTraining", "RetryStrategy"),
}
"""Members that a job's `request` may not set: a limit would not hold otherwise."""
MOST_TAGS = 50
MOST_RETRIES = 30
MOST_KEEP_ALIVE = 3600
MOST_USD = 10**9
OF_THIS_JOB = "{job}"
CHECKPOINT_DIR = "CHECKPOINT_DIR"
"""The variable that tells the script where its checkpoints belong."""
CODE_CHANNEL = "code"
EXEC_SCRIPT = (
    "mkdir -p /opt/ml/code && cd /opt/ml/code && tar -xzf /opt/ml/input/data/code/*.tar.gz && "
    "if [ -f requirements.txt ]; then python -m pip install -q -r requirements.txt; fi && "
    'exec python "$0" "$@"'
)
"""Replaces the shell by the script, so that SIGTERM reaches it: AWS's toolkit passes no signal on."""


@dataclass(frozen=True)
class Job:
    """
    A training to launch, its machines and its limits. Sizes in GB, times in seconds, money in dollars.

    *source* is a folder, packed with the files and folders of *also*, or an s3:// tarball; *entry* is the
    script in it. Without both, *image* says itself what to run. One of *max_runtime* and *max_usd* is
    required; with both, the shorter limit counts. *required_tags* are the keys that must be among *tags*.
    "{job}" in *checkpoints* becomes the job's name; a path without it is resumed by the next job, which
    trains nothing if that run was finished. *allowance* is what download and upload may take, billed beside
    the limit. *request* adds members of CreateTrainingJob that this class has not, such as VpcConfig.

    Later settings have the names of ModelTrainer in the SageMaker SDK. An input is an s3:// path, or a
    table of `uri`, `sharded` and `mode`. *metric_definitions* are regular expressions by name. A warm pool
    lasts *keep_alive_period*, billed beside the limit. *instance_groups* are tables of `instance_type` and
    `instances` by name, in place of *instance_type*. *exec_script* runs the script itself as the
    container's first process. *continue_from* names another run's checkpoint to go on from.
    """

    name: str
    role: str
    image: str
    instance_type: str | None
    output: str
    tags: Mapping[str, str]
    max_runtime: int | None = None
    max_usd: Decimal | None = None
    spot: bool = True
    max_wait: int | None = None
    checkpoints: str | None = None
    checkpoint_dir: str = "/opt/ml/checkpoints"
    retries: int = 2
    instances: int = 1
    volume_gb: int = 30
    source: str | Path | None = None
    also: tuple[Path, ...] = ()
    entry: str | None = None
    inputs: Mapping[str, str | Mapping[str, Any]] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    required_tags: tuple[str, ...] = ("project", "owner")
    price: Decimal | None = None
    allowance: int = 600
    bucket_regions: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    training_input_mode: str = "File"
    volume_kms_key_id: str | None = None
    kms_key_id: str | None = None
    metric_definitions: Mapping[str, str] = field(default_factory=dict)
    keep_alive_period: int | None = None
    instance_groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    container_entrypoint: tuple[str, ...] = ()
    container_arguments: tuple[str, ...] = ()
    exec_script: bool = False
    continue_from: str | None = None

    @property
    def machines(self) -> dict[str, int]:
        """Return how many instances of each type it has."""
        if not self.instance_groups:
            return {str(self.instance_type): self.instances}
        found: dict[str, int] = {}
        for group in self.instance_groups.values():
            name = group["instance_type"]
            found[name] = found.get(name, 0) + group["instances"]
        return found


@dataclass(frozen=True)
class Plan:
    """A job that may be launched: the request, where its code is to be uploaded, and the most it may cost."""

    region: str
    request: dict[str, Any]
    bound: prices.Bound
    code: str | None

    @property
    def name(self) -> str:
        return str(self.request["TrainingJobName"])


def prepare(job: Job, session: Any, *, stamp: str, environment: Mapping[str, str], folder: Path) -> Plan:
    """
    Make a checked request of the job. It reads prices and the regions of buckets, and changes nothing.

    *stamp* (`new_stamp`) makes its name unique; *environment* is read for what a CI says of itself, *folder*
    for git. Raises Refused.
    """
    region = session.region_name
    if not region:
        raise Refused("no region: set AWS_DEFAULT_REGION, or give --region")
    check_demands(job)
    tags = origin.tags(folder, environment) | dict(job.tags)
    if len(tags) > MOST_TAGS:
        raise Refused(f"{len(tags)} tags: a job may have {MOST_TAGS}")
    name = f"{job.name}-{stamp}"
    code = _code(job, name)
    # before the price: a misspelt type has none
    check_against_model(session.client("sagemaker"), request_of(job, name, 1, tags, code))
    bound = bound_of(job, price_of_machines(job, session, region), region)
    request = request_of(job, name, bound.seconds, tags, code)
    client = session.client("s3")
    check_regions(
        request, region, lambda bucket: job.bucket_regions.get(bucket) or bucket_region(client, bucket)
    )
    return Plan(region, request, bound, code if job.source and not is_remote(job.source) else None)


def new_stamp(now: datetime) -> str:
    """Return a suffix that is unique even among a dozen jobs in one second: 20261006-030000-4f2a9c."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def launch(job: Job, plan: Plan, session: Any) -> str:
    """
    Upload the code, create the job, and return its ARN. Raises botocore's errors, and Refused.

    Nobody else has its name: where SageMaker says that it is taken, this very request created the job, its
    answer was lost, and botocore asked again.
    """
    from botocore.exceptions import ClientError

    if plan.code is not None:
        parts = urlsplit(plan.code)
        packed = pack(Path(str(job.source)), job.also)
        session.client("s3").put_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"), Body=packed)
    client = session.client("sagemaker")
    try:
        created: Mapping[str, str] = client.create_training_job(**plan.request)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUse":
            raise
        created = client.describe_training_job(TrainingJobName=plan.name)
    return created["TrainingJobArn"]


def check_demands(job: Job) -> None:
    """Refuse a job without what every job must have. Asks nobody."""
    if problems := [
        *_limit_problems(job),
        *_machine_problems(job),
        *_spot_problems(job),
        *_other_problems(job),
    ]:
        raise Refused("; ".join(problems))
    if job.source and not is_remote(job.source):
        check_code(Path(job.source), str(job.entry), job.also)


def _limit_problems(job: Job) -> Iterator[str]:
    if job.max_runtime is None and job.max_usd is None:
        yield "no limit: give max_runtime (such as 6h) or max_usd (such as 50)"
    if job.max_runtime is not None and not 0 < job.max_runtime <= prices.LONGEST:
        yield f"max_runtime is {job.max_runtime} seconds: from 1 second to 28 days"
    for name, value in (("max_usd", job.max_usd), ("price", job.price)):
        if value is not None and not (value.is_finite() and 0 < value < MOST_USD):
            yield f"{name} is {value}: it must be above 0 and below {MOST_USD}"
    if job.instances < 1 or job.volume_gb < 1 or job.allowance < 0:
        yield "instances and volume_gb must be at least 1, and allowance not negative"
    if not 0 <= job.retries <= MOST_RETRIES:
        yield f"retries is {job.retries}: from 0 to {MOST_RETRIES}"


def _machine_problems(job: Job) -> Iterator[str]:
    if not job.instance_type and not job.instance_groups:
        yield "no machines: give instance_type, or instance_groups"
    if job.instance_type and job.instance_groups:
        yield "instance_type and instance_groups exclude each other"
    if job.instance_groups and job.price is not None:
        yield "price is of one type of instances: leave it out with instance_groups"
    for name, group in job.instance_groups.items():
        if {*group} != {"instance_type", "instances"} or not int(group["instances"]) >= 1:
            yield f"the instance group {name} needs instance_type, and instances of at least 1"
    if job.keep_alive_period is not None and not 0 < job.keep_alive_period <= MOST_KEEP_ALIVE:
        yield f"keep_alive_period is {job.keep_alive_period} seconds: from 1 second to an hour"


def _spot_problems(job: Job) -> Iterator[str]:
    if not job.spot:
        if job.max_wait is not None:
            yield "max_wait is for spot alone"
        return
    if not job.checkpoints:
        yield "spot without checkpoints begins anew when interrupted: give checkpoints, or spot = false"
    if job.keep_alive_period is not None:
        yield "a warm pool (keep_alive_period) is on demand: give spot = false"
    if job.max_wait is None:
        yield "spot without max_wait: say how long it may take with waiting for capacity, or spot = false"
    elif job.max_wait < (job.max_runtime or 1):
        yield f"max_wait ({job.max_wait} s) is shorter than max_runtime ({job.max_runtime} s)"


def _other_problems(job: Job) -> Iterator[str]:
    if missing := [key for key in job.required_tags if not job.tags.get(key, "").strip()]:
        yield f"tags missing: {', '.join(missing)}"
    for key, value in job.tags.items():
        if origin.NOT_IN_TAGS.search(key + value) or key.lower().startswith("aws:"):
            yield f"AWS does not allow the tag {key}={value}"
    if bool(job.source) != bool(job.entry):
        yield "source and entry belong together: the code, and the script in it"
    if job.exec_script and (not job.source or job.container_entrypoint or CODE_CHANNEL in job.inputs):
        yield (
            "exec_script needs source, and has the entry point and the input channel "
            f"{CODE_CHANNEL} for itself"
        )
    for name, given in job.inputs.items():
        if not isinstance(given, str) and ("uri" not in given or {*given} - {"uri", "sharded", "mode"}):
            yield f"the input {name} is an s3:// path, or a table of uri, sharded and mode"
    if own := sorted(OWN & set(job.request)):
        yield f"request may not set {', '.join(own)}: they have settings of their own"


def price_of_machines(job: Job, session: Any, region: str) -> prices.Price:
    """Return the price of an instance-hour; with instance groups, of an hour of all instances."""
    if not job.instance_groups:
        return prices.price_of(session, region, str(job.instance_type), job.price)
    found = [(count, prices.price_of(session, region, each)) for each, count in job.machines.items()]
    sources = "; ".join(dict.fromkeys(price.source for _, price in found))
    if any(price.hourly_usd is None for _, price in found):
        return prices.Price(None, sources)
    return prices.Price(
        sum((count * (price.hourly_usd or Decimal(0)) for count, price in found), Decimal(0)), sources
    )


def bound_of(job: Job, price: prices.Price, region: str) -> prices.Bound:
    """Compute the limit in seconds, and the most that the job costs with it. Raises Refused."""
    instances = 1 if job.instance_groups else job.instances  # a price is then that of all
    volumes = prices.volumes(sum(job.machines.values()), job.volume_gb)
    allowance = job.allowance + prices.GRACE + (job.keep_alive_period or 0)
    limits = [limit for limit in (job.max_runtime, job.max_wait) if limit is not None]
    if job.max_usd is not None:
        if price.hourly_usd is None:
            unknown = f"no price of {', '.join(job.machines)} is known ({price.source})"
            raise Refused(f"{unknown}: give price = DOLLARS_AN_HOUR, or max_runtime in place of max_usd")
        seconds = prices.seconds_for(job.max_usd, price.hourly_usd * instances + volumes, allowance)
        if seconds < 1:
            least = (price.hourly_usd * instances + volumes) * allowance / 3600
            raise Refused(
                f"${job.max_usd} does not pay for more than download, upload and SIGTERM (${least:.2f})"
            )
        limits.append(seconds)
    unbounded = prices.UNBOUNDED + (prices.UNBOUNDED_SPOT if job.spot else ())
    if region != prices.TABLE_REGION:
        unbounded += (f"volumes are counted at the price of {prices.TABLE_REGION}",)
    if not job.retries:
        unbounded += ("without retries, AWS does not say whether the limit is that of all attempts",)
    return prices.Bound(min(limits), allowance, instances, price.hourly_usd, volumes, price.source, unbounded)


def request_of(
    job: Job, name: str, seconds: int, tags: Mapping[str, str], code: str | None
) -> dict[str, Any]:
    """
    Build the whole request. Pure.

    With RetryStrategy, the limits are totals over all attempts and not those of each (CreateTrainingJob,
    StoppingCondition).
    """
    given: dict[str, Any] = dict(job.hyperparameters)
    if code is not None and not job.exec_script:
        given |= {"sagemaker_program": job.entry, "sagemaker_submit_directory": code}
    stop: dict[str, int] = {"MaxRuntimeInSeconds": seconds}
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "AlgorithmSpecification": _algorithm(job),
        "RoleArn": job.role,
        "OutputDataConfig": {
            "S3OutputPath": job.output,
            **({"KmsKeyId": job.kms_key_id} if job.kms_key_id else {}),
        },
        "ResourceConfig": _resources(job),
        "StoppingCondition": stop,
        "EnableManagedSpotTraining": job.spot,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    environment = dict(job.environment)
    if job.checkpoints:
        at = job.checkpoints.replace(OF_THIS_JOB, name)
        request["CheckpointConfig"] = {"S3Uri": at, "LocalPath": job.checkpoint_dir}
        environment.setdefault(CHECKPOINT_DIR, job.checkpoint_dir)
    if job.max_wait is not None:
        stop["MaxWaitTimeInSeconds"] = job.max_wait
    if job.retries:
        request["RetryStrategy"] = {"MaximumRetryAttempts": job.retries}
    if job.continue_from:
        environment.setdefault("CONTINUE_FROM", job.continue_from)
    if environment:
        request["Environment"] = environment
    if given:
        script = code is not None and not job.exec_script
        request["HyperParameters"] = {
            key: _hyperparameter(key, value, script=script) for key, value in given.items()
        }
    inputs = dict(job.inputs)
    if code is not None and job.exec_script:
        inputs[CODE_CHANNEL] = {"uri": code, "mode": "File"}
    if inputs:
        request["InputDataConfig"] = [_channel(*channel) for channel in inputs.items()]
    return request | dict(job.request)


def _hyperparameter(key: str, value: Any, *, script: bool) -> str:
    """JSON for a script, as the SDK writes and sagemaker-training reads it; for an algorithm, plain text."""
    if isinstance(value, str) and not script:
        return value
    try:
        return json.dumps(value)
    except TypeError as error:  # a date of TOML
        raise Refused(f"the hyperparameter {key} is {value}: write it as a text ({error})") from error


def _algorithm(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {"TrainingImage": job.image, "TrainingInputMode": job.training_input_mode}
    if job.metric_definitions:
        found["MetricDefinitions"] = [
            {"Name": name, "Regex": regex} for name, regex in job.metric_definitions.items()
        ]
    if job.container_entrypoint:
        found["ContainerEntrypoint"] = [*job.container_entrypoint]
    if job.container_arguments:
        found["ContainerArguments"] = [*job.container_arguments]
    if job.exec_script:
        options = [
            word
            for key, value in job.hyperparameters.items()
            for word in (f"--{key}", _hyperparameter(key, value, script=False))
        ]
        found["ContainerEntrypoint"] = ["/bin/sh", "-c", EXEC_SCRIPT]
        found["ContainerArguments"] = [str(job.entry), *options, *job.container_arguments]
    return found


def _resources(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {"VolumeSizeInGB": job.volume_gb}
    if job.instance_groups:
        found["InstanceGroups"] = [
            {
                "InstanceGroupName": name,
                "InstanceType": group["instance_type"],
                "InstanceCount": group["instances"],
            }
            for name, group in job.instance_groups.items()
        ]
    else:
        found |= {"InstanceType": job.instance_type, "InstanceCount": job.instances}
    if job.volume_kms_key_id:
        found["VolumeKmsKeyId"] = job.volume_kms_key_id
    if job.keep_alive_period is not None:
        found["KeepAlivePeriodInSeconds"] = job.keep_alive_period
    return found


def _channel(name: str, given: str | Mapping[str, Any]) -> dict[str, Any]:
    wanted = {"uri": given} if isinstance(given, str) else given
    spread = "ShardedByS3Key" if wanted.get("sharded") else "FullyReplicated"
    source = {"S3DataType": "S3Prefix", "S3Uri": wanted["uri"], "S3DataDistributionType": spread}
    found = {"ChannelName": name, "DataSource": {"S3DataSource": source}}
    return found | ({"InputMode": wanted["mode"]} if "mode" in wanted else {})


def _code(job: Job, name: str) -> str | None:
    """Where the code is, or is going to be: beside the job's output, as the SDK does it."""
    if not job.source:
        return None
    if is_remote(job.source):
        return str(job.source)
    return f"{job.output.rstrip('/')}/{name}/source/sourcedir.tar.gz"
