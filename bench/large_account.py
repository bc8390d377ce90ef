"""A sandbox with a large account, put right into its store: `python -m bench.large_account`."""

from __future__ import annotations

import copy
import hashlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import boto3
from moto.s3.models import s3_backends

from bench.account import HOUR, REQUIRED, ROLE, app_log, saved, series, studio, tags
from bench.box import ACCOUNT, NOW, REGION
from ml_janitor_sandbox.control import Control
from ml_janitor_sandbox.declared_objects import Made, become
from ml_janitor_sandbox.server import Sandbox
from moto_corrections import paging, state
from moto_corrections.patches import Call
from moto_corrections.sagemaker import listing, search
from moto_corrections.sagemaker.endpoints import ENDPOINT
from moto_corrections.sagemaker.listing import Row
from moto_corrections.sagemaker.store import KINDS, Kind, Resource, SageMakerStore, resources

ENDPOINTS, NOTEBOOKS, APPS, MODELS = 2_000, 500, 1_000, 500
TRAINING, PROCESSING, TRANSFORM = 47_000, 2_000, 1_000
OBJECTS = 100_000
SIZE = 1024 * 1024
"""Bytes of the smallest: no two have the same size, so nothing has to be compared."""
BUCKET = "weights"
MONTH = timedelta(days=30)
IDLE_EVERY = 20
"""Every so many-th endpoint, notebook and app is idle, and lacks a tag."""


def seed(session: boto3.Session, box: Control) -> None:
    """Make one of each by AWS's API, and the others as copies of it."""
    box.set_clock(NOW - MONTH)
    sagemaker: Any = session.client("sagemaker")
    with box.at_once():
        patterns(sagemaker)
        domain = studio(sagemaker, APPS)
        _objects(session)
    store = state.at(SageMakerStore, ACCOUNT, REGION)
    box.set_clock(NOW)
    _endpoints(store, box)
    _notebooks(store, box)
    for number in range(APPS):
        saved(box, "/aws/sagemaker/studio", app_log(domain, number), idle=number % IDLE_EVERY == 0)
    _jobs(store)


def patterns(sagemaker: Any) -> None:
    """One of each kind, named "pattern"."""
    image = {"Image": "image", "ModelDataUrl": f"s3://{BUCKET}/0/model.tar.gz"}
    sagemaker.create_model(ModelName="pattern", ExecutionRoleArn=ROLE, PrimaryContainer=image, Tags=tags())
    variant = {
        "VariantName": "main",
        "ModelName": "pattern",
        "InstanceType": "ml.m5.xlarge",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName="pattern", ProductionVariants=[variant], Tags=tags())
    sagemaker.create_endpoint(EndpointName="pattern", EndpointConfigName="pattern", Tags=tags())
    sagemaker.create_notebook_instance(
        NotebookInstanceName="pattern", InstanceType="ml.t3.xlarge", RoleArn=ROLE, Tags=tags()
    )
    instance = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1}
    sagemaker.create_training_job(
        TrainingJobName="pattern",
        AlgorithmSpecification={"TrainingInputMode": "File", "TrainingImage": "image"},
        RoleArn=ROLE,
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/out"},
        ResourceConfig=instance | {"VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 86400},
        Tags=tags(),
    )
    sagemaker.create_processing_job(
        ProcessingJobName="pattern",
        AppSpecification={"ImageUri": "image"},
        ProcessingResources={"ClusterConfig": instance | {"VolumeSizeInGB": 10}},
        RoleArn=ROLE,
        Tags=tags(),
    )
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/in"}}
    sagemaker.create_transform_job(
        TransformJobName="pattern",
        ModelName="pattern",
        TransformInput={"DataSource": source},
        TransformOutput={"S3OutputPath": f"s3://{BUCKET}/out"},
        TransformResources=instance,
        Tags=tags(),
    )


def copies(
    store: SageMakerStore, plural: str, names: Iterable[str], **changed: Any
) -> Iterator[tuple[int, Resource]]:
    """Replace the pattern of one kind by copies under *names*; every so many-th copy lacks a tag."""
    kind: Kind = KINDS[plural]
    stored = store.of(kind)
    pattern = stored.pop("pattern")
    for number, name in enumerate(names):
        members = {
            member: value.replace("pattern", name) if isinstance(value, str) else value
            for member, value in pattern.members.items()
        }
        held = dict.fromkeys(REQUIRED[0 if number % IDLE_EVERY else 1 :], "x")
        copied = replace(pattern, name=name, members=members | changed, tags=held, sequence=number)
        stored[name] = copied
        yield number, copied


def _endpoints(store: SageMakerStore, box: Control) -> None:
    list(copies(store, "models", (f"model-{place:04}" for place in range(MODELS))))
    configs = (f"endpoint-{place:04}" for place in range(ENDPOINTS))
    for number, config in copies(store, "endpoint_configs", configs):
        (variant,) = config.members["ProductionVariants"]
        config.members["ProductionVariants"] = [variant | {"ModelName": f"model-{number % MODELS:04}"}]
    published, events = [], []
    for number, endpoint in copies(
        store, "endpoints", (f"endpoint-{endpoint:04}" for endpoint in range(ENDPOINTS))
    ):
        values = [0.0 if number % IDLE_EVERY == 0 else 12.0] * (8 * 24)
        published.append(series("Invocations", values, HOUR, EndpointName=endpoint.name, VariantName="main"))
        at = NOW - MONTH + number * (MONTH / ENDPOINTS)
        named = {"EndpointName": endpoint.name, "EndpointConfigName": endpoint.name}
        events += [event(call, at, **named) for call in ("CreateEndpointConfig", "CreateEndpoint")]
    box.metrics("AWS/SageMaker", published)
    box.cloudtrail(events)


def event(call: str, at: datetime, **request: str) -> dict[str, Any]:
    """Make CloudTrail's record of a *call* by somebody."""
    return {
        "EventName": call,
        "EventTime": at.isoformat(),
        "EventSource": "sagemaker.amazonaws.com",
        "Username": "anna",
        "CloudTrailEvent": {
            "eventName": call,
            "userIdentity": {"type": "IAMUser", "userName": "anna"},
            "requestParameters": {key[:1].lower() + key[1:]: value for key, value in request.items()},
        },
    }


def _notebooks(store: SageMakerStore, box: Control) -> None:
    names = (f"notebook-{place:03}" for place in range(NOTEBOOKS))
    for number, notebook in copies(store, "notebook_instances", names):
        idle = number % IDLE_EVERY == 0
        saved(box, "/aws/sagemaker/NotebookInstances", f"{notebook.name}/jupyter.log", idle=idle)


def _jobs(store: SageMakerStore) -> None:
    """Jobs that ended, spread over a month."""
    for kind, number in (("Training", TRAINING), ("Processing", PROCESSING), ("Transform", TRANSFORM)):
        status = dict.fromkeys(
            [f"{kind}JobStatus", *(["SecondaryStatus"] if kind == "Training" else [])], "Completed"
        )
        names = (f"job-{place}" for place in range(number))
        for at, job in copies(store, f"{kind.lower()}_jobs", names, **status):
            began = NOW - MONTH + at * (MONTH / number)
            ended = began + timedelta(minutes=5)
            times = {f"{kind}StartTime": began, f"{kind}EndTime": ended}
            job.coming = None
            job.members |= times | {"CreationTime": began, "LastModifiedTime": ended}


def _objects(session: boto3.Session) -> None:
    """Artifacts of 1 MiB of which no two are equal: the sandbox makes their bytes when they are read."""
    s3: Any = session.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags()})
    s3.put_object(Bucket=BUCKET, Key="pattern", Body=b"")
    keys = s3_backends[ACCOUNT]["aws"].buckets[BUCKET].keys
    pattern = keys["pattern"]
    s3.delete_object(Bucket=BUCKET, Key="pattern")
    for number in range(OBJECTS):
        name = f"{number // 1000:03}/{number % 1000:03}/model.tar.gz"
        copied = copy.copy(pattern)
        copied.name = name
        become(copied, Made(SIZE + number, name))
        copied._etag = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        keys[name] = copied


def stand_still() -> None:
    """
    Answer pages from lists that are made once: nothing changes here any more.

    The sandbox would sort and filter all jobs again for each page, as it must while they change.
    """
    lists: dict[str, list[tuple[Any, Row]]] = {}
    fitting: dict[str, set[int]] = {}
    expression = search._expression

    def answer(call: Call, entries: Iterable[Row]) -> dict[str, Any]:
        asked = {
            name: value for name, value in call.params.items() if name not in {"NextToken", "MaxResults"}
        }
        key = f"{call.operation} {sorted(asked.items())}"
        if key not in lists:
            order = listing._order(call)
            wanted = [(order(row), row) for row in entries if listing._wanted(row, call.params, status=True)]
            lists[key] = sorted(wanted, key=lambda pair: pair[0], reverse=listing._descending(call))
        shown, more = paging.cut(call, lists[key], call.params.get("MaxResults", 10), invalid="Validation")
        return {listing.list_member(call.operation): [dict(row.members) for _, row in shown]} | more

    def test(record: str, asked: Mapping[str, Any]) -> search.Test:
        key = f"{record} {asked}"
        if key not in fitting:
            fits, store = expression(record, asked), state.at(SageMakerStore, ACCOUNT, REGION)
            fitting[key] = {id(row) for row in store.of(search.SEARCHED[record]).values() if fits(row)}
        return lambda row: id(row) in fitting[key]

    serving: dict[str, list[Any]] = {}

    def dashboard(call: Call, found: dict[str, Any]) -> dict[str, Any]:
        if not serving:
            for endpoint in resources(call, ENDPOINT).values():
                for model in search._models(call, endpoint):
                    serving.setdefault(model, []).append(endpoint.members)
        return {"Model": found, "Endpoints": serving.get(found["ModelName"], [])}

    replaced: list[tuple[Any, str, Any]] = [
        (listing, "answer", answer),
        (search, "answer", answer),
        (
            search,
            "rows",
            lambda those: (Row(row.members, row.name, row.status, row.sequence) for row in those),
        ),
        (search, "_indexed", lambda call, of: list(resources(call, of).values())),
        (search, "_expression", test),
        (search, "_dashboard", dashboard),
    ]
    for module, name, by in replaced:
        setattr(module, name, by)


def main() -> None:
    """Say where it listens once all is there, then serve until SIGTERM."""
    done = Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    with Sandbox(0) as box:
        os.environ["AWS_ENDPOINT_URL"] = box.url
        session = boto3.Session("AKIABENCH", "bench", region_name=REGION)
        seed(session, Control(box.url))
        stand_still()
        sys.stdout.write(f"listening {box.url}\n")
        sys.stdout.flush()
        done.wait()


if __name__ == "__main__":
    main()
