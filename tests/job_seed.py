"""Jobs that hang, of every kind, in the sandbox."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import boto3

from conftest import NOW
from ml_janitor_sandbox.control import Control
from sagemaker_requests import processing_request, rented, training_request, transform_request, tuning_request

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AGE, SILENT = 30 * HOUR, 20 * HOUR
SECRET = "hunter2-token"
STILL = 24 * 12
"""How many five minutes the load stands still, so that it does for the rest of a test's night too."""

AT_REST: Mapping[str, Sequence[float]] = MappingProxyType({"CPU": [1.0] * STILL})

LONG_ENOUGH = timedelta(minutes=10)
"""For AWS to stop a job of any kind."""

GROUPS = {
    "training-job": "/aws/sagemaker/TrainingJobs",
    "processing-job": "/aws/sagemaker/ProcessingJobs",
    "transform-job": "/aws/sagemaker/TransformJobs",
}


class Floor:
    """Jobs that hang, of every kind."""

    def __init__(self, box: Control, session: boto3.Session) -> None:
        self.box = box
        self.sagemaker: Any = session.client("sagemaker")
        self.s3: Any = session.client("s3")
        with box.at(NOW - 300 * DAY):
            for bucket in ("out", "ckpt"):
                self.s3.create_bucket(Bucket=bucket)

    def training(self, name: str, *, keep_alive: int = 0, **request: Any) -> None:
        """In a deadlock, which its GPUs prove."""
        pool = {"KeepAlivePeriodInSeconds": keep_alive} if keep_alive else {}
        made = training_request(
            name,
            rented("ml.g5.12xlarge", **pool),
            out="s3://out/training",
            seconds=5 * 86400,
            AlgorithmSpecification={
                "TrainingImage": "image",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
            },
            HyperParameters={"lr": "0.1", "token": SECRET},
            Environment={"WANDB_API_KEY": SECRET},
            Tags=[{"Key": "owner", "Value": "maria"}],
        )
        self.hung("training-job", name, levels={**AT_REST, "GPU": [400.0] * STILL}, **made | request)
        worked = {"metric": "GPUUtilization", "dimensions": {"Host": f"{name}/algo-1"}, "step": 300}
        worked |= {"start": NOW - SILENT - 3 * HOUR, "values": [250.0, 390.0] * 18}
        self.box.metrics(GROUPS["training-job"], [worked])

    def unused_pool(self, name: str) -> None:
        """The warm pool of a job that ended two hours ago."""
        self.training(name, keep_alive=6 * 3600)
        self.box.patch(
            "sagemaker",
            ["training_jobs", name],
            TrainingJobStatus="Completed",
            SecondaryStatus="Completed",
            TrainingEndTime=(NOW - 2 * HOUR).isoformat(),
            LastModifiedTime=(NOW - 2 * HOUR).isoformat(),
            warm_pool_status={"Status": "Available"},
        )

    def processing(self, name: str) -> None:
        """At rest, which proves nothing, as in a transform job."""
        made = processing_request(
            name,
            rented("ml.m5.4xlarge"),
            AppSpecification={"ImageUri": "image", "ContainerArguments": ["--all"]},
            Environment={"TOKEN": SECRET},
            StoppingCondition={"MaxRuntimeInSeconds": 5 * 86400},
        )
        self.hung("processing-job", name, **made)

    def transform(self, name: str) -> None:
        made = transform_request(name, "model", "ml.m5.4xlarge", out=f"s3://out/{name}")
        self.hung("transform-job", name, **made)

    def tuner(self, name: str, *children: str) -> None:
        with self.box.at(NOW - AGE):
            made = self.sagemaker.create_hyper_parameter_tuning_job(**tuning_request(name))
        arn = made["HyperParameterTuningJobArn"]
        for child in children:
            self.training(child)
            self.box.patch("sagemaker", ["training_jobs", child], TuningJobArn=arn)

    def hung(
        self,
        kind: str,
        name: str,
        *,
        hosts: Sequence[str] = (),
        levels: Mapping[str, Sequence[float]] = AT_REST,
        **request: Any,
    ) -> None:
        """Silent since `SILENT`; the load of each host stands at *levels*."""
        with self.box.at(NOW - AGE):
            getattr(self.sagemaker, f"create_{kind.replace('-', '_')}")(**request)
        for host in hosts or (f"{name}/i-1" if kind == "transform-job" else f"{name}/algo-1",):
            self.log(kind, f"{host}-1790000000")
            series: dict[str, Any] = {"dimensions": {"Host": host}, "step": 300, "start": NOW - 7 * HOUR}
            for metric, values in levels.items():
                found = series | {"metric": f"{metric}Utilization", "values": list(values)}
                self.box.metrics(GROUPS[kind], [found])

    def log(self, kind: str, stream: str, *, silent: timedelta = SILENT) -> None:
        """A line every hour, until *silent* ago."""
        times = [NOW - AGE + n * HOUR for n in range((AGE - silent) // HOUR + 1)]
        self.box.logs(GROUPS[kind], stream, [(at, "step") for at in times])

    def checkpoint(self, key: str, ago: timedelta) -> None:
        with self.box.at(NOW - ago):
            self.s3.put_object(Bucket="ckpt", Key=key, Body=b"weights")

    def wait(self, span: timedelta = LONG_ENOUGH) -> None:
        self.box.set_clock(self.box.clock() + span)

    def job(self, name: str, kind: str = "training-job") -> dict[str, Any]:
        noun = "".join(part.title() for part in kind.split("-"))
        described: dict[str, Any] = getattr(self.sagemaker, f"describe_{kind.replace('-', '_')}")(
            **{f"{noun}Name": name}
        )
        return described

    def status(self, name: str, kind: str = "training-job") -> str:
        return str(self.job(name, kind)[f"{''.join(part.title() for part in kind.split('-'))}Status"])

    def pool(self, name: str) -> str:
        return str(self.job(name)["WarmPoolStatus"]["Status"])

    def names(self) -> list[str]:
        listed = self.sagemaker.list_training_jobs()["TrainingJobSummaries"]
        return sorted(one["TrainingJobName"] for one in listed)

    def refuse(self, operation: str, message: str) -> None:
        """The next call of the operation is refused."""
        said = {"status": 400, "code": "ValidationException", "message": message}
        self.box.fault("sagemaker", operation, "error", **said)

    def end(self, name: str, status: str) -> None:
        """The job ends by itself."""
        self.box.patch("sagemaker", ["training_jobs", name], TrainingJobStatus=status, SecondaryStatus=status)
