"""Processing and transform jobs that ran several times, and what differed between the runs."""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from string import ascii_lowercase
from typing import Any

from properties.worlds.base import DAY, EXEMPT, HOUR, UNKEPT, Account, Kind, Thing, spans
from sagemaker_requests import processing_request, rented

DETECTOR = "recomputed-datasets"
LISTINGS = {DETECTOR: {"sagemaker:ListProcessingJobs", "sagemaker:ListTransformJobs"}}
OTHERS = "763104351884.dkr.ecr.us-east-1.amazonaws.com/sklearn"
DIGEST = f"sha256:{sha256(b'image').hexdigest()}"
FIRST = 12 * DAY
"""How long ago the first of the runs began, of which there is one every two days."""


@dataclass(frozen=True, kw_only=True)
class Processed(Thing):
    """
    A processing job that *ran* so many times, each told the same but for what *differs*.

    Its input was *written* so long ago; its image is named by *image*.
    """

    calls = (
        "sagemaker:ListProcessingJobs",
        "sagemaker:ListTransformJobs",
        "sagemaker:DescribeProcessingJob",
        "s3:ListObjectsV2",
        "tag:GetResources",
    )

    ran: int
    status: str
    differs: str
    written: timedelta
    image: str
    told: str
    names: str

    def build(self, account: Account) -> None:
        bucket = account.name("raw")
        family = f"prepare-{ascii_lowercase[int(f'0{bucket[4:]}')]}"
        account.be(100 * DAY)
        account.s3.create_bucket(Bucket=bucket)
        account.s3.put_object(Bucket=bucket, Key="code/run.py", Body=b"code")
        if self.told != "empty":
            account.be(self.written)
            account.s3.put_object(Bucket=bucket, Key="in/part-0.csv", Body=b"data")
        arns = []
        for number in range(self.ran):
            account.be(FIRST - 2 * number * DAY)
            name = f"{family}-{number}" if self.names == "alike" else f"{ascii_lowercase[number]}-{family}"
            arns.append(self.run(account, bucket, name, number))
        waste = (
            not self.labels.exempt
            and self.ran >= 3
            and self.status == "Completed"
            and not self.differs
            and self.written > FIRST - 2 * (self.ran - 3) * DAY
            and self.image == "digest"
            and self.told == "inputs"
        )
        arn = f"{arns[-1].removesuffix(f'-{self.ran - 1}')}-*"
        account.claim(DETECTOR, arn, waste=waste, needs={*self.calls} - {"sagemaker:ListTransformJobs"})

    def run(self, account: Account, bucket: str, name: str, number: int) -> str:
        source = f"s3://{bucket}/in/"
        inputs: list[Any] = [self.input("data", source)] if self.told != "nothing" else []
        if self.told == "query":
            inputs.append({"InputName": "a", "DatasetDefinition": {"LocalPath": "/opt/ml/processing/a"}})
        arguments = ["--rows", "all"]
        environment = {"MODE": "full"}
        match self.differs:
            case "argument":
                arguments = ["--day", f"2026-09-{number + 10}"]
            case "environment":
                environment = {"SEED": f"{number}"}
            case "input":
                inputs = [self.input("data", f"s3://{bucket}/in/{number}/")]
            case "code":
                key = f"{name}/code/run.py"
                account.s3.put_object(Bucket=bucket, Key=key, Body=f"version {number}".encode())
                inputs.append(self.input("code", f"s3://{bucket}/{key}"))
        match self.told:
            case "now":
                arguments = ["--day", "yesterday"]
            case "database":
                environment = {"URL": "postgresql://features.internal/events"}
            case "written":
                environment = {"STATE": f"s3://{bucket}/state/"}
                account.s3.put_object(Bucket=bucket, Key="state/last.json", Body=name.encode())
        image = {"digest": f"{OTHERS}@{DIGEST}", "tag": f"{OTHERS}:1.2"}.get(self.image, "")
        if self.differs == "digest":
            image = f"{OTHERS}@sha256:{sha256(f'{number}'.encode()).hexdigest()}"
        arn: str = account.sagemaker.create_processing_job(
            **processing_request(
                name,
                rented("ml.m5.4xlarge", 2, 30),
                ProcessingInputs=inputs,
                AppSpecification={"ImageUri": image, "ContainerArguments": arguments},
                Environment=environment,
                Tags=self.labels.listed,
            )
        )["ProcessingJobArn"]
        began = account.now - FIRST + 2 * number * DAY
        account.control.patch(
            "sagemaker",
            ["processing_jobs", name],
            ProcessingJobStatus=self.status,
            ProcessingStartTime=began,
            ProcessingEndTime=began + 10 * HOUR,
        )
        return arn

    @staticmethod
    def input(name: str, uri: str) -> dict[str, Any]:
        where = {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{name}", "S3DataType": "S3Prefix"}
        return {"InputName": name, "S3Input": {**where, "S3InputMode": "File"}}


PROCESSED = Kind.of(
    Processed,
    labels=(UNKEPT[:1], EXEMPT[:1]),
    ran=([6, 3], [2, 1]),
    status=(["Completed"], ["Failed", "Stopped"]),
    differs=([""], ["argument", "environment", "input", "code", "digest"]),
    written=(spans(DAY, 80, 13), spans(DAY, 3, 1)),
    image=(["digest"], ["tag"]),
    told=(["inputs"], ["now", "database", "written", "query", "nothing", "empty"]),
    names=(["alike", "different"],),
)
KINDS = (PROCESSED,)
