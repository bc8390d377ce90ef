"""Random buckets with old objects and old versions, and the jobs that read them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from properties.worlds.base import DAY, EXEMPT, ROLE, UNKEPT, Account, Kind, Thing, spans
from sagemaker_requests import processing_request, rented, training_request, transform_request

GB = 1024**3
DETECTOR = "storage-tiering"
LISTINGS = {DETECTOR: {"s3:ListBuckets"}}
CALLS = (
    "s3:ListObjectVersions",
    "s3:GetBucketLifecycleConfiguration",
    "s3:GetObjectLockConfiguration",
    "s3:GetBucketVersioning",
    "sagemaker:Search",
    "sagemaker:ListProcessingJobs",
    "sagemaker:ListTransformJobs",
)


@dataclass(frozen=True, kw_only=True)
class Old(Thing):
    """
    A bucket with *size* bytes in *folder*, written *age* ago; if *versions*, these were replaced so long ago.

    *reader* names it as an input, by *way*, was made *read* ago and ended at once, or runs if *runs*.
    *there* is what else keeps it: a lifecycle rule, a lock, or a model that loads from it.
    """

    calls = CALLS

    size: int
    age: timedelta
    versions: timedelta | None
    reader: str
    way: str
    read: timedelta
    runs: bool
    there: str

    @property
    def folder(self) -> str:
        return "raw/" if self.versions is not None else "tmp/"

    def build(self, account: Account) -> None:
        bucket, s3 = account.name("scratch"), account.s3
        key = f"{self.folder}data.bin"
        account.be(max(self.age, 200 * DAY))
        s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=self.there == "lock")
        if self.labels.tags:
            s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": self.labels.listed})
        if self.versions is not None:
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        account.be(max(self.age, (self.versions or DAY) + DAY))
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        account.control.declare([{"bucket": bucket, "key": key, "size": self.size}])
        if self.versions is not None:
            account.be(self.versions)
            s3.put_object(Bucket=bucket, Key=key, Body=b"y")
        account.be(timedelta())
        self.keep(account, bucket, key)
        if self.reader:
            self.run(account, bucket)
        lately = bool(self.reader) and self.way != "elsewhere" and (self.runs or self.read <= 30 * DAY)
        old = self.age >= 7 * DAY if self.versions is None else self.versions >= 90 * DAY
        waste = old and self.size >= 50 * GB and not (lately or self.there or self.labels.exempt)
        account.claim(DETECTOR, f"arn:aws:s3:::{bucket}/*", waste=waste, needs={*CALLS})

    def keep(self, account: Account, bucket: str, key: str) -> None:
        if self.there == "rule":
            rule: Any = {
                "ID": "theirs",
                "Filter": {"Prefix": self.folder},
                "Status": "Enabled",
                "Expiration": {"Days": 900},
            }
            account.s3.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
            )
        if self.there == "model":
            container: Any = {"Image": "i", "ModelDataUrl": f"s3://{bucket}/{key}"}
            account.sagemaker.create_model(
                ModelName=account.name("loads"), ExecutionRoleArn=ROLE, PrimaryContainer=container
            )

    def run(self, account: Account, bucket: str) -> None:
        sagemaker: Any = account.sagemaker
        name = account.name("reads")
        uri = {
            "prefix": f"s3://{bucket}/{self.folder[:2]}",
            "object": f"s3://{bucket}/{self.folder}data.bin",
            "bucket": f"s3://{bucket}/",
            "elsewhere": f"s3://{bucket}/other/",
        }[self.way]
        account.be(self.read)
        source: Any = {"S3DataType": "S3Prefix", "S3Uri": uri}
        match self.reader:
            case "training":
                channel: Any = {"ChannelName": "a", "DataSource": {"S3DataSource": source}}
                sagemaker.create_training_job(
                    **training_request(name, rented(), out="s3://elsewhere/", InputDataConfig=[channel])
                )
            case "training environment":
                sagemaker.create_training_job(
                    **training_request(name, rented(), out="s3://elsewhere/", Environment={"DATA": uri})
                )
            case "checkpoints":
                sagemaker.create_training_job(
                    **training_request(name, rented(), out="s3://elsewhere/", CheckpointConfig={"S3Uri": uri})
                )
            case "processing":
                given: Any = {"InputName": "in", "S3Input": source | {"S3InputMode": "File"}}
                sagemaker.create_processing_job(**processing_request(name, ProcessingInputs=[given]))
            case _:
                sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "i"})
                sagemaker.create_transform_job(
                    **transform_request(name, name, source=uri, out="s3://elsewhere/")
                )
        ends = {
            "processing": ("processing_jobs", "ProcessingJobStatus", "ProcessingEndTime"),
            "transform": ("transform_jobs", "TransformJobStatus", "TransformEndTime"),
        }
        store, status, end = ends.get(self.reader, ("training_jobs", "TrainingJobStatus", "TrainingEndTime"))
        if not self.runs:
            done: Any = {status: "Completed", end: account.now - self.read}
            account.control.patch("sagemaker", [store, name], **done)
        account.be(timedelta())


READERS = ["processing", "training", "transform", "training environment", "checkpoints"]
VERSIONS = Kind.of(
    Old,
    labels=(UNKEPT[:2], EXEMPT[:2]),
    size=([100 * GB, 50 * GB], [50 * GB - 1]),
    age=(spans(DAY, 200, 120),),
    versions=(spans(DAY, 100, 90), spans(DAY, 89)),
    reader=([""], READERS),
    way=(["prefix"],),
    read=(spans(DAY, 10),),
    runs=([False],),
    there=([""], ["rule", "lock", "model"]),
)
"""Old versions that nothing has read for 30 days."""

READ = VERSIONS.but(
    reader=(READERS,),
    way=(["elsewhere"], ["prefix", "object", "bucket"]),
    read=(spans(DAY, 10, 29),),
    runs=([False],),
)
"""Old versions beside which a job read something else."""

LONG_AGO = VERSIONS.but(
    reader=(READERS[:3],),
    way=(["prefix", "object", "bucket"],),
    read=(spans(DAY, 31, 60), spans(DAY, 30, 2)),
    runs=([False], [True]),
)
"""Old versions that a job read when they were younger."""

OBJECTS = VERSIONS.but(
    age=(spans(DAY, 30, 7), spans(DAY, 6)),
    versions=([None],),
    there=([""], ["rule", "model"]),
)
"""Objects in a folder for what is temporary."""

KINDS = (VERSIONS, READ, LONG_AGO, OBJECTS)
